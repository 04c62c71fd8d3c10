# SPDX-License-Identifier: Apache-2.0
"""Plan a circuit: folds for every layer, so that a device is filled or a goal is met, and what that costs.

plan(program, load_device("xc7z030"), lut_share=0.7).folding
"""

from __future__ import annotations

from dataclasses import dataclass

from bitlens.fpga.cost import Cost
from bitlens.fpga.devices import Device
from bitlens.fpga.estimate import layer_costs, network_cost
from bitlens.fpga.folding import Fold
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import FpgaError, Network
from bitlens.graph.file import Program
from bitlens.graph.graph import Node

__all__ = ["Plan", "Row", "Totals", "plan"]


@dataclass(frozen=True)
class Row:
    """A layer of a plan.

    Args:
        layer: name in the program; "" for what stands between layers.
        op: of the layer.
        fold: how it is spread over time; none where the layer has no multiplications.
        cycles: an image takes at least.
        cost: in cells of the device.
        macs: products of an image.
        bits: of a weight and of an input, 0 without multiplications.
        efficiency: products over products that its multipliers could do at the circuit's pace; 0 without multiplications.
    """

    layer: str
    op: str
    fold: Fold | None
    cycles: int
    cost: Cost
    macs: int
    bits: tuple[int, int]
    efficiency: float


@dataclass(frozen=True)
class Totals:
    """A whole plan.

    Args:
        cost: in cells of the device.
        shares: of the device, 0 to 1, by `lut`, `ff`, `bram`, `dsp`.
        cycles: from image to image.
        latency: cycles from the first beat in to the last beat out.
        frames_per_second: at the assumed clock.
        macs_per_cycle: multipliers with at most 4 bits on either side.
        efficiency: of those, how many work on average.
    """

    cost: Cost
    shares: dict[str, float]
    cycles: int
    latency: int
    frames_per_second: float
    macs_per_cycle: int
    efficiency: float


@dataclass(frozen=True)
class Plan:
    """What `plan` decides.

    Args:
        device: for which.
        clock_mhz: assumed.
        folding: by layer.
        network: the circuit.
        rows: by layer, in order of the data.
        totals: of all.
        bottleneck: layer that sets the pace.
    """

    device: Device
    clock_mhz: float
    folding: dict[str, Fold]
    network: Network
    rows: list[Row]
    totals: Totals
    bottleneck: str


def plan(
    program: Program,
    device: Device,
    frames_per_second: float | None = None,
    lut_share: float | None = None,
    clock_mhz: float = 200,
) -> Plan:
    """Choose folds.

    Args:
        program: of one input, with fixed sizes.
        device: to fit.
        frames_per_second: goal; then the smallest circuit that reaches it. Without: the fastest circuit that fits.
        lut_share: of the device's lookup tables that may be used, 0 to 1; 0.7 without a goal, else 1.
        clock_mhz: assumed.

    Raises:
        FpgaError: nothing fits; says by how much, and what would.
    """
    share = lut_share if lut_share is not None else 0.7 if frames_per_second is None else 1.0
    layers = [node for node in program.graph if node.op == "conv" and node.attrs["groups"] == 1]
    floor = max(min(cycles for cycles, _ in _options(program, node)) for node in layers)
    paces = sorted({cycles for node in layers for cycles, _ in _options(program, node) if cycles >= floor})
    if frames_per_second is not None:
        within = [pace for pace in paces if pace <= clock_mhz * 1e6 / frames_per_second]
        paces = within[-1:] or paces[:1]
    for pace in paces:
        folding = {node.name: _cheapest(program, node, pace) for node in layers}
        network = lower_program(program, folding)
        found = _describe(program, device, folding, network, clock_mhz)
        if found.totals.cost.lut <= share * device.lut and all(x <= 1 for x in found.totals.shares.values()):
            return found
    cost = found.totals.cost
    raise FpgaError(
        f"{device.name}: circuit must fit {share:.0%} of {device.lut:,} LUT and {device.bram.count} {device.bram.cell}, "
        f"not need {cost.lut:,} and {cost.bram:g}; ask for fewer frames a second, or a larger device"
    )


def _options(program: Program, node: Node) -> list[tuple[int, Fold]]:
    outputs, kh, kw, depth = node.attrs["weights"].shape
    height, width, _ = program.graph.value(node.output).shape or (0, 0, 0)
    work = int(height or 0) * int(width or 0) * kh * kw * depth * outputs
    return [
        (work // (pe * simd), Fold(pe, simd))
        for pe in range(1, outputs + 1)
        if outputs % pe == 0
        for simd in range(1, depth + 1)
        if depth % simd == 0
    ]


def _cheapest(program: Program, node: Node, pace: int) -> Fold:
    options = _options(program, node)
    enough = [(fold.pe * fold.simd, fold.pe, fold.simd) for cycles, fold in options if cycles <= pace]
    _, pe, simd = min(enough or [max((fold.pe * fold.simd, fold.pe, fold.simd) for _, fold in options)])
    return Fold(pe, simd)


def _describe(program: Program, device: Device, folding: dict[str, Fold], network: Network, clock_mhz: float) -> Plan:
    costs, bottleneck = layer_costs(network, device), network.bottleneck
    cycles = bottleneck.cycles
    rows, products, multipliers = [], 0, 0
    ops = {node.name: node for node in program.graph}
    for layer, cost in costs.items():
        busy = max(element.cycles for element in network.elements if element.layer == layer)
        units = [
            element.parameters for element in network.elements if element.layer == layer and element.module == "mvtu"
        ]
        macs, bits = 0, (0, 0)
        for p in units:
            macs, bits = busy * p["PE"] * p["SIMD"], (p["WEIGHT_BITS"], p["IN_BITS"])
            if max(bits) <= 4:
                products, multipliers = products + macs, multipliers + p["PE"] * p["SIMD"]
        efficiency = busy / cycles if macs else 0.0
        op = ops[layer].op if layer else ""
        rows.append(Row(layer, op, folding.get(layer), busy, cost, macs, bits, efficiency))
    cost = network_cost(network, device)
    shares = {
        "lut": cost.lut / device.lut,
        "ff": cost.ff / device.ff,
        "bram": cost.bram / device.bram.count,
        "dsp": cost.dsp / max(device.dsp, 1),
    }
    totals = Totals(
        cost,
        shares,
        cycles,
        cycles,
        clock_mhz * 1e6 / cycles,
        multipliers,
        products / (multipliers * cycles) if multipliers else 0.0,
    )
    return Plan(device, clock_mhz, folding, network, rows, totals, bottleneck.layer)
