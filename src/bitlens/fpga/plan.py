# SPDX-License-Identifier: Apache-2.0
"""Plan a circuit: folds for every layer, so that a device is filled or a goal is met, and what that costs.

plan(program, load_device("xc7z030"), lut_share=0.7).folding
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from bitlens.fpga.cost import Cost
from bitlens.fpga.devices import Device, device_names, load_device
from bitlens.fpga.estimate import layer_costs, network_cost
from bitlens.fpga.folding import Fold
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import TARGETS, FpgaError, Network
from bitlens.fpga.pace import predict_pace
from bitlens.fpga.search import Search
from bitlens.graph.file import Program

__all__ = ["Plan", "Row", "Totals", "plan"]

_MOST_TRIES = 8
_ENDLESS = 1 << 62


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
        cycles: from image to image; more than the bottleneck's where elements wait for one another.
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
        bottleneck: layer that sets the pace, or the element between layers.
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
    kernels: tuple[str, ...] = ("fold",),
) -> Plan:
    """Choose folds.

    Args:
        program: of one input, with fixed sizes.
        device: to fit.
        frames_per_second: goal; then the smallest circuit that reaches it. Without: the fastest circuit that fits.
        lut_share: of the device's lookup tables that may be used, 0 to 1; 0.7 without a goal, else 1.
        clock_mhz: assumed.
        kernels: where weights may lie, of `folding.KERNELS`.

    Raises:
        FpgaError: nothing fits; says by how much, and what would.
    """
    search = Search(program, device, target_of(device), kernels)
    goal = _Goal(frames_per_second, clock_mhz, lut_share)
    found = _fitting(search, goal.cells(device), goal.cycles, clock_mhz)
    if found is None:
        raise FpgaError(_refusal(search, goal))
    return found


def target_of(device: Device) -> str:
    """The bodies of elements that a device gets."""
    return device.family if device.family in TARGETS else "generic"


@dataclass(frozen=True)
class _Goal:
    """What is asked for."""

    frames_per_second: float | None
    clock_mhz: float
    lut_share: float | None

    @property
    def cycles(self) -> int | None:
        """From image to image at most."""
        return None if self.frames_per_second is None else int(self.clock_mhz * 1e6 / self.frames_per_second)

    @property
    def share(self) -> float:
        """Of the lookup tables."""
        return self.lut_share if self.lut_share is not None else 0.7 if self.frames_per_second is None else 1.0

    def cells(self, device: Device) -> Cost:
        """What may be used of a device."""
        return replace(device.cells, lut=int(self.share * device.lut))


def _fitting(search: Search, most: Cost, limit: int | None, clock_mhz: float) -> Plan | None:
    """The smallest plan of at most `limit` cycles that fits into `most`, or the fastest one; None where nothing does."""
    found = _settle(search, most, limit, clock_mhz)
    if found is None and limit is not None:  # the smallest kept growing
        fastest = _settle(search, most, None, clock_mhz)
        return fastest if fastest is not None and fastest.totals.cycles <= limit else None
    return found


def _settle(search: Search, most: Cost, limit: int | None, clock_mhz: float) -> Plan | None:
    """Search again until the whole circuit, with its queues and waits, keeps what the search was told."""
    wanted = limit
    queues = Cost()  # what queues take beyond two beats: they are sized in the whole circuit only
    for _ in range(_MOST_TRIES):
        found = search.fastest(most - queues)[1] if wanted is None else search.least(wanted, most - queues)
        if found is None:
            break
        network = lower_program(search.program, found.folding, search.target)
        described = _describe(search.program, search.device, found.folding, network, clock_mhz)
        cost, cycles = described.totals.cost, described.totals.cycles
        if not cost.fits(most):
            queues = cost - found.cost
        elif wanted is None or limit is None or cycles <= limit:
            return described
        else:  # elements wait for one another: be so much faster
            wanted = min(wanted - 1, wanted * limit // cycles)
    return None


def _refusal(search: Search, goal: _Goal) -> str:
    """Why nothing fits, and what would: every remedy has been planned."""
    device, clock_mhz = search.device, goal.clock_mhz
    if search.least(_ENDLESS) is None:
        kernels = ", ".join(search.kernels)
        return f"{search.blocked(_ENDLESS)}: kernels must be able to hold it, not only {kernels}; add fold"
    fastest = None if goal.cycles is None else _settle(search, goal.cells(device), None, clock_mhz)
    frames = _round_down(fastest.totals.frames_per_second) if fastest is not None else ""
    least = _settle(search, Cost(*[_ENDLESS] * 4), _ENDLESS if goal.cycles is None else goal.cycles, clock_mhz)
    if least is None and frames:
        return f"goal: must be at most {frames} frames a second at {clock_mhz:g} MHz, not {goal.frames_per_second:g}"
    least = least or _settle(search, Cost(*[_ENDLESS] * 4), _ENDLESS, clock_mhz)
    assert least is not None
    need, remedies = least.totals.cost, [f"{frames} frames a second fit"] if frames else []
    percent = ceil(100 * need.lut / device.lut)
    if goal.share < percent / 100 <= 1 and _holds(search, device, replace(goal, lut_share=percent / 100)):
        remedies.append(f"--luts {percent}% holds it")
    devices = sorted((load_device(name) for name in device_names()), key=lambda other: other.lut)
    likely = (d for d in devices if d != device and d.family == device.family and need.fits(goal.cells(d)))
    found = next((d for d in likely if _holds(search, d, goal)), None)
    if found is not None:
        remedies.append(f"{found.name} holds it")
    return (
        f"{device.name}: circuit must fit {goal.cells(device)}, not need {need}; "
        f"{', '.join(remedies) if remedies else 'take fewer bits or channels'}"
    )


def _holds(search: Search, device: Device, goal: _Goal) -> bool:
    """Whether a device meets the goal with the same program."""
    if device != search.device:
        search = Search(search.program, device, target_of(device), search.kernels)
    return _fitting(search, goal.cells(device), goal.cycles, goal.clock_mhz) is not None


def _round_down(frames: float) -> str:
    return f"{int(frames):,}" if frames >= 1 else f"{int(frames * 1e6) / 1e6:g}"


def _describe(program: Program, device: Device, folding: dict[str, Fold], network: Network, clock_mhz: float) -> Plan:
    costs, bottleneck, pace = layer_costs(network, device), network.bottleneck, predict_pace(network)
    cycles = pace.interval
    rows, products, multipliers = [], 0, 0
    ops = {node.name: node for node in program.graph}
    for layer, cost in costs.items():
        busy = max(element.cycles for element in network.elements if element.layer == layer)
        macs, bits, efficiency = 0, (0, 0), 0.0
        for element in network.elements:
            if element.layer != layer or element.module not in ("mvtu", "hard"):
                continue
            p = element.parameters
            weight_bits = p["WEIGHT_BITS"] if element.sums is None else element.sums[1].weight_bits
            done = element.cycles * p["PE"] * p["SIMD"]  # with those of zeros between groups
            macs, bits = done // ops[layer].attrs["groups"], (weight_bits, p["IN_BITS"])
            if max(bits) <= 4:
                products, multipliers = products + macs, multipliers + p["PE"] * p["SIMD"]
            efficiency = element.cycles / cycles * macs / done
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
        pace.latency,
        clock_mhz * 1e6 / cycles,
        multipliers,
        products / (multipliers * cycles) if multipliers else 0.0,
    )
    return Plan(device, clock_mhz, folding, network, rows, totals, bottleneck.layer or bottleneck.name)
