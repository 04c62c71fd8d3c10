# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitlens.cli import main
from bitlens.graph.text import describe_changes
from qonnx_models import ModelBuilder


def model(path: Path) -> str:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.op("Relu", b.conv(b.image(), np.ones((3, 2, 3, 3))), name="relu")
    onnx.save(b.model(b.quant(x, 8.0, 2, name="codes")), path)
    return str(path)


def test_every_pass_tells_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = model(tmp_path / "m.onnx"), str(tmp_path / "m.bitlens")
    assert main(["compile", source, "-o", out, "--explain", "--dump", str(tmp_path / "passes")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "detach_tails: nothing to do" in told
    at = told.index("fuse_chains:")
    assert told[at + 1 : at + 3] == [
        "  - relu: chain(conv_2) {chain=Relu, factor=1, shift=0} -> relu_3 [?x3x2x2] real",
        "  ~ codes: chain(conv_2) {chain=Relu then Quantize, factor=1, shift=0} -> codes_4 [?x3x2x2] unsigned 2 of 8",
    ]
    dumped = sorted(path.name for path in (tmp_path / "passes").iterdir())
    assert dumped[0] == "00_read.txt"
    assert dumped[-1].endswith("_find_multiples.txt")
    assert "conv: conv(image)" in (tmp_path / "passes" / dumped[-1]).read_text()


def test_changes() -> None:
    before, after = {"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}
    assert describe_changes(before, after) == ["- a: 1", "~ c: 4", "+ d: 5"]
