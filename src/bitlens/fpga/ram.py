# SPDX-License-Identifier: Apache-2.0
"""How Yosys builds a memory: of registers, lookup tables or block RAMs, and how many.

This follows the rule of its pass memory_libmap: every kind of cell that the family's library names, at every width of it, has
a cost, and the least cost wins. A word that is wider than a cell takes several side by side, a memory that is deeper takes
several behind a multiplexer. Source: passes/memory/memory_libmap.cc and the libraries of Yosys 0.70.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil

from bitlens.fpga.network import FpgaError

__all__ = ["Ram", "Use", "map_ram"]


@dataclass(frozen=True)
class Use:
    """How a memory is used.

    Args:
        written: it is a RAM with one port to write; else a ROM.
        read_register: the word read is registered. Without, Yosys moves the register of the address behind the memory where
            that makes a block RAM, and forwards a word that is written while it is read.
        style: `block` or `distributed` where the source says so, else empty.
        same_address: one address serves to write and to read.
    """

    written: bool
    read_register: bool = True
    style: str = ""
    same_address: bool = False


@dataclass(frozen=True)
class Ram:
    """What a memory becomes.

    Args:
        kind: `logic`, `distributed` or `block`.
        cells: of that kind.
        blocks: block RAMs; half ones count 0.5.
        lut: lookup tables that hold bits, without multiplexers.
        deep: memories behind one another, to be chosen among by a multiplexer.
    """

    kind: str
    cells: int
    blocks: float
    lut: int
    deep: int


@dataclass(frozen=True)
class _Cell:
    """A kind of cell in a family's library.

    Args:
        kind: `distributed` or `block`.
        address_bits: at the narrowest width.
        widths: of a word; each one up halves the depth.
        cost, width_cost: of a cell, and the part of it that counts by the bits used.
        byte: bits that are written together.
        unit: block RAMs of one cell, or lookup tables.
        roms: whether it may hold a ROM.
        two_ports: writes and reads at addresses of their own.
        reads_old: a word that is written while it is read is read as it was; else logic around the memory sees to that.
    """

    kind: str
    address_bits: int
    widths: tuple[int, ...]
    cost: int
    width_cost: int
    byte: int
    unit: float
    roms: bool
    two_ports: bool = True
    reads_old: bool = True


def _lutram(address_bits: int, width: int, cost: int, width_cost: int, *, two_ports: bool = True) -> _Cell:
    return _Cell("distributed", address_bits, (width,), cost, width_cost, 0, 4, False, two_ports)


def _block(address_bits: int, widths: tuple[int, ...], cost: int, unit: float, *, reads_old: bool = True) -> _Cell:
    return _Cell("block", address_bits, widths, cost, 0, 9, unit, True, reads_old=reads_old)


_LIBRARIES = {
    "xc7": (
        *(_lutram(bits, width, 8, 8, two_ports=False) for bits, width in ((5, 8), (6, 4), (7, 2), (8, 1))),
        *(_lutram(bits, width, 8, 8) for bits, width in ((5, 4), (6, 2), (7, 1))),
        *(_lutram(bits, width, 8, 7) for bits, width in ((5, 6), (6, 3))),
        _block(14, (1, 2, 4, 9, 18), 129, 0.5),
        _block(15, (1, 2, 4, 9, 18, 36), 257, 1),
        _block(16, (1, 2, 4, 9), 513, 2),
        _block(14, (1, 2, 4, 9, 18, 36), 129, 0.5),
        _block(15, (1, 2, 4, 9, 18, 36, 72), 257, 1),
    ),
    "ecp5": (
        _Cell("distributed", 4, (4,), 4, 0, 0, 6, False),
        _block(14, (1, 2, 4, 9, 18), 128, 1, reads_old=False),
        _block(14, (1, 2, 4, 9, 18, 36), 128, 1, reads_old=False),
    ),
    "gowin": (
        _Cell("distributed", 4, (4,), 4, 4, 0, 8, False),
        _block(14, (1, 2, 4, 9, 18, 36), 128, 1),
    ),
    "ice40": (_Cell("block", 11, (2, 4, 8, 16), 64, 0, 0, 1, True),),
}
_ROM_BIT = {"xc7": 1 / 64}  # cost of a bit in lookup tables, else 1/16; of a RAM's bit in registers it is 1


@cache
def map_ram(depth: int, width: int, use: Use, family: str) -> Ram:
    """What Yosys makes of a memory.

    Args:
        depth, width: words, and bits of one.
        use: how it is written and read.
        family: of devices.

    Raises:
        FpgaError: the family has no library here.
    """
    if family not in _LIBRARIES:
        raise FpgaError(f"family: must be one of {', '.join(_LIBRARIES)}, not {family}")
    cells, rom_bit = _LIBRARIES[family], _ROM_BIT.get(family, 1 / 16)
    best = Ram("logic", 0, 0, 0, 1)
    least = int(depth * width * (1 if use.written else rom_bit)) if use.style != "block" else 1 << 62
    if use.style == "distributed" and not use.written:
        return best
    for cell in cells:
        if (use.style and cell.kind != use.style) or (not use.written and not cell.roms):
            continue
        if not cell.two_ports and not use.same_address:
            continue
        for place, unit_width in enumerate(cell.widths):
            cost, several, deep = _geometry(depth, width, use, cell, place, unit_width)
            if cost < least:
                blocks = several * cell.unit if cell.kind == "block" else 0
                tables = int(several * cell.unit) if cell.kind == "distributed" else 0
                best, least = Ram(cell.kind, several, blocks, tables, deep), int(cost)
    return best


def _geometry(depth: int, width: int, use: Use, cell: _Cell, place: int, unit_width: int) -> tuple[float, int, int]:
    """Cost, cells and memories behind one another at one width of a cell."""
    deep = ceil(depth / (1 << (cell.address_bits - place)))
    byte = 1 if not use.written else min(cell.byte or unit_width, unit_width)
    padded = ceil(width / byte) * byte
    several = ceil(deep * padded / unit_width)
    cost = (cell.cost - cell.width_cost) * several + cell.width_cost * deep * width / unit_width
    cost += 0.5 * (deep - 1) * width
    if use.written and deep > 1:
        cost += 0.5 * deep
    shared = use.same_address and not cell.two_ports
    forwards = use.written and not (use.read_register and cell.reads_old)
    return cost + 2 * ((0 if shared else 1) + (3 if forwards else 0)), several, deep
