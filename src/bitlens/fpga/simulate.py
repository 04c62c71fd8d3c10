# SPDX-License-Identifier: Apache-2.0
"""Simulate a circuit with Verilator: every output integer of every image, and the cycles it took."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitlens.fpga.network import FpgaError, Network, Stream
from bitlens.fpga.verilate import build_library, pauses_of

__all__ = ["Simulation", "Simulator"]

IntArray = npt.NDArray[np.int64]

_GLANCE_SECONDS = 0.2
_BATCH = 64  # images turned into beats at once


@dataclass(frozen=True)
class Simulation:
    """What came out.

    Args:
        outputs: int64 (N, H, W, C) by name.
        cycles: of all images together; of several circuits, their sum.
        first: cycle of the first beat of any output.
        ends: int64 (N,), the cycle in which an image was out whole, counted by the circuit it went through.
        share: how many images each circuit took.
    """

    outputs: dict[str, IntArray]
    cycles: int
    first: int
    ends: IntArray
    share: tuple[int, ...]

    @property
    def interval(self) -> float | None:
        """Cycles from image to image: the first one of each circuit does not count; None where none has two."""
        starts = np.cumsum([0, *self.share[:-1]])
        gaps = sum(self.share) - len(self.share)
        if not gaps:
            return None
        return sum(int(self.ends[s + n - 1] - self.ends[s]) for s, n in zip(starts, self.share, strict=True)) / gaps


class Simulator:
    """A circuit as a library of this process.

    Args:
        network: what was written into the folder.
        folder: of `write_project`; the build goes into its `build/`.
        structural: as of `build_library`.

    Raises:
        FpgaError: Verilator is missing or refuses the circuit; the first line of what it says.
    """

    def __init__(self, network: Network, folder: str | os.PathLike[str], *, structural: bool = False) -> None:
        self.network, self.root = network, Path(folder).resolve()
        self._library = ctypes.CDLL(str(build_library(network, self.root, structural)))
        self._library.bitlens_open.restype = ctypes.c_void_p
        self._library.bitlens_run.restype = ctypes.c_int64

    def run(
        self,
        images: npt.ArrayLike,
        *,
        pauses: tuple[float, float] = (0.0, 0.0),
        seed: int = 1,
        circuits: int = 1,
        progress: Callable[[int], None] | None = None,
    ) -> Simulation:
        """Send images through the circuit.

        Args:
            images: integers (N, H, W, C) of the input's grid.
            pauses: how often the sender and the readers pause, 0 to 1.
            seed: of the pauses, 0 to 2^64 - 1; circuit k of several takes seed + k.
            circuits: how many simulate at once, each on a thread and with its share of the images.
            progress: called now and then with the number of images that are out.

        Raises:
            FpgaError: the circuit stands still.
        """
        array = np.asarray(images)
        share = [len(part) for part in np.array_split(np.arange(len(array)), max(1, min(circuits, len(array))))]
        starts = np.cumsum([0, *share[:-1]])
        done = [ctypes.c_int64() for _ in share]
        handles = [self._open() for _ in share]
        try:
            with ThreadPoolExecutor(len(share)) as pool:
                runs = [
                    pool.submit(self._run, handle, array[s : s + n], pauses, seed + place, out)
                    for place, (handle, s, n, out) in enumerate(zip(handles, starts, share, done, strict=True))
                ]
                _watch(runs, done, progress)
        finally:
            for handle in handles:
                self._library.bitlens_close(ctypes.c_void_p(handle))
        parts = [run.result() for run in runs]
        outputs = {name: np.concatenate([part.outputs[name] for part in parts]) for name in self.network.outputs}
        ends = np.concatenate([part.ends for part in parts])
        return Simulation(outputs, sum(part.cycles for part in parts), parts[0].first, ends, tuple(share))

    def _open(self) -> int:
        handle = self._library.bitlens_open(os.fsencode(self.root))
        if not handle:
            raise FpgaError(f"{self.root}: folder must be one that can be entered")
        return int(handle)

    def _run(
        self, handle: int, array: IntArray, pauses: tuple[float, float], seed: int, done: ctypes.c_int64
    ) -> Simulation:
        network, count = self.network, len(array)
        beats = _to_beats(array, network.input)
        streams = [*network.outputs.values()]
        rooms = [np.zeros((count * stream.beats, _bytes(stream)), np.uint8) for stream in streams]
        wanted = (ctypes.c_int64 * len(rooms))(*(stream.beats for stream in streams))
        pointers = (ctypes.c_void_p * len(rooms))(*(room.ctypes.data for room in rooms))
        ends, first = np.zeros(count, np.int64), ctypes.c_int64()
        slow = 1 / (1 - max(pauses)) if max(pauses) < 1 else 256
        work = sum(element.cycles for element in network.elements) + network.bottleneck.cycles * count
        most = int(10_000 + 4 * slow * work)
        cycles = self._library.bitlens_run(
            ctypes.c_void_p(handle),
            ctypes.c_void_p(beats.ctypes.data),
            ctypes.c_int64(len(beats)),
            pointers,
            wanted,
            ctypes.c_int64(count),
            ctypes.c_void_p(ends.ctypes.data),
            ctypes.byref(first),
            ctypes.byref(done),
            ctypes.c_uint64(pauses_of(pauses[0])),
            ctypes.c_uint64(pauses_of(pauses[1])),
            ctypes.c_uint64(seed),
            ctypes.c_int64(most),
        )
        if cycles < 0:
            full = self._full_queues(handle)
            raise FpgaError(
                f"simulation: circuit must finish within {most:,} cycles, not stand still; full queues: {full}"
            )
        outputs = {n: _from_beats(r, s, count) for n, s, r in zip(network.outputs, streams, rooms, strict=True)}
        return Simulation(outputs, cycles, first.value, ends, (count,))

    def _full_queues(self, handle: int) -> str:
        text = ctypes.create_string_buffer(1 << 16)
        self._library.bitlens_full(ctypes.c_void_p(handle), text, ctypes.c_int64(len(text)))
        names = [name.removeprefix("TOP.top.u_") for name in text.value.decode().split(",") if name]
        return ", ".join(names) or "none"


def _watch(runs: list[Future[Simulation]], done: list[ctypes.c_int64], progress: Callable[[int], None] | None) -> None:
    waiting = set(runs)
    while waiting:
        _, waiting = wait(waiting, _GLANCE_SECONDS if progress else None)
        if progress is not None:
            progress(sum(count.value for count in done))


def _bytes(stream: Stream) -> int:
    """Bytes that Verilator keeps a beat in."""
    width = stream.width
    return 1 if width <= 8 else 2 if width <= 16 else 4 if width <= 32 else 8 if width <= 64 else 4 * (-(-width // 32))


def _to_beats(array: IntArray, stream: Stream) -> npt.NDArray[np.uint8]:
    """(N, H, W, C) -> (beats, bytes), integers packed lane by lane."""
    beats = np.zeros((len(array) * stream.beats, _bytes(stream)), np.uint8)
    for begin in range(0, len(array), _BATCH):
        lanes = array[begin : begin + _BATCH].astype(np.int64).reshape(-1, stream.lanes)
        bits = ((lanes[:, :, None] >> np.arange(stream.bits)) & 1).reshape(len(lanes), -1).astype(np.uint8)
        packed = np.packbits(bits, axis=1, bitorder="little")
        beats[begin * stream.beats :][: len(packed), : packed.shape[1]] = packed
    return beats


def _from_beats(room: npt.NDArray[np.uint8], stream: Stream, count: int) -> IntArray:
    bits = np.unpackbits(room, axis=1, bitorder="little")[:, : stream.width].reshape(
        len(room), stream.lanes, stream.bits
    )
    numbers = (bits.astype(np.int64) << np.arange(stream.bits)).sum(axis=2)
    if stream.signed:
        numbers -= (numbers >> (stream.bits - 1)) << stream.bits
    return np.asarray(numbers.reshape(count, *stream.shape))
