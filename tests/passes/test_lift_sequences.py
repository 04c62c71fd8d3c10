# SPDX-License-Identifier: Apache-2.0
"""Models of sequences, beside ONNX Runtime: Quant nodes are replaced by what they compute on their grid."""

import numpy as np
import pytest

import bitlens
from bitlens.qonnx.dialect import DOMAIN
from exactness import assert_exact
from onnx_runtime import evaluate
from qonnx_models import ModelBuilder
from stages import assert_refused


class Sequences(ModelBuilder):
    """Models of (N, C, L)."""

    def conv1d(self, x: str, shape: tuple[int, int, int], rng: np.random.Generator, op: str = "Conv", **attrs) -> str:
        scale = np.float32(rng.uniform(0.01, 0.02, shape[0])) if op == "Conv" else 0.01
        weights = self.fake(self.constant(rng.normal(0, 0.5, shape)), scale, np.int8, axis=0)
        return self.op(op, x, weights, **attrs)


def assert_equal(b: ModelBuilder, x: str, shape: tuple[int, int, int]) -> None:
    model = b.model(x)
    image = (np.random.default_rng(0).integers(0, 256, shape) / 255).astype(np.float32)
    wanted = evaluate(model, image=image)
    program = bitlens.compile(model)
    codes = np.rint(image * 255).astype(np.uint8).transpose(0, 2, 1)[:, None]  # (N, 1, L, C)
    (real,) = bitlens.Session(program).run(codes, real=True).values()
    found = real[:, 0].transpose(0, 2, 1) if wanted.ndim == 3 else real.reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_radio_net() -> None:
    rng = np.random.default_rng(0)
    b = Sequences(("N", 2, 32))
    x = b.conv1d(b.fake("image", 1 / 255), (6, 2, 3), rng, pads=[1, 1])
    x = b.batch_norm(x, rng.normal(1, 0.1, 6), rng.normal(0, 0.1, 6), rng.normal(0, 0.1, 6), rng.uniform(0.5, 2, 6))
    x = b.fake(b.op("Relu", x), 0.02)
    x = b.op("MaxPool", x, kernel_shape=[2], strides=[2])
    x = b.conv1d(x, (6, 1, 5), rng, group=6, dilations=[2], pads=[4, 4], strides=[2])
    x = b.fake(b.op("Mul", x, b.constant(rng.uniform(0.5, 1, (6, 1)))), 0.05, np.int8)
    x = b.op("Concat", x, x, axis=1)
    flat = b.op("Flatten", x)
    weights = b.fake(b.constant(rng.normal(0, 1, (96, 4))), 0.02, np.int8)
    assert_equal(b, b.op("MatMul", flat, weights), (3, 2, 32))


def test_sequences_may_be_the_output() -> None:
    rng = np.random.default_rng(1)
    b = Sequences(("N", 3, 9))
    x = b.fake(b.conv1d(b.fake("image", 1 / 255), (4, 3, 2), rng), 0.02, np.int8)
    x = b.conv1d(x, (4, 5, 3), rng, op="ConvTranspose", strides=[2], output_padding=[1])
    assert_equal(b, x, (2, 3, 9))


@pytest.mark.parametrize("way", ["squeeze", "mean", "global", "reshape"])
def test_a_sequence_becomes_a_vector(way: str) -> None:
    rng = np.random.default_rng(2)
    b = Sequences(("N", 3, 8))
    x = b.fake(b.conv1d(b.fake("image", 1 / 255), (4, 3, 1), rng), 0.02, np.int8)
    if way == "squeeze":
        x = b.op("Squeeze", b.op("MaxPool", x, kernel_shape=[8]), b.constant([2], np.int64))
    elif way == "mean":
        x = b.fake(b.op("ReduceMean", x, axes=[2], keepdims=0), 0.0131, np.int8)
    elif way == "global":
        x = b.fake(b.op("Flatten", b.op("GlobalAveragePool", x)), 0.0131, np.int8)
    else:
        x = b.op("Reshape", x, b.constant([0, -1], np.int64))
    weights = b.fake(b.constant(rng.normal(0, 1, (32 if way == "reshape" else 4, 4))), 0.02, np.int8)
    assert_equal(b, b.op("MatMul", x, weights), (2, 3, 8))


def test_moved_axes_are_refused() -> None:
    b = Sequences(("N", 3, 8))
    x = b.op("Transpose", b.fake("image", 1 / 255), perm=[0, 2, 1], name="t")
    assert_refused(b.model(x), "t: Transpose must not act on a sequence (N, C, L); export the model with maps")


def test_windows_of_two_axes_are_refused() -> None:
    b = Sequences(("N", 3, 8))
    x = b.op("MaxPool", b.fake("image", 1 / 255), kernel_shape=[2], pads=[0, 0, 0, 0], name="pool")
    assert_refused(b.model(x), "pool: pads of a sequence must be those of one axis, not (0, 0, 0, 0)")


def test_scales_and_weights_may_be_computed() -> None:
    rng = np.random.default_rng(3)
    b = Sequences(("N", 3, 8))
    scale = b.op("Div", b.constant(rng.uniform(0.1, 0.2, (4, 1, 1))), b.constant(8))
    turned = b.op("Transpose", b.constant(rng.normal(size=(3, 4, 3))), perm=[1, 0, 2])
    weights = b.op("Quant", turned, scale, b.constant(0), b.constant(4), domain=DOMAIN, signed=1, narrow=1)
    x = b.op("Conv", b.image(), weights)
    unit = b.op("Mul", b.constant(rng.uniform(0.1, 0.2, (1, 4, 1))), b.constant(2))
    x = b.op("Quant", x, unit, b.constant(0), b.constant(4), domain=DOMAIN, signed=1, narrow=0)
    assert_exact(b.model(b.op("Conv", x, b.weights(rng.integers(-9, 10, (4, 1, 3))), group=4)))
