# SPDX-License-Identifier: Apache-2.0
"""`bitlens fpga` as a user meets it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bitlens.cli import main
from bitlens.core.grid import Grid
from programs import Builder


@pytest.fixture
def model(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    b = Builder()
    y = b.steps(b.conv(b.input((3, 3, 2), Grid.unsigned(8)), rng, 2, Grid.narrow(4)), rng, Grid.unsigned(2))
    b.program(b.conv(y, rng, 2, Grid.odd(2), (1, 1))).save(tmp_path / "m.bitlens")
    return str(tmp_path / "m.bitlens")


def test_make_and_simulate(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "circuit")
    assert main(["fpga", model, "-o", folder, "--device", "xc7z020", "--fps", "1000", "--clock", "100"]) == 0
    text = capsys.readouterr().out
    assert re.search(
        r"^100 MHz \(assumed clock\): [0-9,]+ images/s, \d\.\d\d TOPS peak, \d\.\d\d sustained$", text, re.M
    )
    assert text.endswith(f"{folder}: project written; README.md begins it, report.html shows it\n")
    assert main(["fpga", model, "-o", folder, "--device", "lfe5u-25f", "--luts", "50%", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["output"], report["device"]["name"], report["clock_mhz"]) == (folder, "lfe5u-25f", 200)
    assert main(["fpga", "simulate", folder, "--count", "3", "--stalls", "0.3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 mismatching codes"
    weights = next((tmp_path / "circuit" / "memory").glob("conv2*weights.hex"))
    weights.write_text("".join("0" if c != "\n" else c for c in weights.read_text()))
    assert main(["fpga", "simulate", folder, "--count", "3", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["mismatches"] > 0


@pytest.mark.parametrize(
    ("device", "shape"), [("xc7z020", []), ("lfe5u-25f", []), ("xc7z020", ["--shape", "unit", "--array", "2x4"])]
)
def test_structural_bodies(
    model: str, device: str, shape: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "circuit"
    assert main(["fpga", model, "-o", str(folder), "--device", device, *shape]) == 0
    simulate = ["fpga", "simulate", str(folder), "--count", "3", "--stalls", "0.3", "--backend", "golden"]
    capsys.readouterr()
    reports = []
    for words in ([], ["--structural"]):
        assert main([*simulate, *words, "--json"]) == 0
        reports.append(json.loads(capsys.readouterr().out))
        assert json.loads((folder / "report.json").read_text())["simulated"]["structural"] == bool(words)
    assert [(report["structural"], report["mismatches"]) for report in reports] == [(False, 0), (True, 0)]
    assert [reports[0][key] for key in ("cycles", "latency_cycles", "codes")] == [
        reports[1][key] for key in ("cycles", "latency_cycles", "codes")
    ]
    assert main([*simulate, "--structural"]) == 0
    assert ", each compared with the golden's, structural bodies, both sides" in capsys.readouterr().out
    cells = folder / "sim" / "cells.sv"
    cells.write_text(cells.read_text().replace("in[0] ? of2[1]", "in[0] ? of2[0]"))
    assert main(simulate) == 0  # which names no primitives
    assert main([*simulate, "--structural"]) == 1


def test_one_unit_for_all_layers(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "unit")
    make = ["fpga", model, "-o", folder, "--device", "xc7z020", "--shape", "unit", "--array", "2x4"]
    assert main([*make, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["shape"], report["array"]["pe"], len(report["layers"])) == ("unit", 2, 2)
    assert main(make) == 0
    text = capsys.readouterr().out
    assert re.search(r"^200 MHz \(assumed clock\): [0-9,.]+ images/s$", text, re.M)
    assert text.endswith(f"{folder}: project written; README.md begins it\n")
    assert main(["fpga", "simulate", folder, "--count", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    cycles = report["totals"]["cycles"]
    assert lines[1].startswith(f"{cycles:,.1f} cycles an image, {cycles:,} predicted without stalls; ")
    assert lines[-1] == "0 mismatching codes"
    assert json.loads((tmp_path / "unit" / "report.json").read_text())["simulated"]["predicted_cycles"] == cycles
    search = tmp_path / "unit" / "rtl" / "unit_search.sv"
    search.write_text(search.read_text().replace(">= $signed(row", "< $signed(row"))
    assert main(["fpga", "simulate", folder, "--count", "2", "--stalls", "0.4", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["mismatches"] > 0
    assert found["cycles"] > cycles
    again = "make the project again"
    for name, data, sentence in (
        ("memory.bin", b"", f"must hold what bitlens fpga schedules, not others; {again}"),
        ("report.json", b'{"tool":', f"must be as bitlens fpga wrote it, not damaged; {again}"),
        ("unit.json", b"{}", f"must be as bitlens fpga wrote it, not damaged; {again}"),
        ("program.bitlens", b"BITS", "the first 8 bytes must be "),
    ):
        path = tmp_path / "unit" / name
        held = path.read_bytes()
        path.write_bytes(data)
        assert main(["fpga", "simulate", folder]) == 2
        assert capsys.readouterr().err.startswith(f"{path}: {sentence}")
        path.write_bytes(held)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["simulate"], "simulate: must be given the folder of a project; bitlens fpga simulate DIR"),
        (["M", "D"], "fpga: must be given one program, not also D; the folder goes behind -o"),
        (["M", "--device", "xc7z020"], "fpga: must be told --output to make a project; bitlens fpga --help"),
        (["M", "-o", "D"], "fpga: must be told --device to make a project; bitlens fpga --help"),
        (
            ["M", "-o", "D", "--device", "xc7z020", "--array", "4x4"],
            "--array: must not be given with --shape stream; leave it out",
        ),
        (
            ["M", "-o", "D", "--device", "xc7z020", "--shape", "unit", "--fps", "0"],
            "--fps: must not be given with --shape unit; leave it out",
        ),
        *(
            (
                ["M", "-o", "D", "--device", "xc7z020", "--shape", "unit", "--array", array],
                f"--array: must be PExSIMD such as 16x16, not {array}",
            )
            for array in ("4", "4x", "x4", "4x4x4", "4x²", "٤x4", "+4x4", f"4x{'9' * 5000}")
        ),
        (["simulate", "D", "--fps", "0"], "--fps: must not be given with simulate; leave it out"),
        (
            ["M", "-o", "D", "--device", "xc7z020", "--stalls", "0"],
            "--stalls: must not be given with -o; leave it out",
        ),
        (
            ["M", "-o", "D", "--device", "xc7z020", "--structural"],
            "--structural: must not be given with -o; leave it out",
        ),
        (["M", "-o", "D", "--device", "xc7z020", "--fps", "0"], "--fps: must be above 0, not 0"),
        (["M", "-o", "D", "--device", "xc7z020", "--clock", "nan"], "--clock: must be above 0, not nan"),
        (
            ["M", "-o", "D", "--device", "xc7z020", "--luts", "170%"],
            "--luts: must be a share such as 70%, above 0 and at most 100%, not 170%",
        ),
        (
            ["M", "-o", "D", "--device", "xc7z020", "--luts", "many"],
            "--luts: must be a share such as 70%, above 0 and at most 100%, not many",
        ),
    ],
)
def test_a_user_s_mistake_is_one_line(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fpga", *words]) == 2
    assert capsys.readouterr().err == sentence + "\n"
