# SPDX-License-Identifier: Apache-2.0
"""Models of column vectors, W x, beside the reference arithmetic of the model as it was read."""

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

import bitlens
from bitlens.graph.execute import execute
from bitlens.passes.fold_constants import fold_constants
from bitlens.qonnx.read import read
from qonnx_models import ModelBuilder

INPUTS, HIDDEN = 5, 7


class Columns(ModelBuilder):
    """Inputs "image" (5, 1) and "h", "c" (7, 1)."""

    def __init__(self, seed: int) -> None:
        super().__init__((INPUTS, 1))
        self.inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, (HIDDEN, 1)) for name in ("h", "c")]
        self.rng = np.random.default_rng(seed)

    def matrix(self, rows: int, columns: int, *, per_row: bool = False) -> str:
        scale: npt.ArrayLike = self.rng.uniform(0.02, 0.05, (rows, 1)) if per_row else 1 / 32
        return self.quant(self.constant(self.rng.normal(0, 0.3, (rows, columns))), scale, 6, 1, 1)

    def gate(self, x: str, h: str, op: str, scale: float, signed: int) -> str:
        products = [
            self.op("MatMul", self.matrix(HIDDEN, INPUTS), x),
            self.op("MatMul", self.matrix(HIDDEN, HIDDEN), h),
        ]
        a = self.op("Add", *(self.quant(p, 1 / 64, 10, 1) for p in products))
        a = self.op("Add", a, self.constant(self.rng.normal(0, 0.3, (HIDDEN, 1))))
        return self.quant(self.op(op, self.quant(a, 1 / 32, 8, 1)), scale, 8, signed)

    def step(self) -> onnx.ModelProto:
        """An LSTM whose gates and products are all quantized, with tanh."""
        x, h, c = (
            self.quant(name, scale, bits, 1)
            for name, scale, bits in (("image", 1 / 16, 6), ("h", 1 / 32, 6), ("c", 1 / 64, 10))
        )
        f, i, o = (self.gate(x, h, "Sigmoid", 1 / 256, 0) for _ in range(3))
        g = self.gate(x, h, "Tanh", 1 / 128, 1)
        parts = [self.quant(self.op("Mul", *pair), 1 / 64, 10, 1) for pair in ((f, c), (i, g))]
        c = self.quant(self.op("Add", *parts), 1 / 64, 10, 1)
        h = self.quant(self.op("Mul", o, self.quant(self.op("Tanh", c), 1 / 128, 8, 1)), 1 / 32, 6, 1)
        return self.model(h, c)


def reference(model: onnx.ModelProto, inputs: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.int64]]:
    """The integers of the outputs, the model's own columns."""
    graph = read(model)
    fold_constants(graph)
    tensors = execute(graph, inputs)
    found = []
    for name in graph.outputs:
        integers = tensors[name].integers
        assert integers is not None
        found.append(integers)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_step_of_columns_equals_the_model_as_it_was_read(seed: int) -> None:
    b = Columns(seed)
    model = b.step()
    session = bitlens.Session(bitlens.compile(model))
    rng = np.random.default_rng(seed)
    for _ in range(5):
        x = {
            n: rng.normal(0, 1, (k, 1)).astype(np.float32) for n, k in (("image", INPUTS), ("h", HIDDEN), ("c", HIDDEN))
        }
        wanted = reference(model, x)
        found = session.run({name: column.T for name, column in x.items()})
        for integers, array in zip(wanted, found.values(), strict=True):
            assert np.array_equal(array.reshape(-1, 1), integers)


def test_columns_are_joined_along_their_length() -> None:
    b = Columns(1)
    x, h = b.quant("image", 1 / 16, 4, 1), b.quant("h", 1 / 16, 4, 1)
    both = b.op("Concat", x, h, b.quant("c", 1 / 16, 4, 1), axis=0)
    model = b.model(b.quant(b.op("MatMul", b.matrix(3, INPUTS + 2 * HIDDEN, per_row=True), both), 1 / 8, 6, 1))
    rng = np.random.default_rng(1)
    given = {
        n: rng.normal(0, 1, (k, 1)).astype(np.float32) for n, k in (("image", INPUTS), ("h", HIDDEN), ("c", HIDDEN))
    }
    (found,) = bitlens.Session(bitlens.compile(model)).run({name: column.T for name, column in given.items()}).values()
    assert np.array_equal(found.reshape(-1, 1), reference(model, given)[0])


def test_rows_may_be_turned_on_the_way() -> None:
    b = ModelBuilder(("N", 3))
    weights = np.array([[1, -2, 3], [0, 4, -1]])
    x = b.op("Transpose", b.image(), perm=[1, 0])
    program = bitlens.compile(b.model(b.op("MatMul", b.weights(weights), x, name="fc")))
    image = np.array([[1, 2, 3], [250, 0, 7]], np.uint8)
    (found,) = bitlens.Session(program).run(image).values()
    assert np.array_equal(found.reshape(2, 2), image.astype(int) @ weights.T)
