# SPDX-License-Identifier: Apache-2.0
"""What a circuit takes of a device, before synthesis: one formula for each module of `rtl/`, from its parameters."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log2

from bitlens.fpga.cost import Cost, total_cost
from bitlens.fpga.devices import Device
from bitlens.fpga.network import Element, Network

__all__ = ["element_cost", "layer_costs", "network_cost"]


def network_cost(network: Network, device: Device) -> Cost:
    """Everything in a circuit."""
    return total_cost(element_cost(element, device) for element in network.elements)


def layer_costs(network: Network, device: Device) -> dict[str, Cost]:
    """By the layer that elements belong to; "" holds those between layers."""
    costs: dict[str, Cost] = {}
    for element in network.elements:
        costs[element.layer] = costs.get(element.layer, Cost()) + element_cost(element, device)
    return costs


def element_cost(element: Element, device: Device) -> Cost:
    """One element."""
    return _FORMULAS.get(element.module, _plain)(element.parameters, device)


def _plain(p: dict[str, int], device: Device) -> Cost:
    bits = p.get("BEAT", p.get("WIDTH", p.get("LANES", 1) * p.get("OUT_BITS", 8))) * p.get("FACTOR", 1)
    return Cost(bits + 40, bits + 40, _ram(p.get("ROWS", 0) * p.get("WIDTH", 0) * p.get("FOLDS", 1), bits, device))


def _mvtu(p: dict[str, int], device: Device) -> Cost:
    products = p["PE"] * p["SIMD"] * p["IN_BITS"] * p["WEIGHT_BITS"] * 1.6
    levels = p["PE"] * p["LEVELS"] * p["ACC_BITS"]
    lut = ceil(products + levels + p["PE"] * 2 * p["ACC_BITS"] + 60)
    depth = p["IN_FOLDS"] * p["OUT_FOLDS"]
    return Cost(lut, lut // 2, _ram(depth, p["PE"] * p["SIMD"] * p["WEIGHT_BITS"], device))


def _fifo(p: dict[str, int], device: Device) -> Cost:
    return Cost(p["WIDTH"] + 20, 20, _ram(p["DEPTH"], p["WIDTH"], device))


def _ram(depth: int, width: int, device: Device) -> float:
    """Block RAMs of a memory; none where lookup tables hold it."""
    if depth <= 64:
        return 0
    most = device.bram.widths[-1]
    deep = max(device.bram.bits // most, 1 << ceil(log2(depth)))
    wide = next((w for w in reversed(device.bram.widths) if device.bram.bits // w >= min(deep, 1 << 14)), 1)
    return ceil(width / wide) * ceil(depth / (device.bram.bits // wide))


_FORMULAS: dict[str, Callable[[dict[str, int], Device], Cost]] = {"mvtu": _mvtu, "fifo": _fifo}
