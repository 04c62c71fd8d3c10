# SPDX-License-Identifier: Apache-2.0
import numpy as np

import bitlens
from qonnx_models import ModelBuilder


def test_layers_that_quantize_one_tensor_alike_share_the_quantizer() -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), np.ones((4, 3, 1, 1)), name="stem")
    quantizers = [b.quant(b.op("Relu", x), 0.5, 2) for _ in range(2)] + [b.quant(b.op("Relu", x), 0.5, 3)]
    heads = [b.conv(q, np.full((1, 4, 1, 1), i), name=f"head{i}") for i, q in enumerate(quantizers)]
    program = bitlens.compile(b.model(*heads))
    assert sorted(node.op for node in program.graph) == ["conv", "conv", "conv", "conv", "steps", "steps"]
    readers = {node.name: node.inputs[0] for node in program.graph if node.op == "conv"}
    assert readers["head0"] == readers["head1"] != readers["head2"]


def test_tables_alike_on_two_grids_stay_apart() -> None:
    b = ModelBuilder(("N", 1))
    x = b.op("Gemm", b.quant("image", 1, 1), b.weights([[0.0], [1.0]], scale=1.0), transB=1)
    program = bitlens.compile(b.model(b.quant(x, 1, 2), b.quant(x, 1, 3)))  # sums are 0 and 1
    assert [str(program.graph.value(name).grid) for name in program.graph.outputs] == ["unsigned 2", "unsigned 3"]
