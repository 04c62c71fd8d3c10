# SPDX-License-Identifier: Apache-2.0
"""The shipped face detector as a circuit for xc7z030: frames of videos at 640x480 through RTL simulation, every code compared.

.venv/bin/python benchmarks/circuit_face_detector.py VIDEO... [--frames 10] [--fps 300] [--write]

With --write the figures go to docs/results/fpga_detector.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from bitlens.camera.source import open_source
from bitlens.core.files import write_atomically
from bitlens.fpga.devices import load_device
from bitlens.fpga.plan import plan
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.fpga.size import fix_size
from bitlens.graph.file import Program

ROOT = Path(__file__).parents[1]
SIZE = (480, 640)


def frames_of(videos: list[Path], count: int) -> np.ndarray:
    """Luma (N, 480, 640, 1), as many of each video, at most a second apart; each is scaled to cover the size and cut."""
    found = []
    for place, video in enumerate(videos):
        wanted = count // len(videos) + (place < count % len(videos))
        source = open_source(video)
        frames = [frame.luma for frame in itertools.islice(source, 25 * wanted)]
        source.close()
        if len(frames) < wanted:
            raise SystemExit(f"{video}: must have at least {wanted} frames, not {len(frames)}")
        for number in np.arange(wanted) * len(frames) // max(wanted, 1):
            height, width = frames[number].shape
            scale = max(SIZE[0] / height, SIZE[1] / width)
            picture = Image.fromarray(frames[number]).resize((round(width * scale), round(height * scale)))
            found.append(np.asarray(picture)[: SIZE[0], : SIZE[1], None])
    return np.stack(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--fps", type=float, default=300, help="goal of the plan at an assumed 200 MHz")
    parser.add_argument("--write", action="store_true")
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
    codes = sum(array.size for array in golden.values())
    print(f"{wrong} mismatching codes of {codes:,}")
    if arguments.write:
        row = {
            "command": f"python benchmarks/circuit_face_detector.py {' '.join(path.name for path in arguments.videos)} "
            f"--frames {arguments.frames} --fps {arguments.fps:g} --write",
            "device": "xc7z030",
            "size": "640x480",
        }
        row |= {"frames": len(images), "codes": codes, "mismatches": wrong, "cycles": int(intervals.max(initial=0))}
        row |= {
            "bottleneck": network.bottleneck.name,
            "foretold": network.bottleneck.cycles,
            "seconds": round(seconds, 1),
        }
        write_atomically(ROOT / "docs/results/fpga_detector.json", (json.dumps(row, indent=1) + "\n").encode())
    return int(wrong != 0)


if __name__ == "__main__":
    sys.exit(main())
