# SPDX-License-Identifier: Apache-2.0
"""What a device holds: a JSON file each, beside this one, with the source of every number.

load_device("xc7z030").lut    # 78600
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

from bitlens.fpga.cost import Cost
from bitlens.fpga.network import FpgaError

__all__ = ["BlockRam", "Device", "device_names", "load_device"]


@dataclass(frozen=True)
class BlockRam:
    """The block RAMs of a device.

    Args:
        cell: name of the primitive.
        count: of them.
        bits: of one, parity included.
        widths: bits that a port may have; depth is `bits` over it, without the parity bits below 9.
    """

    cell: str
    count: int
    bits: int
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Device:
    """A chip.

    Args:
        name: as in the command line.
        title: as its maker calls it.
        family: `xc7`, `ecp5`, `gowin` or `ice40`; decides which bodies of the elements are synthesised.
        lut: lookup tables of `lut_inputs` inputs.
        ff: registers.
        dsp: hard multipliers.
        bram: block RAMs.
        sources: by field, where the number is from.
    """

    name: str
    title: str
    family: str
    lut: int
    lut_inputs: int
    ff: int
    dsp: int
    bram: BlockRam
    sources: dict[str, str]

    @property
    def cells(self) -> Cost:
        """All that there is."""
        return Cost(self.lut, self.ff, self.bram.count, self.dsp)


def device_names() -> list[str]:
    """All devices that there are, by name."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".json") for file in files if file.name.endswith(".json"))


def load_device(name: str) -> Device:
    """A device by its name.

    Raises:
        FpgaError: there is none of this name; lists those there are.
    """
    if name not in device_names():
        raise FpgaError(f"device: must be one of {', '.join(device_names())}, not {name}")
    numbers = json.loads((resources.files(__name__) / f"{name}.json").read_text())
    bram = numbers.pop("bram")
    return Device(bram=BlockRam(**{**bram, "widths": tuple(bram["widths"])}), **numbers)
