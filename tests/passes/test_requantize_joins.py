# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitlens
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph
from bitlens.graph.spec import CompileError
from bitlens.passes import pipeline
from bitlens.passes.requantize_joins import mirror_requantizers, requantize_joins
from bitlens.runtime import Session
from qonnx_models import ModelBuilder
from stages import after, only

_ALL = np.arange(256).reshape(1, 256, 1, 1)  # every integer of the image, one pixel each


def _quantized(v: np.ndarray, scale: float, bits: int, signed: int) -> np.ndarray:
    """Real values as Quant makes them, in float32."""
    half = 1 << (bits - 1)
    lo, hi = (-half, half - 1) if signed else (0, 2 * half - 1)
    return np.rint(np.clip(v.astype(np.float32) / np.float32(scale), lo, hi)) * np.float32(scale)


def _bound(program: Program, layer: str) -> tuple[float, float]:
    """The unit and the largest error that the metadata states for a layer."""
    (line,) = (line for line in program.metadata["requantized"].splitlines() if line.startswith(f"{layer}: "))
    if line.endswith("off by nothing"):
        return float(re.findall(r"bits of ([^;]+);", line)[0]), 0.0
    unit, error = re.findall(r"bits of ([^;]+);.* units, (\S+)$", line)[0]
    return float(unit), float(error)


def _join(op: str, scales: tuple[float, float], bits: tuple[int, int], signed: int, end: str) -> onnx.ModelProto:
    b = ModelBuilder(("N", 1, 256, 1))
    x = b.op("Sub", b.quant("image", 1.0, 8), b.constant(100.0 * signed))
    parts = [b.quant(x, scale, width, signed) for scale, width in zip(scales, bits, strict=True)]
    y = b.op(op, *parts, name="join", **({"axis": 1} if op == "Concat" else {}))
    if end == "conv":
        return b.model(b.conv(y, np.ones((3, 2 if op == "Concat" else 1, 3, 1)), pads=[1, 0, 1, 0]))
    return b.model(b.quant(b.op("Relu", y), 3.7, 4) if end == "quantizer" else y)


@given(
    op=st.sampled_from(["Add", "Concat"]),
    scales=st.tuples(st.floats(0.01, 3.0), st.floats(0.01, 3.0)),
    bits=st.tuples(st.integers(2, 8), st.integers(2, 8)),
    signed=st.integers(0, 1),
    end=st.sampled_from(["conv", "quantizer", "output"]),
)
@settings(deadline=None, max_examples=150)
def test_no_integer_of_the_operands_is_off_by_more_than_is_stated(
    op: str, scales: tuple[float, float], bits: tuple[int, int], signed: int, end: str
) -> None:
    program = bitlens.compile(_join(op, scales, bits, signed, end), allow_requantize=True)
    if "join: " not in program.metadata.get("requantized", ""):  # aligned as they are
        return
    v = np.arange(256.0) - 100 * signed
    first, second = (_quantized(v, s, k, signed).astype(np.float64) for s, k in zip(scales, bits, strict=True))
    want = (first + second)[:, None] if op == "Add" else np.stack([first, second], axis=1)  # (pixel, channel)
    unit, error = _bound(program, "join")
    node = next(node for node in program.graph if node.name == "join")
    value = program.graph.value(node.output)
    got = program.run(_ALL, keep=True)[node.output]
    assert value.scale == np.float32(unit)
    worst = np.abs(got.reshape(256, -1) * float(value.scale) - want).max()
    assert worst <= error
    if op == "Concat" and max(bits) < 7 and min(scales) >= 1:  # every integer is reached
        assert worst >= 0.98 * error  # so the bound is no mere guess
    for name, array in Session(program).run(_ALL).items():
        assert np.array_equal(array, program.run(_ALL)[name])
    assert Program.from_bytes(program.to_bytes()).metadata["requantized"] == program.metadata["requantized"]


