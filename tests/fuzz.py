# SPDX-License-Identifier: Apache-2.0
"""Random models and broken files by the thousand; CI runs a few hundred of each.

    .venv/bin/python tests/fuzz.py models 5000 --start 0

prints the date, what was found and every seed that failed, which the same command repeats with --start SEED 1.
"""

from __future__ import annotations

import argparse
import datetime
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

import bitlens
from bitlens.graph.graph import GraphError
from broken_models import damage, mutate_bytes
from exactness import assert_engine, assert_exact
from onnx_runtime import assert_operators
from random_circuits import check_circuit, check_elements
from random_models import random_model

__all__ = ["check_bytes", "check_circuit", "check_elements", "check_graph", "check_model", "check_requantized"]

_MOST_SECONDS, _MOST_BYTES = 60, 8 << 30  # of the processor for one check, of the process


def check_model(seed: int) -> str:
    """A legal model: all forms give the same integers, and (of every fourth) operators mean what ONNX Runtime computes."""
    model = random_model(seed, 1 + seed % 6)
    assert_exact(model, seed)
    if seed % 4 == 0:
        assert_operators(model, seed, lenient=True)  # it refuses some transposed convolutions
    return "exact"


def check_requantized(seed: int) -> str:
    """A model whose joins bring several scales together, with leave: the compiler compares it with the changed model."""
    model = random_model(seed, 2 + seed % 5, unaligned=True)
    program = bitlens.compile(model, allow_requantize=True)
    assert_engine(program, seed)
    return "changed" if "requantized" in program.metadata else "aligned"


def check_graph(seed: int) -> str:
    """A model with one to three faults."""
    rng = np.random.default_rng(seed)
    model = random_model(int(rng.integers(1 << 32)), int(rng.integers(1, 4)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of making faults
        for _ in range(int(rng.integers(1, 4))):
            damage(model, rng)
    if rng.integers(2):
        return _compiled_or_refused(model, seed)
    try:
        content = model.SerializeToString()
    except ValueError:  # not even a file
        return "no file"
    return _from_file(content, seed)


def check_bytes(seed: int) -> str:
    """The file of a model with one or two faults in its bytes."""
    rng = np.random.default_rng(seed)
    content = random_model(int(rng.integers(1 << 32)), int(rng.integers(1, 4))).SerializeToString()
    for _ in range(int(rng.integers(1, 3))):
        content = mutate_bytes(content, rng) if content else content
    return _from_file(content, seed)


def _from_file(content: bytes, seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broken.onnx"
        path.write_bytes(content)
        return _compiled_or_refused(path, seed)


def _compiled_or_refused(source: onnx.ModelProto | Path, seed: int) -> str:
    try:
        bitlens.compile(source).to_bytes()
    except GraphError as error:  # of compiling; a name too long for a file is told when it is written
        assert str(error).isprintable()  # one line
        assert "this is a bug" not in str(error)
        return "refused"
    model = source if isinstance(source, onnx.ModelProto) else onnx.load(source)
    if not model.functions:
        assert_operators(model, seed, lenient=True)
    return "compiled"


_CHECKS: dict[str, Callable[[int], str]] = {
    "models": check_model,
    "requantized": check_requantized,
    "graphs": check_graph,
    "bytes": check_bytes,
    "circuits": check_circuit,
    "elements": check_elements,
}


def _late(number: int, frame: object) -> None:
    raise TimeoutError(f"a check must take at most {_MOST_SECONDS} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=_CHECKS)
    parser.add_argument("count", type=int)
    parser.add_argument("--start", type=int, help="the first seed; today's date if left out")
    arguments = parser.parse_args()
    today = datetime.datetime.now(tz=datetime.timezone.utc).date()
    start = int(f"{today:%Y%m%d}") * 100_000 if arguments.start is None else arguments.start
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    signal.signal(signal.SIGPROF, _late)
    warnings.simplefilter("error")
    tally: Counter[str] = Counter()
    for seed in range(start, start + arguments.count):
        signal.setitimer(signal.ITIMER_PROF, _MOST_SECONDS)
        try:
            tally[_CHECKS[arguments.kind](seed)] += 1
        except Exception as error:  # whatever it is, the other seeds are looked at too
            signal.setitimer(signal.ITIMER_PROF, 0)
            tally["failed"] += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = str(error).strip().splitlines()[:1]
            print(
                f"{arguments.kind} {seed}: {type(error).__name__} {text} ({Path(where.filename).name}:{where.lineno})"
            )
    signal.setitimer(signal.ITIMER_PROF, 0)
    found = ", ".join(f"{count} {name}" for name, count in sorted(tally.items()))
    print(f"fuzz {arguments.kind}, {today}, seeds {start} to {start + arguments.count - 1}: {found}")
    return int(tally["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
