# SPDX-License-Identifier: Apache-2.0
"""How layers are spread over time."""

from __future__ import annotations

from dataclasses import dataclass

from bitlens.graph.file import Program

__all__ = ["KERNELS", "Fold", "default_folding", "largest_divisor"]

KERNELS = ("fold", "lutrom", "hard")


@dataclass(frozen=True)
class Fold:
    """How a layer is spread over time.

    Args:
        pe: output channels computed at once; divides the output channels.
        simd: inputs taken at once: channels of one tap, which it divides, or else channels of a whole column of taps, then a
            divisor of the channels times the kernel's height. Counts for dense convolutions only.
        kernel: where the weights lie, one of `KERNELS`: in block RAM with output registers, in a shallow ROM of LUTs, or nowhere:
            a hard-wired layer has adders made for its weights, and takes all channels and whole windows at once.
    """

    pe: int
    simd: int = 1
    kernel: str = "fold"


def default_folding(program: Program, pe: int = 1, simd: int = 1) -> dict[str, Fold]:
    """Every layer at the largest folds that divide its channels and do not exceed these."""
    folds = {}
    for node in program.graph:
        if node.op == "conv":
            outputs, _, _, depth = node.attrs["weights"].shape
            folds[node.name] = Fold(largest_divisor(outputs, pe), largest_divisor(depth, simd))
    return folds


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is at most `most`."""
    return max(d for d in range(1, min(number, most) + 1) if number % d == 0)
