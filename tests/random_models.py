# SPDX-License-Identifier: Apache-2.0
"""QONNX models made at random: branches, joins, all convolution windows, every weight grid, every activation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from bitlens.graph.infer_shapes import infer_shapes
from bitlens.qonnx.read import read
from model_forms import as_sequences, partly_channels_last
from qonnx_models import ModelBuilder
from quantizer_forms import LinearBuilder, ThresholdBuilder, UntidyBuilder

__all__ = ["random_model"]

ROUNDINGS = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


class _Tensor:
    """A tensor of a random model: what a legal next operator must know of it."""

    def __init__(
        self, name: str, shape: tuple[int, ...], bits: int, rms: float, unit: npt.ArrayLike, *, adopted: bool = False
    ) -> None:
        self.name, self.shape, self.bits, self.rms = name, shape, bits, rms
        self.unit = np.asarray(unit, np.float32)  # real value of one integer
        self.adopted = adopted  # the quantized input, which cannot be an output

    @property
    def scalar(self) -> bool:
        """Whether all channels have one unit."""
        return self.unit.size == 1


class _Maker:
    """Draws one legal operator after the other. Shapes leave the batch out."""

    def __init__(
        self, seed: int, blocks: int, builder: type[ModelBuilder] | None, *, unaligned: bool, sequences: bool
    ) -> None:
        self.unaligned = unaligned
        self.rng = rng = np.random.default_rng(seed)
        made = self._pick(ModelBuilder, ModelBuilder, LinearBuilder, ThresholdBuilder, UntidyBuilder)
        builder = builder or made
        self.flat = self._some(0.2) and sequences  # maps of height 1, which become sequences
        height = 1 if self.flat else int(rng.integers(4, 10))
        shape = (int(rng.integers(1, 6)), height, int(rng.integers(4, 10)))
        kind = self._pick("unit", "unit", "unit", "shifted", "bytes")
        self.b = builder(("N", *shape), TensorProto.UINT8 if kind == "bytes" else TensorProto.FLOAT)
        self.tensors: list[_Tensor] = []
        if kind == "unit":
            bits = int(rng.choice([8, 8, 8, 4, 2 if builder.linear else 1]))
            scale = np.float32(1 / (2**bits - 1))
            image = self.b.quant("image", scale, bits, rounding_mode="HALF_UP")
            self._keep(image, shape, bits, 0.6, scale, adopted=True)
        elif kind == "shifted":
            scale = 2.0**-7
            image = self.b.quant("image", scale, 8, 1, int(rng.integers(2)), float(rng.integers(-3, 4)))
            self._keep(image, shape, 9, 0.6, scale, adopted=True)
        else:
            self._keep(self.b.op("Cast", "image", to=TensorProto.FLOAT), shape, 8, 148.0, 1.0, adopted=True)
            self._requantize_block()
        self.heads: list[str] = []
        for _ in range(blocks):
            self._block()
        self._end()

    # choices

    def _some(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def _pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def _source(self, most_bits: int, *, scalar: bool = True, rank: int = 3) -> _Tensor | None:
        fits = [t for t in self.tensors if t.bits <= most_bits and (t.scalar or not scalar) and len(t.shape) == rank]
        if not fits:
            return None
        return fits[-1] if self._some(0.6) else self._pick(*fits)

    def _keep(
        self, name: str, shape: tuple[int, ...], bits: int, rms: float, unit: npt.ArrayLike, *, adopted: bool = False
    ) -> _Tensor:
        self.tensors.append(_Tensor(name, shape, bits, rms, unit, adopted=adopted))
        return self.tensors[-1]

    # products

    def _quantized_weights(
        self, shape: tuple[int, ...], *, symmetric: bool
    ) -> tuple[str, float, npt.NDArray[np.float32]]:
        """A quantized constant, its root mean square and its unit; outputs are on axis 0."""
        rng, b = self.rng, self.b
        per_output = (shape[0], *(1 for _ in shape[1:]))
        scale = np.float32(
            rng.uniform(0.02, 0.4) * (np.ones(()) if self._some(0.6) else rng.uniform(0.5, 2, per_output))
        )
        rms = float(np.sqrt(np.mean(scale**2)))
        kind = self._pick("odd", "odd", "half", "narrow", "narrow", "signed", "bipolar", "one", "float")
        bits = int(rng.integers(1, 9))
        if b.linear:
            kind, bits = self._pick("narrow", "signed"), max(2, bits)
        if kind == "odd":
            top = 2**bits - 1
            integers = 2 * rng.integers(0, top + 1, shape) - top
            return b.quant(b.constant(integers * scale), scale, bits + 1, 1, 1), rms * top / 1.7, scale
        if kind == "half" and bits > 1:
            codes = rng.integers(0, 2**bits, shape) - 2 ** (bits - 1)
            return b.quant(b.constant((codes + 0.5) * scale), scale, bits, 1, 0, -0.5), rms * 2**bits / 3.4, scale / 2
        if kind == "one":
            return b.quant(b.constant(rng.normal(size=shape)), scale, 1, 1), rms, scale
        if kind == "bipolar" or bits == 1:
            return b.bipolar(b.constant(rng.normal(size=shape)), scale), rms, scale
        narrow = 1 if kind == "narrow" or symmetric else int(rng.integers(2))
        unrounded = rng.normal(0, 2 ** (bits - 1) / 2, shape) * scale
        return b.quant(b.constant(unrounded), scale, bits, 1, narrow), rms * 2**bits / 4, scale

    def _conv(self, *, symmetric: bool) -> tuple[str, tuple[int, ...], float] | None:
        rng = self.rng
        depthwise = self._some(0.25)
        x = self._source(16 if self._some(0.3) else 8, scalar=not depthwise)
        if x is None:
            return None
        channels, height, width = x.shape
        if depthwise:
            groups, outputs = channels, channels * int(rng.integers(1, 3))
        else:
            groups = self._pick(*(g for g in range(1, channels + 1) if channels % g == 0))
            groups = 1 if self._some(0.6) else groups
            most = 8 if self._some(0.85) else 80  # past the engine's lanes
            outputs = groups * int(rng.integers(1, 1 + max(1, most // groups)))
        kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        dilation = tuple(int(rng.integers(1, 3)) if self._some(0.3) else 1 for _ in kernel)
        stride = tuple(int(rng.integers(1, 3)) if self._some(0.4) else 1 for _ in kernel)
        if self.flat:
            kernel, dilation, stride = ((1, pair[1]) for pair in (kernel, dilation, stride))
        extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        window: dict[str, Any] = {"strides": stride, "dilations": dilation}
        if self._some(0.15):
            window["auto_pad"] = self._pick("SAME_UPPER", "SAME_LOWER", "VALID")
            pads = [0, 0, 0, 0]
            if window["auto_pad"] != "VALID":
                sizes = [-(-size // s) for size, s in zip((height, width), stride, strict=True)]
        else:
            pads = [int(rng.integers(0, extent[axis % 2])) if self._some(0.6) else 0 for axis in range(4)]
            window["pads"] = pads
        if window.get("auto_pad", "VALID") == "VALID":
            padded = [size + pads[axis] + pads[axis + 2] for axis, size in enumerate((height, width))]
            sizes = [(p - e) // s + 1 for p, e, s in zip(padded, extent, stride, strict=True)]
            if any(p < e for p, e in zip(padded, extent, strict=True)):
                return None
        if channels // groups * kernel[0] * kernel[1] << (x.bits + 9) >= 1 << 31:  # sums could leave 32 bits
            return None
        weights, rms, unit = self._quantized_weights((outputs, channels // groups, *kernel), symmetric=symmetric)
        sigma = float(np.sqrt(channels // groups * kernel[0] * kernel[1])) * rms * x.rms
        bias = [self._bias(outputs, sigma, unit.reshape(-1), x)] if self._some(0.4) else []
        name = self.b.op("Conv", x.name, weights, *bias, group=groups, **window)
        return name, (outputs, *sizes), sigma

    def _bias(self, outputs: int, sigma: float, unit: npt.NDArray[np.float32], x: _Tensor) -> str:
        bias = self.b.constant(self.rng.normal(0, sigma, outputs))
        kind = self._pick("float", "quantized", "whole")
        if kind == "whole" and x.scalar:  # on the grid of the sums
            return self.b.quant(bias, unit * x.unit, 32, 1, 1, rounding_mode="HALF_UP")
        return bias if kind == "float" else self.b.quant(bias, sigma / 100, 16, 1)

    # elementwise

    def _channels(self, values: npt.NDArray[Any]) -> str:
        return self.b.constant(values.reshape(-1, 1, 1))

    def _chain(self, x: str, shape: tuple[int, ...], rms: float, *, monotone: bool) -> tuple[str, float]:
        """Float operators; (result, its root mean square)."""
        rng, b, channels = self.rng, self.b, shape[0]
        if self._some(0.6):
            gamma = rng.normal(0, 1, channels) * (rng.random(channels) > 0.1)
            if self._some(0.4):
                gamma = np.abs(gamma)
            mean, var = rng.normal(0, rms, channels), rms**2 * rng.uniform(0.2, 2, channels)
            x, rms = b.batch_norm(x, gamma, rng.normal(0, 0.7, channels), mean, var), 1.2
        for _ in range(int(rng.integers(0, 3))):
            kind = self._pick(
                "Mul",
                "Add",
                "Sub",
                "Div",
                "rSub",
                "Neg",
                "Relu",
                "LeakyRelu",
                "PRelu",
                "Clip",
                "Abs",
                "Sigmoid",
                "Tanh",
            )
            factor = rng.normal(0, 1, channels) if self._some(0.5) else np.full(1, rng.uniform(0.5, 2))
            if kind in ("Mul", "Div"):
                factor = factor + np.copysign(0.1, factor)
                x = b.op(kind, x, self._channels(factor))
                rms *= float(np.sqrt(np.mean(factor**2 if kind == "Mul" else factor**-2.0)))
            elif kind in ("Add", "Sub"):
                x = b.op(kind, *((x, self._channels(rms * factor)) if self._some(0.7) else (x, b.constant(rms / 3))))
            elif kind == "rSub":
                x = b.op("Sub", b.constant(rms / 3), x)
            elif kind == "LeakyRelu":
                x = b.op(kind, x, alpha=float(rng.uniform(0, 0.5) if monotone else rng.uniform(-0.5, 0.5)))
            elif kind == "PRelu":
                x = b.op(kind, x, self._channels(np.abs(factor) if monotone else factor))
            elif kind == "Clip":
                x = b.op(kind, x, b.constant(self._pick(0.0, -rms)), b.constant(float(rms * rng.uniform(0.5, 2))))
            elif kind in ("Neg", "Relu") or not monotone:
                x = b.op(kind, x)
                rms = rms if kind in ("Neg", "Relu", "Abs") else 0.5
        return x, rms

    def _quantize(self, x: str, shape: tuple[int, ...], rms: float) -> _Tensor:
        rng, bits, mode = self.rng, self._pick(1, 1, 2, 2, 2, 3, 4, 4, 5, 6, 8, 8, 12), self._pick(*ROUNDINGS)
        if self.b.linear:
            bits = min(8, max(2, bits))
        scalar = self._some(0.85) or shape[0] == 1
        spread = np.ones(()) if scalar else rng.uniform(0.5, 2, (1, shape[0], *(1 for _ in shape[1:])))
        if bits == 1 and self._some(0.3):
            return self._keep(self.b.bipolar(x, rms * spread), shape, 1, rms, rms * spread)
        signed, narrow, zero_point = int(rng.integers(2)), int(self._some(0.2)), 0.0
        if bits == 1:
            narrow = 0
        elif self._some(0.2):
            zero_point = self._pick(-0.5, float(rng.integers(-2, 3)))
            if self.b.linear:
                zero_point = float(rng.integers(0, 3))
        scale = np.float32(rms * rng.uniform(0.7, 4) / 2**bits * (1 + signed) * spread)
        if self._some(0.3) and scalar:
            scale = np.float32(2.0 ** np.rint(np.log2(scale)))  # many ties
        name = self.b.quant(x, scale, bits, signed, narrow, zero_point, mode)
        unit = scale / 2 if zero_point != int(zero_point) else scale
        wide = bits + (2 if zero_point else 0)  # a zero point may widen the integers behind it
        return self._keep(name, shape, wide, rms, unit)

    # blocks

    def _block(self) -> None:
        kind = self._pick(
            *(
                "conv",
                "conv",
                "conv",
                "conv",
                "max",
                "average",
                "add",
                "concat",
                "requantize",
                "transposed",
                "enlarge",
                "part",
            )
        )
        {
            "conv": self._conv_block,
            "max": self._max_block,
            "average": self._average_block,
            "add": self._add_block,
            "concat": self._concat_block,
            "requantize": self._requantize_block,
            "transposed": self._transposed_block,
            "enlarge": self._enlarge_block,
            "part": self._part_block,
        }[kind]()

    def _conv_block(self) -> None:
        pooled = self._some(0.3)
        made = self._conv(symmetric=pooled)
        if made is None:
            return
        x, shape, rms = made
        if self._some(0.1) and len(self.heads) < 2:  # an output that others read too
            gamma, mean = self.rng.normal(0, 1, (2, shape[0]))
            head = (
                self.b.batch_norm(x, gamma, 0 * mean, rms * mean, np.full(shape[0], rms**2)) if self._some(0.5) else x
            )
            self.heads.append(head)
        x, rms = self._chain(x, shape, rms, monotone=pooled)
        if pooled and min(shape[1:]) >= 2:
            x, shape = self._max_pool(x, shape)
        self._quantize(x, shape, rms)
        if self._some(0.2):  # a second reader of the same real tensor
            self._quantize(x, shape, rms)

    def _transposed_block(self) -> None:
        rng, x = self.rng, self._source(8)
        if x is None or x.shape[1] * x.shape[2] > 150:
            return
        channels, height, width = x.shape
        groups = self._pick(*(g for g in range(1, channels + 1) if channels % g == 0)) if self._some(0.4) else 1
        outputs = int(rng.integers(1, 4))  # of a group
        kernel, stride = ([int(rng.integers(1, 4)) for _ in "yx"] for _ in range(2))
        dilation = [int(rng.integers(1, 3)) if self._some(0.2) else 1 for _ in "yx"]
        if self.flat:
            kernel, stride, dilation = ([1, pair[1]] for pair in (kernel, stride, dilation))
        extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        attrs: dict[str, Any] = {"strides": stride, "dilations": dilation, "group": groups}
        extra = [
            int(rng.integers(0, max(s, d))) if self._some(0.4) else 0 for s, d in zip(stride, dilation, strict=True)
        ]
        full = [s * (n - 1) + e + o for s, n, e, o in zip(stride, (height, width), extent, extra, strict=True)]
        pads = [0, 0, 0, 0]
        if self._some(0.15) and dilation == [1, 1] and extra == [0, 0]:
            attrs["auto_pad"] = self._pick("SAME_UPPER", "SAME_LOWER")
            sizes = [s * n for s, n in zip(stride, (height, width), strict=True)]
            if any(e < s for s, e in zip(stride, extent, strict=True)):
                return  # negative pads, which ONNX Runtime takes in its own way
        else:
            pads = [int(rng.integers(0, 3)) if self._some(0.5) else 0 for _ in range(4)]
            if self.flat:
                pads = [0, pads[1], 0, pads[3]]
            attrs |= {"pads": pads, "output_padding": extra}
            sizes = [full[axis] - pads[axis] - pads[axis + 2] for axis in (0, 1)]
        if min(sizes) < 1:
            return
        weights, rms, _ = self._quantized_weights((outputs * groups, channels // groups, *kernel), symmetric=False)
        # (O, C/g, kh, kw) -> (C, O/g, kh, kw), for one group by a Transpose, as exporters leave it
        if groups > 1 or self._some(0.5):
            scale = float(rng.uniform(0.02, 0.4))
            integers = rng.integers(-3, 4, (channels, outputs, *kernel))
            per_output = (1, outputs, 1, 1) if groups == 1 and self._some(0.5) else ()
            unit = np.float32(scale * rng.uniform(0.5, 2, per_output)) if per_output else np.float32(scale)
            weights, rms = self.b.quant(self.b.constant(integers * unit), unit, 3, 1, 1), 2 * scale
        else:
            weights = self.b.op("Transpose", weights, perm=[1, 0, 2, 3])
        sigma = float(np.sqrt(channels // groups * kernel[0] * kernel[1])) * rms * x.rms
        name = self.b.op("ConvTranspose", x.name, weights, **attrs)
        shape = (outputs * groups, *sizes)
        self._quantize(*self._swapped(self._chain(name, shape, sigma, monotone=False), shape))

    def _enlarge_block(self) -> None:
        rng, x = self.rng, self._source(16, scalar=False)
        if x is None or self.flat or x.shape[1] * x.shape[2] > 150:
            return
        name, (channels, height, width), rms = x.name, x.shape, x.rms
        if self._some(0.4):  # of real values
            name, rms = self._chain(name, x.shape, rms, monotone=False)
        if self._some(0.6):
            factors = [int(rng.integers(1, 4)) for _ in "yx"]
            scales = self.b.constant([1, 1, *factors])
            mode = self._pick(
                ("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil")
            )
            attrs = {"coordinate_transformation_mode": mode[0], "nearest_mode": mode[1], "mode": "nearest"}
            name = self.b.op("Resize", name, "", scales, **attrs)
            shape = (channels, height * factors[0], width * factors[1])
        elif name == x.name:
            pads = [int(rng.integers(-1, 3)) for _ in range(4)]
            if min(height, width) + 2 * min(pads) < 1:
                return
            name = self.b.op("Pad", name, self.b.constant([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64))
            shape = (channels, height + pads[0] + pads[2], width + pads[1] + pads[3])
        else:
            return
        if name.startswith("pad") or (self._some(0.3) and name == x.name):
            self._keep(name, shape, x.bits + 1, rms, x.unit)
        else:
            self._quantize(name, shape, rms)

    def _part_block(self) -> None:
        rng, x = self.rng, self._source(16)
        if x is None or self.flat:
            return
        name, (channels, *sizes) = x.name, x.shape
        kind = self._pick("channels", "window", "split", "pixels")
        if kind == "split" and channels > 1:
            cut = int(rng.integers(1, channels))
            parts = self.b.constant([cut, channels - cut], np.int64)
            name = self.b.op("Split", name, parts, axis=1, outputs=2)
            self._keep(f"{name}.1", (channels - cut, *sizes), x.bits, x.rms, x.unit)
            self._keep(name, (cut, *sizes), x.bits, x.rms, x.unit)
            return
        if kind == "pixels" and channels % 4 == 0:
            name = self.b.op("DepthToSpace", name, blocksize=2, mode=self._pick("DCR", "CRD"))
            shape = (channels // 4, 2 * sizes[0], 2 * sizes[1])
        else:
            axis = 1 if kind == "channels" else int(rng.integers(2, 4))
            start, step = int(rng.integers(0, x.shape[axis - 1])), int(rng.integers(1, 3))
            numbers = [self.b.constant([number], np.int64) for number in (start, 1 << 40, axis, step)]
            name = self.b.op("Slice", name, *numbers)
            shape = tuple(len(range(start, n, step)) if i == axis - 1 else n for i, n in enumerate(x.shape))
        if max(shape[1:]) < 20:
            self._keep(name, shape, x.bits, x.rms, x.unit)

    def _max_pool(self, x: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        if self._some(0.15):
            return self.b.op("GlobalMaxPool", x), (shape[0], 1, 1)
        kernel = [int(self.rng.integers(1, 1 + min(3, size))) for size in shape[1:]]
        stride = [int(self.rng.integers(1, 3)) for _ in kernel]
        pads = [int(self.rng.integers(0, kernel[axis % 2])) if self._some(0.3) else 0 for axis in range(4)]
        sizes = [(n + pads[i] + pads[i + 2] - kernel[i]) // stride[i] + 1 for i, n in enumerate(shape[1:])]
        return self.b.op("MaxPool", x, kernel_shape=kernel, strides=stride, pads=pads), (shape[0], *sizes)

    def _max_block(self) -> None:
        x = self._source(16, scalar=False)
        if x is not None:
            name, shape = self._max_pool(x.name, x.shape)
            self._keep(name, shape, x.bits, x.rms, x.unit)

    def _average_block(self) -> None:
        x = self._source(8, scalar=False)
        if x is None:
            return
        kernel = [int(self.rng.integers(1, 1 + min(3, size))) for size in x.shape[1:]]
        kind = self._pick("pool", "padded", "border", "global", "mean")
        sizes = [1, 1]
        if kind == "global":
            name = self.b.op("GlobalAveragePool", x.name)
        elif kind == "mean":
            name = self.b.op("ReduceMean", x.name, axes=[2, 3], keepdims=1)
        else:
            pads = [int(self.rng.integers(0, kernel[axis % 2])) if kind != "pool" else 0 for axis in range(4)]
            stride = [int(self.rng.integers(1, 3)) for _ in kernel]
            attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": pads}
            attrs["count_include_pad"] = int(kind == "padded")
            name = self.b.op("AveragePool", x.name, **attrs)
            sizes = [(n + pads[i] + pads[i + 2] - kernel[i]) // stride[i] + 1 for i, n in enumerate(x.shape[1:])]
        shape = (x.shape[0], *sizes)
        name, rms = self._chain(name, shape, x.rms, monotone=False) if self._some(0.4) else (name, x.rms)
        self._quantize(name, shape, rms)

    def _branches(self, *, equal: bool) -> tuple[list[str], list[tuple[int, ...]], float, float]:
        """Two quantized tensors for a join: (names, shapes, root mean square, scale).

        Those of a sum have one shape, and the second's scale may be a whole multiple of the first's.
        """
        first = self._source(16, scalar=False)
        assert first is not None
        fits = [t for t in self.tensors if t.shape[1:] == first.shape[1:] and (not equal or t.shape == first.shape)]
        second = self._pick(*fits)
        scale, bits = first.rms / 2 ** int(self.rng.integers(1, 7)), int(self.rng.integers(2, 9))
        scale = np.float32(scale)
        whole = np.float32(self._pick(1, 1, 2, 3, 4) if equal else 1)
        scales = [scale, scale * (np.float32(self.rng.uniform(0.3, 3)) if self.unaligned else whole)]
        names = [
            self.b.quant(t.name, s, bits, 1, rounding_mode=self._pick(*ROUNDINGS))
            for t, s in zip((first, second), scales, strict=True)
        ]
        if self.unaligned and self._some(0.4):
            names[0] = first.name  # of another unit, or of one for each channel
        return names, [first.shape, second.shape], min(first.rms * 1.4, scale * 2**bits / 2), scale

    def _add_block(self) -> None:
        names, shapes, rms, scale = self._branches(equal=True)
        op = "Add" if self.unaligned else self._pick("Add", "Add", "Sub", "Mul")
        if not self.unaligned and self._some(0.3):  # a whole number of units less the first
            names[0] = self.b.op("Sub", self.b.constant(np.float32(self.rng.integers(-9, 10)) * scale), names[0])
        total = self.b.op(op, *names)
        rms = rms * rms if op == "Mul" else rms
        if self._some(0.5):
            total, rms = self._chain(total, shapes[0], rms, monotone=False)
        self._quantize(total, shapes[0], rms)

    def _concat_block(self) -> None:
        names, shapes, rms, scale = self._branches(equal=False)
        shape = (shapes[0][0] + shapes[1][0], *shapes[0][1:])
        joined = self.b.op("Concat", *names, axis=1)
        if self._some(0.5) and not self.unaligned:
            self._keep(joined, shape, 8, rms, scale)
        else:
            self._quantize(*self._swapped(self._chain(joined, shape, rms, monotone=False), shape))

    @staticmethod
    def _swapped(chain: tuple[str, float], shape: tuple[int, ...]) -> tuple[str, tuple[int, ...], float]:
        return chain[0], shape, chain[1]

    def _requantize_block(self) -> None:
        x = self._source(16, scalar=False)
        assert x is not None
        self._quantize(*self._swapped(self._chain(x.name, x.shape, x.rms, monotone=False), x.shape))

    # ends

    def _end(self) -> None:
        for tensor in self.tensors[::-1]:
            if not tensor.adopted and (not self.heads or self._some(0.4)) and len(self.heads) < 4:
                self.heads.append(tensor.name)
        if not self.heads or self._some(0.5):
            self._linear()

    def _linear(self) -> None:
        rng, b = self.rng, self.b
        x = self._source(16)
        if x is not None and int(np.prod(x.shape)) << (x.bits + 8) >= 1 << 31:  # sums could leave 32 bits
            x = self._source(8)
        if x is None:  # every tensor is wide, or has several units
            last = self.tensors[-1]
            x = self._keep(self.b.quant(last.name, last.rms / 8, 4, 1), last.shape, 4, last.rms, last.rms / 8)
        volume, outputs = int(np.prod(x.shape)), int(rng.integers(1, 12))
        flat = b.op("Flatten", x.name) if self._some(0.5) else b.op("Reshape", x.name, b.constant([0, -1], np.int64))
        weights, rms, unit = self._quantized_weights((outputs, volume), symmetric=False)
        sigma = float(np.sqrt(volume)) * rms * x.rms
        if self._some(0.5):
            bias = [self._bias(outputs, sigma, unit.reshape(-1), x)] if self._some(0.7) else []
            scores = b.op("Gemm", flat, weights, *bias, transB=1)
        else:
            scores = b.op("MatMul", flat, b.op("Transpose", weights, perm=[1, 0]))
            if self._some(0.5):
                scores = b.op("Add", scores, b.constant(rng.normal(0, sigma, outputs)))
        if self._some(0.3):  # one layer more, on a vector
            vector = b.quant(scores, sigma / 4, 3, int(rng.integers(2)), rounding_mode=self._pick(*ROUNDINGS))
            weights, *_ = self._quantized_weights((4, outputs), symmetric=False)
            scores = b.op("Gemm", vector, weights, transB=1)
        self.heads.append(b.op("Softmax", scores) if self._some(0.2) else scores)


def random_model(
    seed: int,
    blocks: int,
    builder: type[ModelBuilder] | None = None,
    *,
    unaligned: bool = False,
    sequences: bool = True,
) -> onnx.ModelProto:
    """A random legal model: branches, joins, all convolution windows, every weight grid, every activation; of maps or sequences.

    Its quantizers are written by `builder`, or by one drawn at random. Where it may be unaligned, what meets in a join has
    scales of its own.
    """
    maker = _Maker(seed, blocks, builder, unaligned=unaligned, sequences=sequences)
    model = maker.b.model(*maker.heads, opset=13)
    if maker.flat:
        as_sequences(model)
    elif seed % 5 == 0:
        partly_channels_last(model, _ranks(model), maker.rng)
    return model


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    graph = read(model)
    infer_shapes(graph)
    return {name: len(value.shape or ()) for name, value in graph.values.items()}
