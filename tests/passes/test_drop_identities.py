# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import bitlens
from qonnx_models import ModelBuilder


@pytest.mark.parametrize("bits", [2, 8])
def test_a_second_quantizer_like_the_first_goes(bits: int) -> None:
    b = ModelBuilder()
    x = b.quant(b.conv(b.image(), np.ones((2, 3, 1, 1))), 0.1, bits)
    x = b.quant(b.op("MaxPool", x, kernel_shape=[2, 2]), 0.1, bits)
    program = bitlens.compile(b.model(b.conv(x, np.ones((1, 2, 1, 1)), name="last")))
    assert len([node for node in program.graph if node.op in ("steps", "rescale")]) == 1


def test_the_same_integers_of_another_unit_keep_their_meaning() -> None:
    b = ModelBuilder(("N", 1))
    x = b.quant("image", 1, 1)
    x = b.quant(x, 0.5, 1)  # 0 and 1 stay 0 and 1, but 1 means 0.5 now
    program = bitlens.compile(b.model(b.op("Gemm", b.quant(x, 0.125, 3), b.weights([[1.0]]), transB=1)))
    assert program.run(np.array([[[[1]]]]))[program.graph.output_names[program.graph.outputs[0]]].tolist() == [[[[4]]]]


def test_an_identity_that_is_an_output_stays() -> None:
    b = ModelBuilder()
    x = b.quant(b.conv(b.image(), np.ones((2, 3, 1, 1))), 0.1, 2)
    assert [node.op for node in bitlens.compile(b.model(x, b.quant(x, 0.1, 2))).graph] == ["conv", "steps", "steps"]
