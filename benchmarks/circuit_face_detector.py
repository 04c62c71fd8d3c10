# SPDX-License-Identifier: Apache-2.0
"""The shipped face detector as a circuit for xc7z030: frames of videos at 640x480 through RTL simulation, every code compared.

.venv/bin/python benchmarks/circuit_face_detector.py VIDEO... [--frames 10] [--fps 300]
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from bitlens.camera.source import open_source
from bitlens.fpga.devices import load_device
from bitlens.fpga.plan import plan
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.fpga.size import fix_size
from bitlens.graph.file import Program

SIZE = (480, 640)


def frames_of(videos: list[Path], count: int) -> np.ndarray:
    """Luma (N, 480, 640, 1), as many of each video, a second apart or so; each is scaled to cover the size and cut."""
    found = []
    for place, video in enumerate(videos):
        wanted = count // len(videos) + (place < count % len(videos))
        source = open_source(video)
        for frame in itertools.islice(source, 0, 25 * wanted, 25):
            height, width = frame.luma.shape
            scale = max(SIZE[0] / height, SIZE[1] / width)
            picture = Image.fromarray(frame.luma).resize((round(width * scale), round(height * scale)))
            found.append(np.asarray(picture)[: SIZE[0], : SIZE[1], None])
        source.close()
    return np.stack(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--fps", type=float, default=300, help="goal of the plan at an assumed 200 MHz")
    arguments = parser.parse_args()
    images = frames_of(arguments.videos, arguments.frames)
    detector = resources.files("bitlens.vision") / "models" / "face_detector.bitlens"
    program = fix_size(Program.from_bytes(detector.read_bytes()), SIZE)
    network = plan(program, load_device("xc7z030"), arguments.fps).network
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        simulator = Simulator(network, write_project(network, folder))
        print(
            f"built in {time.monotonic() - start:.0f} s; {network.bottleneck.name}: {network.bottleneck.cycles:,} cycles a frame"
        )
        start = time.monotonic()
        found = simulator.run(images)
    seconds, intervals = time.monotonic() - start, np.diff(found.ends)
    print(
        f"{len(images)} frames, {intervals.max(initial=0):,} cycles a frame, the first {found.ends[0] + 1:,}; {seconds:.0f} s"
    )
    golden = program.run(images)
    wrong = sum(int((found.outputs[name] != golden[name]).sum()) for name in golden)
    print(f"{wrong} mismatching codes of {sum(array.size for array in golden.values()):,}")
    return int(wrong != 0)


if __name__ == "__main__":
    sys.exit(main())
