# SPDX-License-Identifier: Apache-2.0
"""Scales, slopes and normalizations as other people's models have them, beside ONNX Runtime's own arithmetic, code by code."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

import bitlens
import onnx_runtime
from bitlens.runtime import Session
from qonnx_models import ModelBuilder

_SIZE, _CHANNELS = 6, 3
_TIE = 1e-3  # units: float32 sums in another order

Block = Callable[[ModelBuilder, str, np.random.Generator, float], str]  # the last: the spread of what comes in


def _unrounded_weights(b: ModelBuilder, rng: np.random.Generator, *shape: int) -> str:
    """Float weights that the file leaves to its quantizer, scale per output channel."""
    scale = rng.uniform(0.011, 0.037, shape[0])
    weights = np.clip(rng.normal(0, 0.9, shape), -2, 2) * 60 * scale.reshape(-1, *[1] * (len(shape) - 1))
    return b.fake(b.constant(weights), scale, np.int8, axis=0)


def _conv(b: ModelBuilder, x: str, rng: np.random.Generator, spread: float) -> str:
    return b.op(
        "Conv", x, _unrounded_weights(b, rng, 4, _CHANNELS, 3, 3), b.constant(rng.normal(0, spread, 4)), pads=[1] * 4
    )


def _slopes(b: ModelBuilder, x: str, rng: np.random.Generator, spread: float) -> str:
    """A batch norm that rises, falls, and is constant."""
    x = _conv(b, x, rng, spread)
    beta, mean = rng.normal(0, spread, (2, 4))
    return b.batch_norm(x, [0.7, -0.9, 0.0, -1e-3], beta, mean, rng.uniform(0.1, 2, 4))


def _falling_pool(b: ModelBuilder, x: str, rng: np.random.Generator, spread: float) -> str:
    return b.op("MaxPool", b.op("Relu", _slopes(b, x, rng, spread)), kernel_shape=[2, 2], strides=[2, 2])


def _depthwise(b: ModelBuilder, x: str, rng: np.random.Generator, spread: float) -> str:
    """Activations of a scale per channel, which a depthwise convolution keeps apart."""
    x = b.fake(x, spread / 50 * rng.uniform(0.5, 3, _CHANNELS), np.int8, axis=1)
    return b.op("Conv", x, _unrounded_weights(b, rng, _CHANNELS, 1, 3, 3), group=_CHANNELS)


def _mean_per_channel(b: ModelBuilder, x: str, rng: np.random.Generator, spread: float) -> str:
    """Activations of a scale per channel in front of an average and of constants per channel."""
    x = b.fake(x, spread / 50 * rng.uniform(0.5, 3, _CHANNELS), np.int8, axis=1)
    x = b.op("AveragePool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    return b.op("Mul", x, b.constant(rng.normal(0, 1, (_CHANNELS, 1, 1))))


def _as_it_is(b: ModelBuilder, x: str) -> str:
    return b.fake(x, 0.731, np.uint8, 128)


def _hundredths(b: ModelBuilder, x: str) -> str:
    """Image / 255, then mean and deviation of each channel."""
    x = b.op("Div", x, b.constant(255.0))
    x = b.op("Sub", x, b.constant(np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)))
    return b.fake(b.op("Div", x, b.constant(np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1))), 0.0187, np.int8)


def _scaled(b: ModelBuilder, x: str) -> str:
    """2 x / 255 - 1, with the factor in front of the image."""
    return b.fake(b.op("Sub", b.op("Mul", b.constant(2 / 255), x), b.constant(1.0)), 1 / 127, np.int8)


def _run(b: ModelBuilder, tensor: str, images: np.ndarray) -> np.ndarray:
    model = b.model(tensor)
    del model.opset_import[1]
    return onnx_runtime.evaluate(model, image=images)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.FLOAT])
@pytest.mark.parametrize("normalize", [_as_it_is, _hundredths, _scaled])
@pytest.mark.parametrize("block", [_conv, _slopes, _falling_pool, _depthwise, _mean_per_channel])
@given(seed=st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=5)
def test_codes_are_those_of_onnx_runtime(
    kind: int, normalize: Callable[[ModelBuilder, str], str], block: Block, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    b = ModelBuilder(("N", _CHANNELS, _SIZE, _SIZE), kind)
    x = b.op("Cast", "image", to=TensorProto.FLOAT) if kind == TensorProto.UINT8 else "image"
    real = block(b, normalize(b, x), rng, 60.0 if normalize is _as_it_is else 1.0)
    images = rng.integers(0, 256, (3, _SIZE, _SIZE, _CHANNELS))
    given_images = images.transpose(0, 3, 1, 2).astype(np.uint8 if kind == TensorProto.UINT8 else np.float32)
    before = _run(b, real, given_images)
    scale = np.float32(np.abs(before).max() / 110)
    output = b.fake(real, scale, np.int8)

    program = bitlens.compile(b.model(output))
    values = images if kind == TensorProto.UINT8 else images.astype(np.float32)
    found = program.run(values)[output].transpose(0, 3, 1, 2)
    assert np.array_equal(Session(program).run(values)[output].transpose(0, 3, 1, 2), found)

    wanted = np.rint(_run(b, output, given_images) / scale)
    units = before.astype(np.float64) / scale
    tie = np.abs(units - np.floor(units) - 0.5) < _TIE
    assert np.array_equal(found[~tie], wanted[~tie])
    assert np.abs(found - wanted).max() <= 1
    assert tie.mean() < 0.5
    assert len(np.unique(found)) > 3  # something was computed
