# SPDX-License-Identifier: Apache-2.0
"""Four tools read every module without a word: Verilator, Icarus Verilog, Yosys of today and of Debian 12."""

import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.folding import Fold, default_folding
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import TARGETS, Network
from bitlens.fpga.project import write_project
from bitlens.fpga.synthesis import find_yosys
from bitlens.fpga.unit.project import UNIT_RTL, unit_sources, write_unit
from bitlens.fpga.unit.schedule import schedule
from bitlens.fpga.unit.size import UnitSize
from bitlens.fpga.verilate import find_verilator
from circuits import branches, orders
from element_bench import bench_network
from programs import Builder
from random_elements import WIDTH, some_elements
from unit_programs import small_unit_program

PROGRAMS = {"branches": branches, "orders": orders}


def alone() -> Network:
    return bench_network(WIDTH, some_elements(np.random.default_rng(0)))


def constants(target: str) -> Network:
    """Layers without weights in memory, one with windows."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((5, 6, 2), Grid.signed(2))
    y = b.steps(b.conv(x, rng, 5, Grid.odd(2), (3, 3)), rng, Grid.unsigned(2), kind="rising")
    program = b.program(b.conv(y, rng, 3, Grid.ternary(), (1, 1)))
    return lower_program(program, {"conv0": Fold(5, 18, "hard"), "conv2": Fold(3, 5, "hard")}, target)


def circuits(target: str) -> list[Callable[[], Network]]:
    programs = [
        lambda make=make: lower_program(make(), default_folding(make(), 3, 2), target) for make in PROGRAMS.values()
    ]
    programs.append(lambda: constants(target))
    return [*programs, alone] if target == "generic" else programs


def said(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return f"{done.returncode} {done.stderr}{done.stdout if done.returncode else ''}"


def unit(target: str, folder: Path) -> Path:
    size = UnitSize(pe=2, simd=8, lanes=1, acc_bits=20, weights=256, ring=512, groups=8, target=target)
    return write_unit(schedule(small_unit_program(), size), folder)


@pytest.fixture(params=TARGETS)
def projects(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    made = [write_project(make(), tmp_path / str(place)) for place, make in enumerate(circuits(request.param))]
    return [*made, unit(request.param, tmp_path / "unit")]


def sources(project: Path) -> list[str]:
    return [str(path.relative_to(project)) for part in ("rtl", "sim") for path in sorted(project.glob(f"{part}/*.*v"))]


def test_every_tool_reads_every_module_in_silence(projects: list[Path]) -> None:
    verilator, environment = find_verilator()
    for project in projects:
        files = sources(project)
        lint = [*verilator, "--lint-only", "-Wall", "--top-module", "accelerator", *files]
        assert said(lint, project, environment) == "0 "
        assert said(["iverilog", "-g2012", "-Wall", "-s", "accelerator", "-o", "/dev/null", *files], project) == "0 "
        read = f"read_verilog -defer -sv {' '.join(name for name in files if name.startswith('rtl'))}"
        script = f"{read}; hierarchy -top accelerator; proc; select -assert-none t:$dlatch t:$_DLATCH_*"
        for yosys in {find_yosys(), "/usr/bin/yosys"}:
            assert said([yosys, "-q", "-p", script], project) == "0 "


def test_nothing_is_left_out(tmp_path: Path) -> None:
    read = set()
    for target in TARGETS:
        for place, make in enumerate(circuits(target)):
            read |= {path.name for path in write_project(make(), tmp_path / f"{target}{place}").glob("rtl/*.sv")}
    made = {name for name in read if name.endswith("_sums.sv")}  # for layers of constants
    assert read - made - {"top.sv"} == {path.name for path in (resources.files("bitlens.fpga") / "rtl").iterdir()}
    assert {path.name for path in UNIT_RTL.iterdir()} <= {path.name for path in unit_sources()}
