# SPDX-License-Identifier: Apache-2.0
import numpy as np

from qonnx_models import ModelBuilder
from stages import after


def test_readers_of_one_real_tensor_each_compute_it() -> None:
    b = ModelBuilder()
    x = b.op("Relu", b.op("Neg", b.conv(b.image(), np.ones((2, 3, 1, 1)), name="conv")))
    graph = after(b.model(b.quant(x, 1, 2, name="a"), b.quant(b.op("Abs", x), 1, 2, name="b")), "fuse_chains")
    assert [node.name for node in graph] == ["conv", "a", "b"]
    names = [[type(operator).__name__ for operator in node.attrs["chain"]] for node in graph if node.op == "chain"]
    assert names == [["Multiply", "Relu", "Quantize"], ["Multiply", "Relu", "Abs", "Quantize"]]


def test_a_quantizer_ends_a_chain() -> None:
    b = ModelBuilder()
    graph = after(b.model(b.quant(b.op("Relu", b.quant(b.image(), 0.5, 4)), 1, 2)), "fuse_chains")
    assert [len(node.attrs["chain"]) for node in graph] == [1, 2]
