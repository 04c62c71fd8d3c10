# SPDX-License-Identifier: Apache-2.0
"""Simulation of project folders: images from anywhere, every integer compared, what differs named."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitlens.cli import main
from bitlens.core.grid import Grid
from bitlens.fpga.devices import load_device
from bitlens.fpga.export import export_project
from bitlens.fpga.network import FpgaError
from bitlens.fpga.plan import plan
from bitlens.graph.file import Program
from bitlens.results.circuit import read_images, render, simulate_project
from programs import Builder

CHANGES = (b"half", b"", b"[]", b"{}", b"\xff\x00\n")


def program(levels: int = 3) -> Program:
    rng = np.random.default_rng(0)
    b = Builder()
    y = b.steps(b.conv(b.input((4, 5, 3), Grid.unsigned(8)), rng, 4, Grid.narrow(4)), rng, Grid.unsigned(2))
    return b.program(b.conv(y, rng, levels, Grid.odd(2), (1, 1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_project(
        plan(program(), load_device("xc7z020")), program(), tmp_path_factory.mktemp("fpga") / "circuit"
    )


@pytest.mark.parametrize("stalls", [0.0, 0.5])
def test_every_integer_is_the_program_s(folder: Path, stalls: float) -> None:
    report = simulate_project(folder, count=9, stalls=stalls, seed=4)
    assert (report["images"], report["codes"], report["mismatches"], report["first"]) == (9, 9 * 4 * 5 * 3, 0, [])
    assert report["cycles"] > 0
    kept = json.loads((folder / "report.json").read_text())["simulated"]
    assert (kept["images"], kept["mismatches"], kept["stalls"]) == (9, 0, stalls)
    assert 0 < kept["efficiency"] <= 1
    assert "9 images, 0 mismatching integers" in (folder / "report.html").read_text()
    lines = render(report).splitlines()
    assert lines[-1] == "0 mismatching codes"
    assert ("both sides pausing 50 % of the cycles" in lines[0]) == bool(stalls)


def test_cycles_are_those_between_images(folder: Path) -> None:
    several = simulate_project(folder, count=9, circuits=2)
    two = simulate_project(folder, count=2, circuits=2)
    assert (several["circuits"], two["circuits"]) == (2, 1)  # else each image is the first of its circuit
    assert two["cycles"] == pytest.approx(several["cycles"], rel=0.05)
    assert two["cycles"] < two["latency_cycles"]
    kept = (folder / "report.json").read_bytes()
    one = simulate_project(folder, count=1)
    assert one["cycles"] is None
    assert "from image to image is seen with two images or more" in render(one)
    assert (folder / "report.json").read_bytes() == kept


def test_what_differs_is_named(folder: Path, tmp_path: Path) -> None:
    network = json.loads((folder / "network.json").read_text())
    (memory,) = (folder / "memory").glob("conv2*weights.hex")
    text = memory.read_text()
    first = text.splitlines()[0]
    images = np.full((2, 4, 5, 3), 255, np.uint8)
    np.save(tmp_path / "x.npy", images)
    try:
        memory.write_text(f"{int(first, 16) ^ 2:0{len(first)}x}" + text[len(first) :])
        report = simulate_project(folder, str(tmp_path / "x.npy"))
    finally:
        memory.write_text(text)
    assert network["outputs"]
    assert report["mismatches"] > 0
    pattern = r"image [01], output \w+, row \d, column \d, channel \d: must be -?\d+, not -?\d+"
    assert report["first"]
    assert all(re.fullmatch(pattern, line) for line in report["first"])
    assert render(report).splitlines()[-1] == f"{report['mismatches']} mismatching codes"


def test_images_from_anywhere(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 5, 3), np.uint8)
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", images=images)
    (tmp_path / "pictures").mkdir()
    for place, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "pictures" / f"{place}.png")
    for name in ("x.npy", "x.npz", "pictures"):
        assert np.array_equal(read_images(str(tmp_path / name), program()), images)
        assert np.array_equal(read_images(str(tmp_path / name), program(), 4), images[[0, 2, 5, 7]])
    assert np.array_equal(read_images(str(tmp_path / "pictures" / "3.png"), program(), 7), images[3:4])


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((1, 4, 4, 3), np.uint8), "images must be of shape Nx4x5x3, not 1x4x4x3"),
        (np.zeros((0, 4, 5, 3), np.uint8), "images must be at least one, not none"),
        (np.zeros((1, 4, 5, 3), np.float32), "images must hold integers of unsigned 8, not others; dtype float32"),
        (np.full((1, 4, 5, 3), -1, np.int16), "images must hold integers of unsigned 8, not others; dtype int16"),
    ],
)
def test_images_that_do_not_fit(tmp_path: Path, images: np.ndarray, sentence: str) -> None:
    path = tmp_path / "x.npy"
    np.save(path, images)
    with pytest.raises(FpgaError, match=f"^{re.escape(f'{path}: {sentence}')}$"):
        read_images(str(path), program())


AGAIN = "make the project again"
DAMAGED = f"must be as bitlens fpga wrote it, not damaged; {AGAIN}"


def damage(path: Path, change: bytes | None) -> None:
    """Remove a file, halve it (b"half") or let it hold something else."""
    held = path.read_bytes()
    path.unlink()
    if change is not None:
        path.write_bytes(held[: len(held) // 2] if change == b"half" else change)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        *((name, change, DAMAGED) for name in ("network.json", "report.json") for change in CHANGES),
        ("memory/conv2_mvtu.weights.hex", None, f"must be there, a word of memory a line; {AGAIN}"),
        ("memory/conv2_mvtu.weights.hex", b"", f"must hold 1 words, a line each, not 0; {AGAIN}"),
        ("memory/conv2_mvtu.weights.hex", b"1\n2\n", f"must hold 1 words, a line each, not 2; {AGAIN}"),
        ("memory/conv2_mvtu.weights.hex", b"zz\n", "line 1 must be a word of 24 bits in hex, not 'zz'"),
        ("memory/conv2_mvtu.weights.hex", b"half", "line 1 must be a word of 24 bits in hex, not '"),
        ("program.bitlens", None, "No such file or directory"),
        ("program.bitlens", b"half", "length must be "),
    ],
)
def test_damaged_files_are_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, change: bytes | None, sentence: str
) -> None:
    root = shutil.copytree(folder, tmp_path / "circuit", ignore=shutil.ignore_patterns("build"))
    damage(root / name, change)
    assert main(["fpga", "simulate", str(root)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{root / name}: {sentence}")
    assert said.count("\n") == 1
    assert not (root / "build").exists()  # it is said before the circuit is built


@pytest.mark.parametrize(("name", "change"), [("outputs", {}), ("wires", {"s": 1}), ("elements", [])])
def test_a_description_that_is_not_the_circuit_s(folder: Path, tmp_path: Path, name: str, change: object) -> None:
    root = shutil.copytree(folder, tmp_path / "circuit", ignore=shutil.ignore_patterns("build"))
    told = json.loads((root / "network.json").read_text())
    (root / "network.json").write_text(json.dumps(told | {name: change}))
    with pytest.raises(FpgaError, match=f"^{re.escape(f'{root}/network.json: {DAMAGED}')}$"):
        simulate_project(root)


def test_a_program_of_another_circuit(folder: Path, tmp_path: Path) -> None:
    root = shutil.copytree(folder, tmp_path / "circuit", ignore=shutil.ignore_patterns("build"))
    program(4).save(root / "program.bitlens")
    sentence = f"{root}/program.bitlens: must be the circuit's, not another; {AGAIN}"
    with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}$"):
        simulate_project(root)


def test_a_project_without_a_report_is_simulated(folder: Path, tmp_path: Path) -> None:
    root = shutil.copytree(folder, tmp_path / "circuit")
    damage(root / "report.json", None)
    assert simulate_project(root, count=2)["mismatches"] == 0
    assert not (root / "report.json").exists()


def test_refusals(tmp_path: Path) -> None:
    for arguments, sentence in (
        ({"stalls": 1.0}, "stalls: must be at least 0 and below 1, not 1"),
        ({"count": 0}, "count: must be at least 1, not 0"),
        ({"seed": -1}, "seed: must be at least 0 and below 2^63, not -1"),
        ({"seed": 1 << 63}, "seed: must be at least 0 and below 2^63, not 9223372036854775808"),
        ({}, f"{tmp_path}: folder must be one that bitlens fpga has made, not one without network.json or unit.json"),
    ):
        with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}$"):
            simulate_project(tmp_path, **arguments)
    (tmp_path / "network.json").write_text("{}")
    sentence = f"{tmp_path / 'network.json'}: must be as bitlens fpga wrote it, not damaged; make the project again"
    with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}$"):
        simulate_project(tmp_path)
    sentence = f"{tmp_path}: folder must hold pictures, as the program names no recipe whose test set it could be"
    with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}$"):
        read_images(str(tmp_path), program())
