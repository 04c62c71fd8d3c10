# SPDX-License-Identifier: Apache-2.0
"""Whether a unit fits a device, and what would where it does not."""

from __future__ import annotations

from bitlens.fpga.devices import Device, device_names, load_device
from bitlens.fpga.network import FpgaError
from bitlens.fpga.unit.estimate import unit_cost
from bitlens.fpga.unit.schedule import schedule, smallest_unit
from bitlens.fpga.unit.size import UnitSize
from bitlens.graph.file import Program

__all__ = ["check_fits"]


def check_fits(program: Program, size: UnitSize, device: Device) -> None:
    """See that a unit fits a device, as far as the estimate knows.

    Args:
        program: that the unit is for.
        size: of the unit.
        device: whose cells it may all take.

    Raises:
        FpgaError: it does not; says by how much, and a smaller array or a larger device that does.
    """
    need = unit_cost(size, device)
    if need.fits(device.cells):
        return
    remedies = []
    array = next((array for array in _smaller(size) if _array_fits(program, array, size.target, device)), None)
    if array is not None:
        remedies.append("--array {}x{} fits".format(*array))
    devices = sorted((load_device(name) for name in device_names()), key=lambda other: other.lut)
    larger = (d for d in devices if d.family == device.family and unit_cost(size, d).fits(d.cells))
    remedies += [f"{other.name} holds it" for other in larger][:1]
    raise FpgaError(
        f"{device.name}: unit must fit {device.cells}, not need {need}; "
        f"{', '.join(remedies) if remedies else 'take a smaller image or fewer channels'}"
    )


def _smaller(size: UnitSize) -> list[tuple[int, int]]:
    """Arrays of fewer products, most first, the squarest first."""
    powers = [1 << i for i in range(9)]
    arrays = [(pe, simd) for simd in powers[2:] for pe in powers if pe <= simd and pe * simd < size.pe * size.simd]
    return sorted(arrays, key=lambda array: (-array[0] * array[1], array[1]))


def _array_fits(program: Program, array: tuple[int, int], target: str, device: Device) -> bool:
    try:
        size = smallest_unit(program, *array, target)
        if not unit_cost(size, device).fits(device.cells):
            return False
        schedule(program, size)
    except FpgaError:
        return False
    return True
