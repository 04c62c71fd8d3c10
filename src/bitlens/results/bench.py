# SPDX-License-Identifier: Apache-2.0
"""How fast a program is here, beside peers, in one interleaved run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.file import Program
from bitlens.graph.graph import GraphError

__all__ = ["bench_program", "render", "time_interleaved"]

Report = dict[str, Any]
_LEAST_ROUNDS = 5
_PEERS = ("onnxruntime",)


def bench_program(
    model: str,
    *,
    peers: Sequence[str] = (),
    onnx: str | None = None,
    threads: int = 1,
    isa: str | None = None,
    batch: int = 1,
    size: tuple[int, int] | None = None,
    seconds: float = 3.0,
) -> Report:
    """Time a program on random images; a recurrent one takes a batch as so many steps.

    Args:
        model: path of a `.bitlens` file.
        peers: "onnxruntime".
        onnx: the model it was compiled from; needed for peers.
        threads, isa, batch, size: how the program runs.
        seconds: time spent on each.

    Returns:
        {"batch", "threads", "rows": [{"name", "milliseconds", "p10", "p90", "images_per_second", "ratio"}]}; ratio is ours
        divided by the row's, in images a second (above 1: ours is faster). Both come from medians, in milliseconds.

    Raises:
        GraphError: an argument is out of range, or peers have no model.
    """
    from bitlens.runtime import Session

    for peer in peers:
        if peer not in _PEERS:
            raise GraphError(f"bench: peer must be one of {', '.join(_PEERS)}, not {peer}")
    if peers and onnx is None:
        raise GraphError("bench: the ONNX file the program was compiled from must be given for peers (--onnx M.onnx)")
    if batch < 1:
        raise GraphError(f"bench: batch must be at least 1, not {batch}")
    if not 0 < seconds < math.inf:
        raise GraphError(f"bench: seconds must be a positive number, not {seconds}")
    program = Program.load(model)
    session = Session(program, threads=threads, isa=isa, size=size)
    carried = {state.input for state in program.graph.states}
    free = [name for name in program.graph.inputs if name not in carried]
    images = {name: _random_images(program, name, batch, size) for name in free}
    take: Callable[[Any], Any] = session.stream().run if carried else session.run
    runs: dict[str, Callable[[], Any]] = {"bitlens": lambda: take(images)}
    if peers and onnx is not None:
        from bitlens.results.peers import onnxruntime_peers

        if len(program.graph.inputs) > 1:
            raise GraphError(f"bench: peers must be given a model of one input, not {len(program.graph.inputs)}")
        for name, run in onnxruntime_peers(onnx, images[free[0]], threads).items():
            runs[name] = lambda run=run: run(images[free[0]])  # type: ignore[misc]
    times = time_interleaved(runs, seconds)
    ours = 1e3 * float(np.median(times["bitlens"]))
    rows = []
    for name, values in times.items():
        p10, median, p90 = (1e3 * float(np.percentile(values, q)) for q in (10, 50, 90))
        row = {"name": name, "milliseconds": median, "p10": p10, "p90": p90, "images_per_second": 1e3 * batch / median}
        rows.append(row | {"ratio": median / ours, "calls": len(values)})
    return {"batch": batch, "threads": threads, "rows": rows}


def time_interleaved(runs: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, npt.NDArray[np.float64]]:
    """Time calls round-robin, so that a disturbance hits all alike; wall seconds of each call by name.

    The first round is not counted. Fast calls are repeated within a round so that each gets a similar share of time.
    """
    repeats = {}
    for name, run in runs.items():
        run()
        start = time.perf_counter()
        run()
        repeats[name] = max(1, min(100, int(0.02 / max(1e-6, time.perf_counter() - start))))
    times: dict[str, list[float]] = {name: [] for name in runs}
    deadline = time.perf_counter() + seconds * len(runs)
    rounds = 0
    while rounds < _LEAST_ROUNDS or time.perf_counter() < deadline:
        for name, run in runs.items():
            for _ in range(repeats[name]):
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
        rounds += 1
    return {name: np.array(values) for name, values in times.items()}


def _random_images(program: Program, name: str, batch: int, size: tuple[int, int] | None) -> npt.NDArray[Any]:
    value = program.graph.value(name)
    assert value.grid is not None
    height, width, channels = value.shape or (None, None, None)
    assert channels is not None
    if (height is None or width is None) and size is None:
        raise GraphError("bench: size must be given for a program of symbolic size (--size HxW)")
    shape = (batch, height or (size or (0, 0))[0], width or (size or (0, 0))[1], channels)
    integers = value.grid.decode(np.random.default_rng(0).integers(0, value.grid.levels, shape))
    return integers.astype(np.uint8 if value.grid.lo >= 0 and value.grid.hi <= 255 else np.int32)


def render(report: Report) -> str:
    """The report as text, one line a peer."""
    lines = [f"batch {report['batch']}, {report['threads']} threads, interleaved; median (10 to 90 %)"]
    for row in report["rows"]:
        ratio = "" if row["name"] == "bitlens" else f"   bitlens is {row['ratio']:.2f}x as fast"
        lines.append(
            f"{row['name']:32} {row['images_per_second']:10,.0f} images/s "
            f"{row['milliseconds']:9.3f} ms ({row['p10']:.3f} to {row['p90']:.3f}){ratio}"
        )
    return "\n".join(lines)
