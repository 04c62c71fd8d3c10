# SPDX-License-Identifier: Apache-2.0
"""Simulate a project of `bitlens fpga` on images: every output integer beside the engine's or golden's."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.files import write_atomically
from bitlens.fpga.export import random_images
from bitlens.fpga.network import FpgaError, Network
from bitlens.fpga.project import read_network
from bitlens.fpga.report import add_to_report, read_report
from bitlens.fpga.simulate import Simulator
from bitlens.fpga.unit.cycles import image_cycles
from bitlens.fpga.unit.export import read_schedule
from bitlens.fpga.unit.report import LATENCY_CYCLES
from bitlens.fpga.unit.simulate import UnitSimulator
from bitlens.graph.file import Program
from bitlens.results.forms import open_form, read_array
from bitlens.results.ticking import ticking_bar

__all__ = ["read_images", "render", "simulate_project"]

Report = dict[str, Any]
IntArray = npt.NDArray[np.int64]

_SHOWN = 5  # mismatches that are named
_COUNT = 16  # random images where nothing is said
_BATCH = 100
_IMAGES_EACH = 4  # a circuit is given, at least: an interval is seen only from its second image on
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm")


def simulate_project(
    folder: str | Path,
    images: str | None = None,
    *,
    count: int | None = None,
    stalls: float = 0.0,
    seed: int = 1,
    structural: bool = False,
    circuits: int | None = None,
    backend: str = "engine",
    progress: bool = False,
) -> Report:
    """Build and run the circuit, compare every output integer, and add what was seen to the project's report.

    Args:
        folder: of `bitlens fpga`.
        images: see `read_images`; random ones where None.
        count: how many of them, spread evenly over what there is.
        stalls: how often sender and readers pause, 0 to 1.
        seed: of pauses and random images.
        structural: simulate the bodies that synthesis takes, with primitives of the device where its family has such bodies.
        circuits: simulated at once; as many as there are cores where None, each with at least 4 images.
        backend: "engine" or "golden", what the circuit is compared with.
        progress: show a bar on standard error.

    Returns:
        {"images", "codes", "mismatches", "first", "cycles", "latency_cycles", "build_seconds", "run_seconds",
        "images_per_second", "stalls", "structural"}, "first" naming the first mismatches; "cycles" is None of one image, which
        the project's report does not get.

    Raises:
        FpgaError: the folder is none of ours, images do not fit, a tool is missing.
    """
    if not 0 <= stalls < 1:
        raise FpgaError(f"stalls: must be at least 0 and below 1, not {stalls:g}")
    if count is not None and count < 1:
        raise FpgaError(f"count: must be at least 1, not {count}")
    if not 0 <= seed < 1 << 63:
        raise FpgaError(f"seed: must be at least 0 and below 2^63, not {seed}")
    root = Path(folder)
    reported = (root / "report.json").exists()
    if reported:
        read_report(root)  # a damaged one is said before a long run, not after
    if (root / "unit.json").is_file():
        return simulate_unit(root, images, count, stalls, seed, structural, backend, progress)
    network, program = read_network(root), Program.load(root / "program.bitlens")
    _check_edges(root, network, program)
    array = random_images(program, count or _COUNT, seed) if images is None else read_images(images, program, count)
    with ticking_bar(2, "build", shown=progress) as bar:
        started = time.monotonic()
        simulator = Simulator(network, root, structural=structural)
        built = time.monotonic()
        bar.update(2)
    most = max(1, len(array) // _IMAGES_EACH)
    cores = min(circuits or len(os.sched_getaffinity(0)), most)
    with ticking_bar(len(array), "simulate", shown=progress) as bar:
        found = simulator.run(
            array,
            pauses=(stalls, stalls),
            seed=seed,
            circuits=cores,
            progress=lambda done: bar.update(done - bar.n),
        )
    ran = time.monotonic()
    report = {
        **_compared(root, array, found.outputs, backend),
        "cycles": found.interval,
        "latency_cycles": int(found.ends[0]) + 1,
        "circuits": len(found.share),
        "build_seconds": built - started,
        "run_seconds": ran - built,
        "images_per_second": len(array) / (ran - built),
        "stalls": stalls,
        "structural": structural,
    }
    if found.interval is not None and reported:
        add_to_report(root, {key: report[key] for key in _KEPT})
    return report


def simulate_unit(
    root: Path,
    images: str | None,
    count: int | None,
    stalls: float,
    seed: int,
    structural: bool,
    backend: str,
    progress: bool,
) -> Report:
    """The same for a project of one unit, whose memory has the latency that the project's report assumes.

    Returns:
        As of `simulate_project`, and "predicted_cycles", "read_bytes", "written_bytes" of an image.
    """
    found, program = read_schedule(root)
    array = random_images(program, count or _COUNT, seed) if images is None else read_images(images, program, count)
    with ticking_bar(1, "build", shown=progress) as bar:
        started = time.monotonic()
        simulator = UnitSimulator(found.size, root, structural=structural)
        built = time.monotonic()
        bar.update()
    with ticking_bar(len(array), "simulate", shown=progress) as bar:
        run = simulator.run(
            found,
            array,
            latency=LATENCY_CYCLES,
            pauses=stalls,
            seed=seed,
            progress=lambda done: bar.update(done - bar.n),
        )
    ran = time.monotonic()
    report = {
        **_compared(root, array, run.outputs, backend),
        "cycles": float(run.cycles.mean()),
        "latency_cycles": int(run.cycles[0]),
        "predicted_cycles": image_cycles(found, LATENCY_CYCLES),
        "read_bytes": run.read * found.size.simd // 4,
        "written_bytes": run.written * found.size.simd // 4,
        "circuits": 1,
        "build_seconds": built - started,
        "run_seconds": ran - built,
        "images_per_second": len(array) / (ran - built),
        "stalls": stalls,
        "structural": structural,
    }
    if (root / "report.json").exists():
        told = read_report(root)
        told["simulated"] = {key: report[key] for key in (*_KEPT, "predicted_cycles", "read_bytes", "written_bytes")}
        write_atomically(root / "report.json", json.dumps(told, indent=1).encode())
    return report


def _check_edges(root: Path, network: Network, program: Program) -> None:
    """See that the circuit and the program are of one net."""
    graph = program.graph
    into = [graph.value(name).shape for name in graph.inputs]
    out = {graph.output_names.get(tensor, tensor): graph.value(tensor).shape for tensor in graph.outputs}
    if into != [network.input.shape] or out != {name: stream.shape for name, stream in network.outputs.items()}:
        raise FpgaError(f"{root / 'program.bitlens'}: must be the circuit's, not another; make the project again")


def _compared(root: Path, array: IntArray, outputs: Mapping[str, IntArray], backend: str) -> Report:
    """What came out beside what the program gives."""
    expected = _expected(str(root / "program.bitlens"), array, backend)
    first = [line for name in expected for line in _differences(name, outputs[name], expected[name])]
    return {
        "images": len(array),
        "codes": sum(codes.size for codes in expected.values()),
        "mismatches": sum(int((outputs[name] != expected[name]).sum()) for name in expected),
        "first": first[:_SHOWN],
        "against": backend,
    }


_KEPT = ("images", "codes", "mismatches", "cycles", "latency_cycles", "stalls", "structural")


def read_images(source: str, program: Program, count: int | None = None) -> IntArray:
    """Read images for a program's input.

    Args:
        source: an array (.npy; .npz: its first), a picture, a folder of pictures, or the folder of the data set whose test
            images the program's recipe takes.
        program: of one input.
        count: how many, spread evenly over what there is.

    Raises:
        FpgaError: they have another shape than the input, or integers that it cannot hold.
    """
    path = Path(source)
    if path.is_dir():
        pictures = sorted(file for file in path.iterdir() if file.suffix.lower() in _PICTURES)
        if not pictures:
            return _chosen(_test_set(source, program), count)
        chosen = [pictures[i] for i in _spread(len(pictures), count)]
        return np.concatenate([_fitting(str(picture), read_array(str(picture)), program) for picture in chosen])
    if path.suffix == ".npz":
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return _chosen(_fitting(source, arrays[arrays.files[0]], program), count)
    return _chosen(_fitting(source, read_array(source), program), count)


def _test_set(folder: str, program: Program) -> IntArray:
    from bitlens.results.line import test_images

    recipe = program.metadata.get("recipe", "")
    if not recipe:
        raise FpgaError(
            f"{folder}: folder must hold pictures, as the program names no recipe whose test set it could be"
        )
    return _fitting(folder, test_images(recipe, folder)[0], program)


def _chosen(array: IntArray, count: int | None) -> IntArray:
    return array[_spread(len(array), count)]


def _spread(there: int, count: int | None) -> IntArray:
    """Which of them: all, or some at even distances, so that a set in order of its classes gives of each."""
    wanted = there if count is None else min(count, there)
    return np.arange(wanted, dtype=np.int64) * there // max(wanted, 1)


def _fitting(source: str, array: npt.NDArray[Any], program: Program) -> IntArray:
    value = program.graph.value(program.graph.inputs[0])
    if array.ndim != 4 or array.shape[1:] != value.shape:
        wanted = "x".join(map(str, value.shape or ()))
        raise FpgaError(f"{source}: images must be of shape Nx{wanted}, not {'x'.join(map(str, array.shape))}")
    assert value.grid is not None
    if not len(array):
        raise FpgaError(f"{source}: images must be at least one, not none")
    if array.dtype.kind not in "iu" or not value.grid.contains(array):
        raise FpgaError(f"{source}: images must hold integers of {value.grid}, not others; dtype {array.dtype}")
    return array


def _expected(model: str, array: IntArray, backend: str) -> dict[str, IntArray]:
    form = open_form(model, backend=backend)
    parts = [form.run(array[begin : begin + _BATCH]) for begin in range(0, len(array), _BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _differences(name: str, found: IntArray, expected: IntArray) -> Iterator[str]:
    for place in np.argwhere(found != expected)[:_SHOWN]:
        image, row, column, channel = (int(x) for x in place)
        yield (
            f"image {image}, output {name}, row {row}, column {column}, channel {channel}: "
            f"must be {expected[tuple(place)]}, not {found[tuple(place)]}"
        )


def _cycles(report: Report) -> str:
    if "predicted_cycles" in report:
        return (
            f"{report['cycles']:,.1f} cycles an image, {report['predicted_cycles']:,} predicted without stalls; "
            f"{report['read_bytes']:,} bytes read, {report['written_bytes']:,} written"
        )
    first = f"{report['latency_cycles']:,} to the first result"
    if report["cycles"] is None:
        return f"cycles: {first}; from image to image is seen with two images or more"
    return f"{report['cycles']:,.1f} cycles from image to image, {first}"


def render(report: Report) -> str:
    """The report as text; the last line is `N mismatching codes`."""
    bodies = ", structural bodies" if report["structural"] else ""
    stalls = f", both sides pausing {report['stalls'] * 100:g} % of the cycles" if report["stalls"] else ""
    lines = [
        f"{report['images']:,} images, {report['codes']:,} codes, each compared with the {report['against']}'s{bodies}{stalls}",
        _cycles(report),
        f"built in {report['build_seconds']:.1f} s, simulated in {report['run_seconds']:.1f} s by {report['circuits']} "
        f"circuit{'s' * (report['circuits'] > 1)} at once: {report['images_per_second']:.1f} images/s",
        *report["first"],
        f"{report['mismatches']:,} mismatching codes",
    ]
    return "\n".join(lines)