@pytest.mark.parametrize(("op", "end", "bits"), [("Add", "conv", 8), ("Concat", "conv", 8), ("Add", "quantizer", 16)])
def test_a_join_has_the_bits_that_its_readers_take(op: str, end: str, bits: int) -> None:
    program = bitlens.compile(_join(op, (0.31, 0.237), (8, 8), 1, end), allow_requantize=True)
    node = next(node for node in program.graph if node.name == "join")
    grid = program.graph.value(node.output).grid
    assert grid is not None
    assert grid.bits == bits


def test_operands_with_a_common_fraction_lose_nothing() -> None:
    program = bitlens.compile(_join("Add", (0.5, 0.75), (8, 8), 1, "quantizer"), allow_requantize=True)
    text = "join: operands requantized to 10 bits of 0.25; their sum is off by nothing"
    assert program.metadata["requantized"] == text


def test_without_leave_nothing_is_requantized() -> None:
    with pytest.raises(
        CompileError, match=r"\Ajoin: scales of the operands must be equal or whole .*, not 0.5 and 0.75; "
    ):
        bitlens.compile(_join("Add", (0.5, 0.75), (8, 8), 1, "quantizer"))


def test_aligned_operands_are_left_alone() -> None:
    model = _join("Add", (0.5, 0.5), (8, 8), 1, "quantizer")
    plain, allowed = bitlens.compile(model), bitlens.compile(model, allow_requantize=True)
    assert plain.to_bytes() == allowed.to_bytes()


def test_the_program_is_compared_with_the_model_that_has_the_requantizers(monkeypatch: pytest.MonkeyPatch) -> None:
    def mirror_another(graph: Graph, imported: Graph) -> None:
        mirror_requantizers(graph, imported)
        scale = next(node.inputs[1] for node in imported if node.output.endswith(".join"))
        imported.constants[scale] = np.float32(1.01) * imported.constants[scale]

    model = _join("Concat", (0.31, 0.237), (4, 4), 1, "output")
    bitlens.compile(model, allow_requantize=True)
    monkeypatch.setattr(pipeline, "mirror_requantizers", mirror_another)
    with pytest.raises(CompileError, match="must equal the model's, not differ"):
        bitlens.compile(model, allow_requantize=True)


def _real_branch(*chain: str, channels: int = 3) -> tuple[ModelBuilder, str, str]:
    """A model builder, a quantized tensor, and real values made of a convolution of it."""
    rng = np.random.default_rng(0)
    b = ModelBuilder(("N", channels, 4, 4))
    x = b.quant("image", 1 / 255, 8)
    y = b.conv(x, rng.integers(-9, 10, (channels, channels, 3, 3)), pads=[1, 1, 1, 1])
    gamma, beta, mean = rng.normal(0, 1, (3, channels))
    y = b.batch_norm(y, gamma, beta, mean, np.ones(channels))
    for op in chain:
        y = b.op(op, y)
    return b, x, y


def test_real_branches_are_requantized_too() -> None:
    b, x, y = _real_branch()
    total = b.op("Add", y, x, name="join")
    exact = bitlens.compile(b.model(b.quant(total, 0.1, 6, 1)), allow_requantize=True)
    unit, error = _bound(exact, "join")
    assert error < 1.01 * unit  # half a unit each
    images = np.random.default_rng(1).integers(0, 256, (4, 4, 4, 3))
    kept = exact.run(images, keep=True)
    node = next(node for node in exact.graph if node.name == "join")
    # the model's own real values, from the integers of the convolution
    (conv,) = (node.output for node in exact.graph if node.op == "conv")
    sums = kept[conv].astype(np.float32) * np.float32(0.25) * np.float32(1 / 255)
    rng = np.random.default_rng(0)
    rng.integers(-9, 10, (3, 3, 3, 3))
    gamma, beta, mean = rng.normal(0, 1, (3, 3)).astype(np.float32)
    slope = gamma * (np.float32(1) / np.sqrt(np.float32(1) + np.float32(1e-5)))
    want = (sums * slope + (beta - mean * slope)).astype(np.float64) + images / 255.0
    assert np.abs(kept[node.output] * unit - want).max() <= error + 1e-6


