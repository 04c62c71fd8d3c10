# SPDX-License-Identifier: Apache-2.0
"""Libraries of circuits: built once, built anew when anything they are made of changes."""

from pathlib import Path

import numpy as np
import pytest

from bitlens.core.files import cache_folder
from bitlens.core.grid import Grid
from bitlens.fpga.folding import default_folding
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import FpgaError
from bitlens.fpga.project import write_project
from bitlens.fpga.verilate import _groups, build_library
from programs import Builder


def test_a_library_is_made_once_of_the_same_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder()
    program = b.program(b.conv(b.input((2, 2, 1), Grid.unsigned(1)), np.random.default_rng(0), 1, Grid.odd(1)))
    network = lower_program(program, default_folding(program))
    root = write_project(network, tmp_path / "circuit")
    first = build_library(network, root)
    made = first.stat().st_mtime_ns
    assert build_library(network, root) == first
    assert first.stat().st_mtime_ns == made
    assert [*cache_folder().glob("verilated-*.o")] != []
    top = root / "rtl" / "top.sv"
    top.write_text(top.read_text() + "// new\n")
    second = build_library(network, root)
    assert [*(root / "build").iterdir()] == [second] != [first]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FpgaError, match=r"^simulation: c\+\+ must be installed; Debian: apt-get install g\+\+$"):
        build_library(network, root)


def test_large_files_are_compiled_apart(tmp_path: Path) -> None:
    files = []
    for place, size in enumerate([100, 900_000, 1_100_000, 50_000, 700_000, 200]):
        files.append(tmp_path / f"{place}.cpp")
        files[-1].write_bytes(b" " * size)
    groups = [[path.stem for path in group] for group in _groups(files)]
    assert groups == [["2"], ["1"], ["4", "3", "5", "0"]]
    assert _groups(files[:1]) == [files[:1]]
