# SPDX-License-Identifier: Apache-2.0
"""The engine's C++ tests, its fuzz target and its command, built with AddressSanitizer and UBSan."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.graph.file import Program
from programs import Builder, chain_program, random_inputs, random_program, step_program

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.toolchain, pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler")]


def tool(name: str) -> str:
    """A command of this environment, else of the system."""
    return shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or name


def call(*command: object, timeout: int = 600) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def build() -> Path:
    """The engine with sanitizers, built once and then as far as needed."""
    folder = ROOT / "build" / "sanitize"
    ninja = ["-G", "Ninja"] if shutil.which("ninja", path=f"{Path(tool('ninja')).parent}") else []
    options = ["-DBITLENS_SANITIZE=ON", "-DBITLENS_PYTHON=OFF", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    call(tool("cmake"), "-S", ROOT, "-B", folder, *(ninja if not folder.exists() else []), *options)
    call(tool("cmake"), "--build", folder, "--parallel", min(4, os.cpu_count() or 1), timeout=1200)
    return folder


def symbolic_program() -> Program:
    b = Builder()
    x = b.input((None, None, 3), Grid.unsigned(8))
    b.graph.values[x] = b.graph.value(x).with_(multiples=(2, 4))
    return b.program(b.conv(x, np.random.default_rng(0), 4, Grid.odd(1), (3, 3)))


def test_every_kernel(build: Path) -> None:
    call(tool("ctest"), "--test-dir", build, "--output-on-failure")


def test_changed_files_end_in_an_error_or_run(build: Path, tmp_path: Path) -> None:
    programs = [chain_program(0), symbolic_program(), step_program(), *(random_program(seed) for seed in range(40))]
    seeds = []
    for number, program in enumerate(programs):
        data = program.to_bytes()
        if len(data) < 6000:  # small files give most mutations to structure
            seeds.append(tmp_path / f"{number}.bitlens")
            seeds[-1].write_bytes(data)
    assert ", 0 failures" in call(build / "fuzz_open", 20000, *seeds)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.bitlens"
    chain_program(0).save(path)
    return path


def test_bitlens_run_prints_outputs(build: Path, model: Path, tmp_path: Path) -> None:
    program = chain_program(0)
    x = random_inputs(program, 3, 0)["image"]
    (name, want), *_ = program.run(x).items()
    x.astype(np.uint8).tofile(tmp_path / "x.u8")
    x.astype("<i4").tofile(tmp_path / "x.i32")
    lines = "".join(f"{name} {i}: {' '.join(map(str, row.ravel()))}\n" for i, row in enumerate(want))
    assert call(build / "bitlens-run", model, tmp_path / "x.u8") == lines
    assert call(build / "bitlens-run", model, tmp_path / "x.i32", "--i32", "--threads", 2, "--isa", "portable") == lines
    assert "layer conv0 conv+steps" in call(build / "bitlens-run", model, "--describe")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.bitlens", "x"], "bitlens-run: none.bitlens: file must be readable"),
        (["{model}", "none"], "bitlens-run: none: file must be readable"),
        (["{model}"], "bitlens-run: {model}: input files must be 1, not 0"),
        (["{model}", "{model}"], "bitlens-run: {model}: size must be a multiple of 189 bytes, not {size}"),
        (["{model}", "--size", "4"], "bitlens-run: --size: must be HEIGHTxWIDTH, not 4"),
        (["{model}", "--size", "4x4"], "bitlens-run: {model}: image: height must be 9, not 4"),
        (["{model}", "--threads", "no"], "bitlens-run: --threads: must be a positive number, not no"),
        (["{model}", "--isa", "sse"], "bitlens-run: {model}: isa: must be portable, avx2, avx512 or neon, not sse"),
        (["--fast"], "bitlens-run: option must be one of --threads, --isa, --size, --i32, --describe, not --fast"),
    ],
)
def test_bitlens_run_refuses(build: Path, model: Path, arguments: list[str], sentence: str) -> None:
    filled = [word.format(model=model) for word in arguments]
    done = subprocess.run([build / "bitlens-run", *filled], capture_output=True, text=True, timeout=60, check=False)
    want = sentence.format(model=model, size=model.stat().st_size) + "\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", want)
