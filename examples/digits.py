# SPDX-License-Identifier: Apache-2.0
"""Train a 1-bit net on scikit-learn's digits, compile it, run it: the whole line in a page."""

import sys
import tempfile
from pathlib import Path

import torch

import bitlens
from bitlens.data import digits
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.train import load_run, run


def main(epochs: int = 5) -> float:
    with tempfile.TemporaryDirectory() as folder:
        run("digits", out=Path(folder) / "run", bits="w1a2", epochs=epochs)
        net = freeze(load_run(Path(folder) / "run"))
        model = export(net, torch.zeros(1, 1, 8, 8))
        program = bitlens.compile(model)
        program.save(Path(folder) / "digits.bitlens")
        session = bitlens.Session(Path(folder) / "digits.bitlens", threads=2)
        test = digits().test
        (scores,) = session.run(test.images).values()
        accuracy = float((scores.reshape(len(scores), -1).argmax(1) == test.labels).mean())
        size = (Path(folder) / "digits.bitlens").stat().st_size
        print(f"accuracy {accuracy:.3f} with integers only, {size:,} bytes")
        return accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
