# SPDX-License-Identifier: Apache-2.0
"""The three integer products of a layer that trains, on the engine's kernels.

Activations are codes a of k bits, integers a. Weights and gradients are codes c of k bits, integers 2c - n with n = 2^k - 1 (no
zero level), as `bitlens.quant` has them. Scales stay outside: a real value is the integer times its scale.

    >>> products = LayerProducts(weight_bits=1, activation_bits=2, gradient_bits=4, padding=(1, 1))
    >>> y = products.forward(activations, weights)                                   # doctest: +SKIP
    >>> dx = products.backward_input(gradients, weights, size=(32, 32))              # doctest: +SKIP
    >>> dw = products.backward_weight(activations, gradients, kernel=(3, 3))         # doctest: +SKIP

A fully connected layer is one of 1x1 images and a 1x1 kernel.

Source of the three products: Zhou et al., DoReFa-Net, arXiv 1606.06160 v3, section 2.1 and algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitlens.runtime import _native
from bitlens.runtime.tensor import SessionError

__all__ = ["LayerProducts", "convolve"]

Codes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int32]
_MOST_BITS = 8


def convolve(
    codes: Codes,
    code_bits: int,
    weights: Codes,
    weight_bits: int,
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    threads: int | None = None,
    isa: str | None = None,
) -> Integers:
    """Return the exact sums of c * (2w - n), n = 2^weight_bits - 1, over every window; padding counts 0.

    Args:
        codes: c, uint8 (N, H, W, C), each below 2^code_bits.
        code_bits, weight_bits: 1 to 8.
        weights: w, uint8 (O, kernel h, kernel w, C), or (N, O, kernel h, kernel w, C) for weights of each image's own.
        stride: (h, w).
        pads: top, left, bottom, right.
        threads, isa: see `Session`.

    Returns:
        int32 (N, out h, out w, O).

    Raises:
        SessionError: sizes do not fit, a code is too large, or sums might pass 28 bits.
    """
    weights = weights if weights.ndim == 5 else weights[None]
    if codes.ndim != 4 or weights.ndim != 5 or codes.shape[3] != weights.shape[4]:
        raise SessionError(
            f"convolve: codes (N, H, W, C) and weights (O, kernel h, kernel w, C) must have one C, not {codes.shape} "
            f"and {weights.shape[1:]}"
        )
    if len(weights) not in (1, len(codes)):
        raise SessionError(f"convolve: weights must be one set or {len(codes)}, one an image, not {len(weights)}")
    if min(stride) < 1:
        raise SessionError(f"stride: must be at least 1, not {stride}")
    for name, array, bits in (("codes", codes, code_bits), ("weights", weights, weight_bits)):
        _check_codes(name, array, bits)
    sides = (
        max(0, side + before + after - kernel) // step + 1
        for side, kernel, step, before, after in zip(
            codes.shape[1:3], weights.shape[2:4], stride, pads[:2], pads[2:], strict=True
        )
    )
    sums = np.empty((len(codes), *sides, weights.shape[1]), np.int32)
    try:
        _native.multiply(
            np.ascontiguousarray(codes),
            code_bits,
            np.ascontiguousarray(weights),
            weight_bits,
            stride,
            pads,
            sums,
            threads or 0,
            isa,
        )
    except _native.EngineError as error:
        raise SessionError(str(error)) from None
    return sums


def _check_codes(name: str, array: Codes, bits: int) -> None:
    if not 1 <= bits <= _MOST_BITS:
        raise SessionError(f"{name}: bits must be 1 to {_MOST_BITS}, not {bits}")
    if array.dtype != np.uint8:
        raise SessionError(f"{name}: dtype must be uint8, not {array.dtype}")
    if not array.size:
        raise SessionError(f"{name}: must hold values, not be of shape {array.shape}")
    if bits < _MOST_BITS and int(array.max()) >> bits:
        raise SessionError(f"{name}: every code must be below {1 << bits}, not {int(array.max())}")


@dataclass(frozen=True)
class LayerProducts:
    """Forward and backward of one layer on codes; images are channels last.

    Args:
        weight_bits, activation_bits, gradient_bits: 1 to 8.
        stride, padding: (h, w) of the layer; padding is less than the kernel.
        threads, isa: see `Session`.
    """

    weight_bits: int
    activation_bits: int
    gradient_bits: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    threads: int | None = None
    isa: str | None = None

    def forward(self, activations: Codes, weights: Codes) -> Integers:
        """Return the sums of activations times weights, int32 (N, out h, out w, O).

        Args:
            activations: codes (N, H, W, C).
            weights: codes (O, kernel h, kernel w, C).

        Raises:
            SessionError: see `convolve`.
        """
        return self._convolve(
            activations, self.activation_bits, weights, self.weight_bits, self.stride, (*self.padding, *self.padding)
        )

    def backward_input(self, gradients: Codes, weights: Codes, size: tuple[int, int]) -> Integers:
        """Return the sums of quantized gradients times weights that reach each input, int32 (N, H, W, C).

        The gradients are spread with gaps of the stride and convolved with the weights turned round. A gap or the border has
        no gradient, which is no level of theirs: with g = 2c - n the engine sums w * c, where gaps are code 0, and
        n times the weights that meet a gradient, the same for all images, is taken off.

        Args:
            gradients: codes (N, out h, out w, O).
            weights: codes (O, kernel h, kernel w, C).
            size: (H, W) of the input.

        Raises:
            SessionError: see `convolve`; or the padding is not less than the kernel.
        """
        kernel = weights.shape[1:3]
        if any(pad >= side for pad, side in zip(self.padding, kernel, strict=True)):
            raise SessionError(f"padding: must be less than the kernel {kernel}, not {self.padding}")
        spread, there = self._spread(gradients)
        pads = [side - 1 - pad for side, pad in zip(kernel, self.padding, strict=True)]
        pads += [side - have + pad for side, have, pad in zip(size, spread.shape[1:3], self.padding, strict=True)]
        turned = weights[:, ::-1, ::-1].transpose(3, 1, 2, 0)  # (C, kernel h, kernel w, O)
        sums = self._convolve(spread, self.gradient_bits, turned, self.weight_bits, (1, 1), tuple(pads))
        met = np.pad(there, ((pads[0], pads[2]), (pads[1], pads[3])))
        windows = np.lib.stride_tricks.sliding_window_view(met, kernel).astype(np.int32)  # (H, W, kernel h, kernel w)
        integers = 2 * turned.astype(np.int32) - ((1 << self.weight_bits) - 1)
        constant = np.tensordot(windows, integers.sum(3), axes=((2, 3), (1, 2))).astype(np.int32)  # (H, W, C)
        found: Integers = 2 * sums - ((1 << self.gradient_bits) - 1) * constant
        return found

    def backward_weight(self, activations: Codes, gradients: Codes, kernel: tuple[int, int]) -> Integers:
        """Return the sums of activations times quantized gradients of each sample, int32 (N, O, kernel h, kernel w, C).

        Samples stay apart, for each has a gradient scale of its own.

        Args:
            activations: codes (N, H, W, C).
            gradients: codes (N, out h, out w, O).
            kernel: (h, w).

        Raises:
            SessionError: see `convolve`.
        """
        count, high, wide, outputs = gradients.shape
        channels = activations.shape[3]
        padded = np.pad(activations, ((0, 0), *((pad, pad) for pad in self.padding), (0, 0)))
        planes = np.ascontiguousarray(padded.transpose(0, 3, 1, 2))  # whole rows are copied below
        windows = np.lib.stride_tricks.sliding_window_view(planes, kernel, axis=(2, 3))
        seen = windows[:, :, :: self.stride[0], :: self.stride[1]]  # (N, C, out h, out w, kernel h, kernel w)
        taps = np.ascontiguousarray(seen.transpose(0, 4, 5, 1, 2, 3)).reshape(count, -1, 1, high * wide)
        rows = np.ascontiguousarray(gradients.reshape(count, -1, outputs).transpose(0, 2, 1))[:, :, None, None]
        sums = self._convolve(taps, self.activation_bits, rows, self.gradient_bits, (1, 1), (0, 0, 0, 0))
        each: Integers = sums.reshape(count, *kernel, channels, outputs).transpose(0, 4, 1, 2, 3)
        return each

    def _spread(self, gradients: Codes) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """Return gradients with gaps of the stride, and where there are any, (h, w)."""
        count, high, wide, outputs = gradients.shape
        sides = ((high - 1) * self.stride[0] + 1, (wide - 1) * self.stride[1] + 1)
        there = np.zeros(sides, np.bool_)
        there[:: self.stride[0], :: self.stride[1]] = True
        if self.stride == (1, 1):
            return gradients, there
        spread = np.zeros((count, *sides, outputs), np.uint8)
        spread[:, :: self.stride[0], :: self.stride[1]] = gradients
        return spread, there

    def _convolve(
        self,
        codes: Codes,
        code_bits: int,
        weights: Codes,
        weight_bits: int,
        stride: tuple[int, int],
        pads: tuple[int, ...],
    ) -> Integers:
        top, left, bottom, right = pads
        sides = (top, left, bottom, right)
        return convolve(codes, code_bits, weights, weight_bits, stride, sides, self.threads, self.isa)
