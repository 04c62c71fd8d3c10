# SPDX-License-Identifier: Apache-2.0
"""The same quantizers as other tools write them: ONNX's own codes, thresholds, computed scales and bit widths."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.qonnx.dialect import DOMAIN
from qonnx_models import ModelBuilder

__all__ = ["LinearBuilder", "ThresholdBuilder", "UntidyBuilder"]


class LinearBuilder(ModelBuilder):
    """QuantizeLinear, Clip, DequantizeLinear; what they cannot say (other roundings, bipolar) becomes the nearest they can."""

    linear = True

    def quant(
        self,
        x: str,
        scale: npt.ArrayLike,
        bits: float,
        signed: int = 0,
        narrow: int = 0,
        zero_point: npt.ArrayLike = 0.0,
        rounding_mode: str = "ROUND",
        name: str = "",
    ) -> str:
        scale, zero = np.asarray(scale, np.float32), int(np.asarray(zero_point))
        vector, attrs = self._one_axis(scale)
        array = next((self.array(item) for item in self.initializers if item.name == x), None)
        if bits > 8:  # a bias
            assert array is not None
            codes = self.constant(np.rint(array / scale), np.int32)
            return self.op("DequantizeLinear", codes, self.constant(vector), name=name, **attrs)
        bits = max(2, int(bits))
        kind: Any = np.int8 if signed else np.uint8
        half = 1 << (bits - 1)
        lo, hi = (-half + narrow, half - 1) if signed else (0, 2 * half - 1 - narrow)
        constants = self.constant(vector), self.constant(np.full(vector.shape, zero), kind)
        if array is not None and len(self.nodes) % 2:  # integers in the file
            codes = self.constant(np.clip(np.rint(array / scale) + zero, lo, hi), kind)
        else:
            codes = self.op("QuantizeLinear", x, *constants, **attrs)
            if (lo, hi) != (int(np.iinfo(kind).min), int(np.iinfo(kind).max)):
                codes = self.op("Clip", codes, self.constant(lo, kind), self.constant(hi, kind))
        return self.op("DequantizeLinear", codes, *constants, name=name, **attrs)

    @staticmethod
    def _one_axis(scale: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], dict[str, int]]:
        if scale.size == 1:
            return scale.reshape(()), {}
        (axis,) = (i for i, size in enumerate(scale.shape) if size > 1)
        return scale.reshape(-1), {"axis": axis}

    def bipolar(self, x: str, scale: npt.ArrayLike = 1.0, name: str = "") -> str:
        return self.quant(x, scale, 2, 1, 1, name=name)


class ThresholdBuilder(ModelBuilder):
    """Activations of up to 4 bits as MultiThreshold."""

    def quant(
        self,
        x: str,
        scale: npt.ArrayLike,
        bits: float,
        signed: int = 0,
        narrow: int = 0,
        zero_point: npt.ArrayLike = 0.0,
        rounding_mode: str = "ROUND",
        name: str = "",
    ) -> str:
        made = any(x in node.output for node in self.nodes)
        if not made or bits > 4 or np.size(scale) > 1 or (signed and bits == 1):
            return super().quant(x, scale, bits, signed, narrow, zero_point, rounding_mode, name)
        half, unit = 1 << (int(bits) - 1), np.float32(scale)
        lo, hi = (-half + narrow, half - 1) if signed else (0, 2 * half - 1 - narrow)
        shift = lo - float(np.asarray(zero_point))
        thresholds = (shift + np.arange(hi - lo) + 0.5)[None] * unit
        layout = {"data_layout": "NCHW"} if len(self.nodes) % 2 else {}
        attrs = {"out_dtype": f"UINT{int(bits)}", "out_scale": float(unit), "out_bias": float(unit * shift), **layout}
        return self.op("MultiThreshold", x, self.constant(thresholds), name=name, domain=DOMAIN, **attrs)


class UntidyBuilder(ModelBuilder):
    """Old names and domains; scales and bit widths left as the arithmetic they came from."""

    def quant(
        self,
        x: str,
        scale: npt.ArrayLike,
        bits: float,
        signed: int = 0,
        narrow: int = 0,
        zero_point: npt.ArrayLike = 0.0,
        rounding_mode: str = "ROUND",
        name: str = "",
    ) -> str:
        way = len(self.nodes) % 4
        operands = [self._scale(np.asarray(scale, np.float32), way), self.constant(zero_point), self._bits(bits, way)]
        domain = ("onnx.brevitas", "finn.custom_op.general", "", DOMAIN)[way]
        mode = rounding_mode.lower() if way % 2 else rounding_mode
        attrs: dict[str, Any] = {"signed": signed, "narrow": narrow, "rounding_mode": mode}
        op = "IntQuant" if way == 3 else "Quant"
        return self.op(op, x, *operands, name=name, domain=domain, **attrs)

    def _scale(self, scale: npt.NDArray[np.float32], way: int) -> str:
        """Powers of two multiplied or divided away again: the very same number."""
        if way == 0:
            return self.op("Div", self.constant(scale * 8), self.constant(8))
        if way == 1:
            return self.op("Mul", self.op("Abs", self.constant(-scale)), self.op("Constant", value_float=1.0))
        if way == 2:
            return self.op("Identity", self.op("Clip", self.constant(scale), self.constant(1e-30)))
        return self.constant(scale)

    def _bits(self, bits: float, way: int) -> str:
        if way == 0:
            return self.op("Ceil", self.constant(bits - 0.5))
        if way == 1:  # log2(hi - lo + 1)
            levels = self.op("Sub", self.constant(2.0**bits - 1), self.constant(-1))
            return self.op("Round", self.op("Div", self.op("Log", levels), self.constant(np.log(2))))
        if way == 2:
            return self.op("Cast", self.constant(bits, np.int64), to=1)
        return self.op("Constant", value_float=float(bits))
