# SPDX-License-Identifier: Apache-2.0
"""How fast a program is here, beside peers, in one interleaved run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.graph import GraphError
from bitlens.graph.island_file import load_program
from bitlens.graph.islands import IslandProgram

__all__ = ["bench_program", "render", "time_interleaved"]

if TYPE_CHECKING:
    from bitlens.runtime import Tensor

Report = dict[str, Any]
_LEAST_ROUNDS = 5
_PEERS = ("onnxruntime", "openvino")


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
        peers: "onnxruntime", "openvino".
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
    program = load_program(model)
    session = Session(program, threads=threads, isa=isa, size=size)
    if peers and isinstance(program, IslandProgram):
        raise GraphError("bench: peers must be given a program of integers alone, not one with float islands")
    carried = set() if isinstance(program, IslandProgram) else {state.input for state in program.graph.states}
    images = {name: _random_images(tensor, batch) for name, tensor in session.inputs.items() if name not in carried}
    take: Callable[[Any], Any] = session.stream().run if carried else session.run
    runs: dict[str, Callable[[], Any]] = {"bitlens": lambda: take(images)}
    if peers and onnx is not None:
        from bitlens.results.peers import PEERS

        if len(session.inputs) > 1:
            raise GraphError(f"bench: peers must be given a model of one input, not {len(session.inputs)}")
        (only,) = images.values()
        for peer in peers:
            for name, run in PEERS[peer](onnx, only, threads).items():
                runs[name] = lambda run=run: run(only)  # type: ignore[misc]
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


def _random_images(tensor: Tensor, batch: int) -> npt.NDArray[Any]:
    rng, shape, grid = np.random.default_rng(0), (batch, *tensor.shape), tensor.grid
    if grid is None:
        return rng.normal(0, 1, shape).astype(np.float32)
    integers = grid.decode(rng.integers(0, grid.levels, shape))
    return integers.astype(np.uint8 if grid.lo >= 0 and grid.hi <= 255 else np.int32)


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
