# SPDX-License-Identifier: Apache-2.0
"""The parameters of `rtl/unit.sv`: what is built once and runs many layers."""

from __future__ import annotations

from dataclasses import dataclass

from bitlens.fpga.network import FpgaError

__all__ = ["LEVELS", "QUEUE", "UnitSize", "check_array"]

LEVELS = 8  # bits of a code at most
QUEUE = 128  # words that wait to be written


@dataclass(frozen=True)
class UnitSize:
    """A unit.

    Args:
        pe: output channels at once; a power of two.
        simd: products of each a cycle; a power of two, at least `pe`. A word of memory has so many digits of 2 bits.
        lanes: codes a cycle; a power of two, at most `pe`.
        acc_bits: of a sum, two's complement; even.
        weights: words of weights that one layer may have.
        ring: words of rows.
        groups: of `lanes` channels that one layer may have.
        target: family of devices whose primitives it is built of, one of `TARGETS`.
    """

    pe: int
    simd: int
    lanes: int
    acc_bits: int
    weights: int
    ring: int
    groups: int
    target: str = "generic"

    @property
    def entry_words(self) -> int:
        """Words of memory of a breakpoint."""
        return -(-(self.acc_bits + 1) // (2 * self.simd))

    @property
    def adder_levels(self) -> int:
        """Levels of adders behind the products of an output channel."""
        left, levels = self.simd, 0
        while left > 1:
            left, levels = -(-left // (3 if self.target == "xc7" else 2)), levels + 1
        return levels

    @property
    def parameters(self) -> dict[str, int]:
        """As `rtl/unit.sv` names them."""
        return {
            "PE": self.pe,
            "SIMD": self.simd,
            "LANES": self.lanes,
            "ACC_BITS": self.acc_bits,
            "WEIGHTS": self.weights,
            "RING": self.ring,
            "GROUPS": self.groups,
            "QUEUE": QUEUE,
        }


def check_array(pe: int, simd: int) -> None:
    """See that an array can be built.

    Raises:
        FpgaError: it is no power of two, or has more PE than SIMD.
    """
    if pe < 1 or simd < 4 or pe & (pe - 1) or simd & (simd - 1) or pe > simd or simd > 256:
        raise FpgaError(
            f"array: must be PExSIMD, powers of two, 1 <= PE <= SIMD and 4 <= SIMD <= 256, not {pe}x{simd}; try 16x16"
        )