def test_what_makes_a_branch_must_not_turn_back() -> None:
    b, x, y = _real_branch("Abs", channels=9)
    model = b.model(b.quant(b.op("Add", y, x, name="join"), 0.1, 6, 1))
    sentence = f"join: what makes operand {y} must rise or fall, not turn back; put a quantizer before it"
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        bitlens.compile(model, allow_requantize=True)


def test_a_branch_behind_a_pool_of_real_values_is_refused() -> None:
    b, x, y = _real_branch()
    y = b.op("MaxPool", y, kernel_shape=[1, 1])
    model = b.model(b.quant(b.op("Add", y, x, name="join"), 0.1, 6, 1))
    sentence = (
        f"join: operands must be integers, or made of them one by one, not real values ({y}); put a quantizer before it"
    )
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        bitlens.compile(model, allow_requantize=True)


def test_channels_of_several_scales_meet_a_convolution() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.quant(b.quant("image", 1 / 255, 8), np.array([0.01, 0.004]).reshape(1, 2, 1, 1), 6)
    program = bitlens.compile(b.model(b.conv(x, np.ones((2, 2, 3, 3)), name="product")), allow_requantize=True)
    unit, error = _bound(program, "product")
    assert (np.float32(unit), error) == (np.float32(0.01 / 4), pytest.approx(0.001, rel=0.02))


def test_a_sum_of_too_many_bits_meets_a_convolution() -> None:
    b = ModelBuilder(("N", 1, 4, 4))
    x = b.quant("image", 1 / 255, 8)
    total = b.op("Add", b.quant(x, 2**-16, 16), b.quant(x, 2**-16, 16, rounding_mode="CEIL"))
    program = bitlens.compile(b.model(b.conv(total, np.ones((2, 1, 3, 3)), name="product")), allow_requantize=True)
    text = "product: input requantized to 8 bits of 0.00784301758; it is off by at most 0.501 units, 0.00393"
    assert program.metadata["requantized"] == text


def test_parts_of_a_layer_are_not_requantized() -> None:
    b = ModelBuilder(("N", 1, 4, 4))
    x = b.quant("image", 1 / 65535, 16)
    x = b.op("AveragePool", b.op("Add", x, x), kernel_shape=[3, 3], pads=[1, 1, 1, 1], name="pool")
    sentence = (
        "pool.conv: what is requantized must be a layer of the file, not a part of one; put a quantizer before it"
    )
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        bitlens.compile(b.model(b.quant(x, 0.1, 4)), allow_requantize=True)


def test_one_tensor_may_be_both_branches() -> None:
    b, _, y = _real_branch()
    program = bitlens.compile(b.model(b.quant(b.op("Add", y, y, name="join"), 0.1, 6, 1)), allow_requantize=True)
    node = next(node for node in program.graph if node.name == "join")
    assert node.inputs[0] == node.inputs[1]  # one table serves both


def test_joins_of_joins_state_a_bound_each() -> None:
    b = ModelBuilder(("N", 1, 4, 4))
    x = b.quant("image", 1 / 255, 8)
    one, two, three = (b.quant(x, scale, 8) for scale in (0.00312345, 0.00471234, 0.00536789))
    total = b.op("Add", b.op("Add", one, two, name="first"), three, name="second")
    program = bitlens.compile(b.model(b.quant(total, 0.1, 4)), allow_requantize=True)
    assert [line.split(":")[0] for line in program.metadata["requantized"].splitlines()] == ["first", "second"]


def test_wide_tables_of_many_channels_get_fewer_bits() -> None:
    b, x, y = _real_branch(channels=600)
    graph = after(b.model(b.quant(b.op("Add", y, x), 0.1, 6, 1)), "adopt_inputs")
    requantize_joins(graph)
    grids = [graph.value(tensor).grid for tensor in only(graph, "add").inputs]
    assert max(grid.bits for grid in grids if grid) <= 10
