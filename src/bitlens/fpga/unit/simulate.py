# SPDX-License-Identifier: Apache-2.0
"""Simulate a unit with Verilator: a processor and a memory around it, every word it writes, and the cycles of every layer."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitlens.fpga.network import FpgaError
from bitlens.fpga.unit.cycles import layer_ends
from bitlens.fpga.unit.memory import from_bytes, from_words, to_bytes, to_words
from bitlens.fpga.unit.schedule import Schedule
from bitlens.fpga.unit.size import UnitSize
from bitlens.fpga.verilate import build_unit, pauses_of

__all__ = ["UnitRun", "UnitSimulator"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UnitRun:
    """What came out.

    Args:
        outputs: int64 (N, H, W, C) by name.
        cycles: int64 (N,), from `go` to `done`.
        ends: int64 (N, layers), the cycle in which each layer's last word was written, from `go`.
        read, written: words of an image.
    """

    outputs: dict[str, IntArray]
    cycles: IntArray
    ends: IntArray
    read: int
    written: int


class UnitSimulator:
    """A unit as a library of this process.

    Args:
        size: of the unit.
        folder: of the project; the build goes into its `build/`.
        structural: simulate the bodies of the target, its primitives too.

    Raises:
        FpgaError: Verilator is missing or refuses the circuit; the first line of what it says.
    """

    def __init__(self, size: UnitSize, folder: str | os.PathLike[str], *, structural: bool = False) -> None:
        self.size = size
        library = build_unit(size.simd, Path(folder).resolve(), structural)
        self._library = ctypes.CDLL(str(library))
        self._library.unit_open.restype = ctypes.c_void_p
        self._library.unit_run.restype = ctypes.c_int64

    def run(
        self,
        schedule: Schedule,
        images: npt.ArrayLike,
        *,
        latency: int = 8,
        pauses: float = 0.0,
        seed: int = 1,
        progress: Callable[[int], None] | None = None,
    ) -> UnitRun:
        """Run images one after the other.

        Args:
            schedule: what the unit runs, made for its size.
            images: integers (N, H, W, C) of the input's grid.
            latency: cycles from a burst's grant to its first word, at least 1.
            pauses: how often each side of the memory pauses, 0 to 1.
            seed: of the pauses, 0 to 2^64 - 1; image k takes seed + k.
            progress: called with the number of images that are done.

        Raises:
            FpgaError: the unit stands still, or leaves its memory.
        """
        array = np.asarray(images, np.int64)
        simd, layers = schedule.size.simd, len(schedule.steps)
        memory = np.zeros((schedule.words, simd // 4), np.uint8)
        memory[: len(schedule.constants)] = to_bytes(schedule.constants)
        outputs: dict[str, list[IntArray]] = {name: [] for name in schedule.outputs}
        cycles, ends = np.zeros(len(array), np.int64), np.zeros((len(array), layers), np.int64)
        traffic = np.zeros(2, np.int64)
        most = int(1000 + 4 * layer_ends(schedule, latency)[-1] / (1 - pauses) if pauses < 1 else 1000)
        handle = self._library.unit_open()
        try:
            for place, image in enumerate(array):
                words = to_bytes(to_words(image, schedule.tensors[schedule.input], simd))
                memory[schedule.addresses[schedule.input] :][: len(words)] = words
                cycles[place] = self._run(handle, most, memory, ends[place], traffic, latency, pauses, seed + place)
                for name, view in schedule.outputs.items():
                    tensor = schedule.tensors[view.tensor]
                    count = tensor.shape[0] * tensor.shape[1] * tensor.planes * schedule.folds(view.tensor)
                    found = from_bytes(memory[schedule.addresses[view.tensor] :][:count])
                    outputs[name].append(from_words(found, tensor, view))
                if progress is not None:
                    progress(place + 1)
        finally:
            self._library.unit_close(ctypes.c_void_p(handle))
        return UnitRun({name: np.array(found) for name, found in outputs.items()}, cycles, ends, *map(int, traffic))

    def _run(
        self,
        handle: int,
        most: int,
        memory: npt.NDArray[np.uint8],
        ends: IntArray,
        traffic: IntArray,
        latency: int,
        pauses: float,
        seed: int,
    ) -> int:
        cycles = int(
            self._library.unit_run(
                ctypes.c_void_p(handle),
                ctypes.c_void_p(memory.ctypes.data),
                ctypes.c_int64(len(memory)),
                ctypes.c_uint32(0),
                ctypes.c_void_p(ends.ctypes.data),
                ctypes.c_int64(len(ends)),
                ctypes.c_void_p(traffic.ctypes.data),
                ctypes.c_int64(latency),
                ctypes.c_uint64(pauses_of(pauses)),
                ctypes.c_uint64(seed),
                ctypes.c_int64(most),
            )
        )
        if cycles == -1:
            raise FpgaError(f"simulation: unit must finish within {most:,} cycles, not stand still")
        if cycles < 0:
            raise FpgaError("simulation: bursts must stay in memory, not leave it")
        return cycles
