# SPDX-License-Identifier: Apache-2.0
"""QONNX models made by hand, for tests of whatever reads or compiles them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from bitlens.qonnx.dialect import DOMAIN

__all__ = ["ModelBuilder"]


class ModelBuilder:
    """Adds operators one by one; each method returns the new tensor's name."""

    def __init__(self, shape: Sequence[int | str | None] = ("N", 3, 8, 8), kind: int = TensorProto.FLOAT) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs = [helper.make_tensor_value_info("image", kind, shape)]

    linear = False  # whether quantizers have only what ONNX's own codes have

    @staticmethod
    def array(tensor: onnx.TensorProto) -> npt.NDArray[Any]:
        """The numbers of an initializer."""
        return np.asarray(numpy_helper.to_array(tensor))

    def constant(self, array: npt.ArrayLike, dtype: type = np.float32) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def op(self, op: str, *inputs: str, name: str = "", domain: str = "", outputs: int = 1, **attrs: Any) -> str:
        tensor = f"{name or op.lower()}_{len(self.nodes)}"
        names = [tensor, *(f"{tensor}.{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(op, [*inputs], names, name or tensor, domain=domain, **attrs))
        return tensor

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
        operands = [self.constant(scale), self.constant(zero_point), self.constant(bits)]
        attrs: dict[str, Any] = {"signed": signed, "narrow": narrow, "rounding_mode": rounding_mode}
        return self.op("Quant", x, *operands, name=name, domain=DOMAIN, **attrs)

    def bipolar(self, x: str, scale: npt.ArrayLike = 1.0, name: str = "") -> str:
        return self.op("BipolarQuant", x, self.constant(scale), name=name, domain=DOMAIN)

    def fake(self, x: str, scale: npt.ArrayLike, kind: type = np.uint8, zero: int = 0, axis: int | None = None) -> str:
        """QuantizeLinear and DequantizeLinear: a quantizer that ONNX Runtime knows."""
        constants = self.constant(scale), self.constant(np.full(np.shape(scale), zero), kind)
        attrs = {} if axis is None else {"axis": axis}
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, *constants, **attrs), *constants, **attrs)

    def image(self, bits: int = 8) -> str:
        return self.quant("image", 1 / (2**bits - 1), bits, name="image_quant")

    def weights(self, integers: npt.ArrayLike, scale: float = 0.25, bits: int = 8) -> str:
        return self.quant(
            self.constant(np.asarray(integers) * scale), scale, bits, 1, 1, name=f"weights{len(self.nodes)}"
        )

    def conv(self, x: str, integers: npt.ArrayLike, *bias: str, name: str = "conv", **attrs: Any) -> str:
        """A convolution with narrow 8-bit weights (O, C/group, kh, kw)."""
        return self.op("Conv", x, self.weights(integers), *bias, name=name, **attrs)

    def batch_norm(
        self, x: str, gamma: npt.ArrayLike, beta: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike
    ) -> str:
        constants = [self.constant(array) for array in (gamma, beta, mean, var)]
        return self.op("BatchNormalization", x, *constants, epsilon=1e-5)

    def model(self, *outputs: str, opset: int = 17, domain: str = DOMAIN) -> onnx.ModelProto:
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "made", self.inputs, ends, self.initializers)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(domain, 2)], ir_version=9
        )
