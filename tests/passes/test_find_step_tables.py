# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import bitlens
from bitlens.core.reference import Quantize, evaluate
from qonnx_models import ModelBuilder
from stages import after, assert_refused, only


@pytest.mark.parametrize(("bits", "op"), [(1, "steps"), (4, "steps"), (5, "rescale"), (8, "rescale"), (16, "rescale")])
def test_wide_grids_are_multiplied_and_shifted(bits: int, op: str) -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), np.random.default_rng(0).integers(-7, 8, (2, 3, 3, 3)))
    program = bitlens.compile(b.model(b.quant(x, 2.0 ** (3 - bits), bits)))
    assert [node.op for node in program.graph] == ["conv", op]


def test_a_wide_grid_that_turns_back_is_a_table() -> None:
    b = ModelBuilder()
    x = b.op("Abs", b.conv(b.image(), np.ones((1, 3, 1, 1)) * [[[[-1]], [[1]], [[1]]]]))
    program = bitlens.compile(b.model(b.quant(x, 1 / 64, 6)))
    assert [node.op for node in program.graph] == ["conv", "steps"]


def test_one_row_where_all_channels_are_alike() -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), np.random.default_rng(0).integers(-7, 8, (5, 3, 3, 3)))
    graph = after(b.model(b.quant(x, 0.5, 2)), "find_step_tables")
    assert only(graph, "steps").attrs["values"].tolist() == [[0, 1, 2, 3]]


def test_a_table_equals_the_chain_on_every_integer() -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), np.random.default_rng(1).integers(-3, 4, (4, 3, 1, 1)))
    x = b.batch_norm(x, [1, -1, 0, 2], [0.1, 0.2, 0.3, -0.4], [0, 0.1, 0, 0.3], [0.5, 1, 1, 2])
    model = b.model(b.quant(x, 0.1, 3, 1, 0, -0.5, rounding_mode="FLOOR"))
    before, program = after(model, "sink_max_pools"), bitlens.compile(model)
    chain, sums = only(before, "chain"), only(before, "conv").output
    grid, scale = before.value(sums).grid, before.value(sums).scale
    assert grid is not None
    integers = grid.values()[:, None] * np.ones(4, np.int64)
    assert isinstance(chain.attrs["chain"][-1], Quantize)
    real = integers.astype(np.float32) * scale
    wanted = _by_hand(chain.attrs["chain"], real)
    table = only(program.graph, "steps").attrs
    reached = (integers[..., None] >= table["breakpoints"]).sum(axis=2)
    found = np.take_along_axis(np.broadcast_to(table["values"], (len(integers), *table["values"].shape)),
                               reached[..., None], axis=2)[..., 0]  # fmt: skip
    lo = np.minimum(0, 255 * only(before, "conv").attrs["weights"]).sum(axis=(1, 2, 3))
    hi = np.maximum(0, 255 * only(before, "conv").attrs["weights"]).sum(axis=(1, 2, 3))
    inside = (integers >= lo) & (integers <= hi)
    assert np.array_equal(found[inside], (2 * wanted + 1)[inside])


def _by_hand(chain: tuple[object, ...], real: np.ndarray) -> np.ndarray:
    """evaluate() takes integers; real values in front of it are what it makes of them with a unit of one."""
    norm, quantize = chain
    slope, intercept = norm.affine()  # type: ignore[attr-defined]
    v = (real * slope + intercept) / quantize.scale + quantize.zero_point  # type: ignore[attr-defined]
    assert evaluate((quantize,), np.zeros((1, 1), np.int64)).shape == (1, 1)  # type: ignore[arg-type]
    return np.floor(np.clip(v, quantize.lo, quantize.hi)).astype(np.int64)  # type: ignore[attr-defined]


def test_a_long_scan_is_refused() -> None:
    b = ModelBuilder(("N", 512))
    x = b.quant(b.image(), 2**-13, 13)
    x = b.op("Gemm", x, b.weights(np.random.default_rng(0).integers(-127, 128, (64, 512))), transB=1)
    model = b.model(b.quant(b.op("Mul", b.op("Sigmoid", x), b.constant(np.arange(1, 65))), 1, 2, name="q"))
    sums = np.abs(np.random.default_rng(0).integers(-127, 128, (64, 512))).sum()
    assert sums > 0
    with pytest.raises(
        bitlens.graph.spec.CompileError, match=r"\Aq: a chain that is not proven monotone must have at most "
    ):
        bitlens.compile(model)


def test_an_unquantized_input_of_a_quantizer_is_refused() -> None:
    b = ModelBuilder()
    x = b.op("Sigmoid", b.op("MaxPool", b.op("Relu", "image"), kernel_shape=[2, 2]))
    model = b.model(b.quant(x, 1, 2, name="q"))
    assert_refused(
        model,
        "image: input must go into one quantizer, not into relu_0; "
        "quantize it first, 8 bits unsigned with scale 1/255 for images",
    )


def test_a_chain_that_makes_nan_is_refused() -> None:
    b = ModelBuilder()
    x = b.op("Mul", b.conv(b.image(), np.ones((1, 3, 1, 1))), b.constant(3e38))
    x = b.op("Mul", b.op("Mul", x, b.constant(3e38)), b.constant(0))
    assert_refused(
        b.model(b.quant(x, 1, 2, name="q")),
        "q: what is quantized must be numbers, not nan; repair the scales of the model",
    )
