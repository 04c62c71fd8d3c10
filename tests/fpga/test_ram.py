# SPDX-License-Identifier: Apache-2.0
"""Memories as Yosys 0.70 builds them: cells counted in its netlists of fifo.sv for xc7."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlens.fpga.devices import device_names, load_device
from bitlens.fpga.network import FpgaError
from bitlens.fpga.ram import Ram, Use, map_ram

QUEUE = Use(written=True, read_register=False)


@pytest.mark.parametrize(
    ("width", "depth", "lut", "blocks"),
    [
        (8, 2, 0, 0.0),  # registers
        (1, 8, 0, 0.0),
        (32, 2, 24, 0.0),  # 6 RAM32M
        (6, 3, 4, 0.0),
        (100, 64, 136, 0.0),  # 34 RAM64M
        (8, 100, 24, 0.0),
        (1, 1000, 64, 0.0),
        (32, 100, 0, 0.5),  # one RAMB18E1
        (100, 512, 0, 1.5),
        (32, 1000, 0, 1.0),  # one RAMB36E1
        (1, 2048, 0, 0.5),
        (100, 2048, 0, 6.0),
    ],
)
def test_queues(width: int, depth: int, lut: int, blocks: float) -> None:
    found = map_ram(depth, width, QUEUE, "xc7")
    assert (found.lut, found.blocks) == (lut, blocks)


def test_a_style_is_obeyed() -> None:
    assert map_ram(8, 72, Use(False), "xc7").kind == "logic"
    assert map_ram(8, 72, Use(False, style="block"), "xc7") == Ram("block", 1, 1, 0, 1)
    assert map_ram(4096, 72, Use(False, style="distributed"), "xc7").kind == "logic"
    assert map_ram(4096, 72, Use(False), "xc7").blocks == 8


@given(
    st.sampled_from(device_names()),
    st.integers(1, 1 << 17),
    st.integers(1, 300),
    st.sampled_from(
        [Use(*flags, style=style) for flags in product((True, False), repeat=2) for style in ("", "block")]
    ),
)
def test_block_rams_hold_what_is_counted_into_them(name: str, depth: int, width: int, use: Use) -> None:
    device = load_device(name)
    found = map_ram(depth, width, use, device.family)
    assert (found.blocks > 0) == (found.kind == "block")
    if found.kind == "block":
        assert depth * width <= found.blocks * device.bram.bits


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(FpgaError, match=r"^family: must be one of xc7, ecp5, gowin, ice40, not nexus$"):
        map_ram(8, 8, QUEUE, "nexus")
