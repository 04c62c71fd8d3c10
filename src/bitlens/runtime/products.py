# SPDX-License-Identifier: Apache-2.0
"""The three integer products of a layer that trains, on the engine's kernels.

Activations are codes a of k bits, integers a. Weights and gradients are codes c of k bits, integers 2c - n with n = 2^k - 1 (no
zero level), as `bitlens.quant` has them. Scales stay outside: a real value is the integer times its scale.

    >>> products = LayerProducts(weight_bits=1, activation_bits=2, gradient_bits=4, padding=(1, 1))
    >>> y = products.forward(activations, weights)                                   # doctest: +SKIP
    >>> dx = products.backward_input(gradients, weights, size=(32, 32))              # doctest: +SKIP
    >>> dw = products.backward_weight(activations, gradients, kernel=(3, 3))         # doctest: +SKIP
    >>> total = products.backward_weight_total(activations, gradients, scales, (3, 3))  # doctest: +SKIP

A fully connected layer is one of 1x1 images and a 1x1 kernel.

Source of the three products: Zhou et al., DoReFa-Net, arXiv 1606.06160 v3, section 2.1 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitlens.runtime import _native
from bitlens.runtime.session import checked_options
from bitlens.runtime.tensor import SessionError

__all__ = ["LayerProducts", "convolve"]

Codes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int32]
_MOST_BITS = 8
_MOST_SIDE = 1 << 28  # the engine adds two paddings, a side and strides as 32-bit integers


def convolve(
    codes: Codes,
    code_bits: int,
    weights: Codes,
    weight_bits: int,
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    backward: bool = False,
    threads: int | None = None,
    isa: str | None = None,
) -> Integers:
    """Return the exact sums of c * (2w - n), n = 2^weight_bits - 1, over every window; padding counts 0.

    Args:
        codes: c, uint8 (N, H, W, C), each below 2^code_bits.
        code_bits, weight_bits: 1 to 8.
        weights: w, uint8 (O, kernel h, kernel w, C); backward (C, kernel h, kernel w, O).
        stride: (h, w).
        pads: top, left, bottom, right.
        backward: codes are gradients, integers 2c - (2^code_bits - 1), and meet the weights last tap first.
        threads, isa: see `Session`.

    Returns:
        int32 (N, out h, out w, O).

    Raises:
        SessionError: sizes do not fit, a code is too large, sums might pass 28 bits, or they do not fit into memory.
    """
    inner, outer = (0, 3) if backward else (3, 0)
    if codes.ndim != 4 or weights.ndim != 4 or codes.shape[3] != weights.shape[inner]:
        order = "(C, kernel h, kernel w, O)" if backward else "(O, kernel h, kernel w, C)"
        raise SessionError(
            f"convolve: codes (N, H, W, C) and weights {order} must have one C, not {codes.shape} and {weights.shape}"
        )
    _check_numbers("stride", stride, 1)
    _check_numbers("pads", pads, 0, 4)
    for name, array, bits in (("codes", codes, code_bits), ("weights", weights, weight_bits)):
        _check_codes(name, array, bits)
    sides = (
        max(0, side + before + after - kernel) // step + 1
        for side, kernel, step, before, after in zip(
            codes.shape[1:3], weights.shape[1:3], stride, pads[:2], pads[2:], strict=True
        )
    )
    checked_options(threads, None)
    sums: Integers = _made(np.empty, (len(codes), *sides, weights.shape[outer]), np.int32)
    left, right = np.ascontiguousarray(codes), np.ascontiguousarray(weights)
    try:
        _native.multiply(left, code_bits, right, weight_bits, backward, stride, pads, sums, threads or 0, isa)
    except _native.EngineError as error:
        raise SessionError(str(error)) from None
    return sums


def _made(make: Callable[..., Any], shape: tuple[int, ...], dtype: type) -> Any:
    try:
        return make(shape, dtype)
    except (MemoryError, ValueError):  # the latter from 2^63 bytes on
        raise SessionError(f"result: must fit into memory, not be of shape {shape}") from None


def _check_numbers(name: str, numbers: tuple[int, ...], least: int, count: int = 2) -> None:
    whole = all(isinstance(number, int | np.integer) for number in numbers)
    if len(numbers) != count or not whole or not least <= min(numbers) <= max(numbers) <= _MOST_SIDE:
        many = {2: "two", 4: "four"}[count]
        raise SessionError(f"{name}: must be {many} integers of {least} to {_MOST_SIDE}, not {numbers}")


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
    """Forward and backward of one layer on codes; images are channels last. Layers in groups or with dilation have none.

    Args:
        weight_bits, activation_bits, gradient_bits: 1 to 8.
        stride, padding: (h, w) of the layer, strides 1 to 2^28, padding 0 to 2^28.
        threads, isa: see `Session`.

    Raises:
        SessionError: a stride or a padding is out of range.
    """

    weight_bits: int
    activation_bits: int
    gradient_bits: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    threads: int | None = None
    isa: str | None = None

    def __post_init__(self) -> None:
        _check_numbers("stride", self.stride, 1)
        _check_numbers("padding", self.padding, 0)

    def forward(self, activations: Codes, weights: Codes) -> Integers:
        """Return the sums of activations times weights, int32 (N, out h, out w, O).

        Args:
            activations: codes (N, H, W, C).
            weights: codes (O, kernel h, kernel w, C).

        Raises:
            SessionError: see `convolve`.
        """
        codes = (activations, self.activation_bits, weights, self.weight_bits)
        return convolve(*codes, self.stride, (*self.padding, *self.padding), threads=self.threads, isa=self.isa)

    def backward_input(self, gradients: Codes, weights: Codes, size: tuple[int, int]) -> Integers:
        """Return the sums of quantized gradients times weights that reach each input, int32 (N, H, W, C).

        Inputs a stride apart meet the same taps of the kernel: each such set is a convolution of the gradients with a part
        of the kernel, without gaps.

        Args:
            gradients: codes (N, out h, out w, O).
            weights: codes (O, kernel h, kernel w, C).
            size: (H, W) of the input; with a stride several sizes have the same map of gradients.

        Raises:
            SessionError: the layer has another map of gradients for this size; or see `convolve`.
        """
        self._check_map(gradients, weights, size)
        rows, columns = (
            [_part(first, *lengths) for first in _reached(*lengths[:4])]
            for lengths in zip(self.stride, self.padding, weights.shape[1:3], size, gradients.shape[1:3], strict=True)
        )
        found: Integers = _made(np.zeros, (len(gradients), *size, weights.shape[3]), np.int32)
        for high, wide in product(rows, columns):
            met, part = gradients[:, high.gradients, wide.gradients], weights[:, high.taps, wide.taps]
            if not met.size:
                continue
            codes = (met, self.gradient_bits, part, self.weight_bits)
            pads = (high.before, wide.before, high.after, wide.after)
            sums = convolve(*codes, pads=pads, backward=True, threads=self.threads, isa=self.isa)
            if self.stride == (1, 1):
                return sums
            found[:, high.inputs, wide.inputs] = sums
        return found

    def _check_map(self, gradients: Codes, weights: Codes, size: tuple[int, int]) -> None:
        """Raise SessionError unless an input of this size has these gradients, and the codes are codes."""
        _check_numbers("size", size, 1)
        if gradients.ndim != 4 or weights.ndim != 4 or gradients.shape[3] != weights.shape[0]:
            raise SessionError(
                "input gradient: gradients (N, H, W, O) and weights (O, kernel h, kernel w, C) must have one O, not "
                f"{gradients.shape} and {weights.shape}"
            )
        _check_codes("gradients", gradients, self.gradient_bits)
        _check_codes("weights", weights, self.weight_bits)
        room = [
            side + 2 * pad - kernel for side, pad, kernel in zip(size, self.padding, weights.shape[1:3], strict=True)
        ]
        if min(room) < 0:
            kernels = "{}x{}".format(*weights.shape[1:3])
            raise SessionError(f"input gradient: kernel must fit into the padded image, not {kernels}")
        sides = tuple(free // step + 1 for free, step in zip(room, self.stride, strict=True))
        if gradients.shape[1:3] != sides:
            wanted, given = ("{}x{}".format(*pair) for pair in (sides, gradients.shape[1:3]))
            raise SessionError(f"input gradient: the map of gradients must be {wanted}, not {given}")

    def backward_weight(self, activations: Codes, gradients: Codes, kernel: tuple[int, int]) -> Integers:
        """Return the sums of activations times quantized gradients of each sample, int32 (N, O, kernel h, kernel w, C).

        Samples stay apart, for each has a gradient scale of its own; `backward_weight_total` applies the scales too.

        Args:
            activations: codes (N, H, W, C).
            gradients: codes (N, out h, out w, O).
            kernel: (h, w).

        Raises:
            SessionError: sizes do not fit, a code is too large, or sums might pass 28 bits.
        """
        self._check_maps(activations, gradients, kernel)
        shape = (len(activations), *kernel, activations.shape[3], gradients.shape[3])
        sums: Integers = _made(np.empty, shape, np.int32)
        self._weight(_native.weight_sums, activations, gradients, kernel, sums)
        each: Integers = np.moveaxis(sums, 4, 1)
        return each

    def backward_weight_total(
        self, activations: Codes, gradients: Codes, scales: npt.NDArray[np.float32], kernel: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """Return the sum over samples of scale times `backward_weight`, float32 (O, kernel h, kernel w, C).

        The samples' integers are exact; they are scaled and added in float64, in order, and rounded to float32 once. So the
        result does not depend on threads or the instruction set. No sample's own sums are stored.

        Args:
            activations, gradients, kernel: see `backward_weight`.
            scales: of each sample, float32 (N,).

        Raises:
            SessionError: see `backward_weight`; or scales are not float32 (N,).
        """
        self._check_maps(activations, gradients, kernel)
        scales = np.asarray(scales)
        if scales.dtype != np.float32 or scales.shape != (len(activations),):
            raise SessionError(f"scales: must be float32 ({len(activations)},), not {scales.dtype} {scales.shape}")
        total: npt.NDArray[np.float32] = _made(
            np.empty, (*kernel, activations.shape[3], gradients.shape[3]), np.float32
        )
        self._weight(_native.weight_total, activations, gradients, kernel, np.ascontiguousarray(scales), total)
        turned: npt.NDArray[np.float32] = np.moveaxis(total, 3, 0)
        return turned

    def _check_maps(self, activations: Codes, gradients: Codes, kernel: tuple[int, int]) -> None:
        """Raise SessionError unless these are codes of as many images, and such a kernel can be."""
        _check_numbers("kernel", kernel, 1)
        for name, maps in (("activations", activations), ("gradients", gradients)):
            if maps.ndim != 4:
                raise SessionError(f"{name}: must be (N, H, W, channels), not {maps.shape}")
        if len(activations) != len(gradients):
            raise SessionError(f"gradients: must be of {len(activations)} samples, not {len(gradients)}")
        _check_codes("activations", activations, self.activation_bits)
        _check_codes("gradients", gradients, self.gradient_bits)
        checked_options(self.threads, None)

    def _weight(
        self,
        function: Callable[..., None],
        activations: Codes,
        gradients: Codes,
        kernel: tuple[int, int],
        *arrays: npt.NDArray[Any],
    ) -> None:
        left, right = np.ascontiguousarray(activations), np.ascontiguousarray(gradients)
        codes = (left, self.activation_bits, right, self.gradient_bits)
        try:
            function(*codes, kernel, self.stride, self.padding, *arrays, self.threads or 0, self.isa)
        except _native.EngineError as error:
            raise SessionError(str(error)) from None


def _reached(stride: int, pad: int, kernel: int, size: int) -> list[int]:
    """Return the first inputs of those sets, inputs a stride apart, that a tap of the kernel meets."""
    return [first for first in ((tap - pad) % stride for tap in range(min(kernel, stride))) if first < size]


class _Part(NamedTuple):
    """Along one axis: inputs a stride apart, the taps they meet, the gradients within reach, and zeros around these."""

    inputs: slice
    taps: slice
    gradients: slice
    before: int
    after: int


def _part(first: int, stride: int, pad: int, kernel: int, size: int, outputs: int) -> _Part:
    """Input first + t * stride meets tap (first + pad) % stride + m * stride of output t + reach - m."""
    start, reach = (first + pad) % stride, (first + pad) // stride
    before = len(range(start, kernel, stride)) - 1 - reach
    end = len(range(first, size, stride)) + reach  # of the outputs that the last input would meet
    seen = slice(max(0, -before), min(outputs, end))
    return _Part(slice(first, None, stride), slice(start, None, stride), seen, max(0, before), max(0, end - outputs))
