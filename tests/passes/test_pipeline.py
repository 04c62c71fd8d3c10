# SPDX-License-Identifier: Apache-2.0
"""The passes together: progress, and models with random faults of attributes, shapes, constants and wiring."""

import warnings

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import bitlens
from bitlens.core.bounds import ACCUMULATOR_LIMIT
from bitlens.graph.rewrite import same
from bitlens.graph.spec import IMPORTED_OPS, CompileError
from bitlens.passes.pipeline import ONE_FORM, QUANTIZED, TO_INTEGERS, lower_to_integers
from bitlens.qonnx.read import read
from qonnx_models import ModelBuilder
from random_models import random_model
from stages import assert_refused

_ATTRIBUTES = sorted({name for op in IMPORTED_OPS.values() for name in op.attrs})
_VALUES = (0, 1, -1, 5, 1 << 40, [1, 1], [0, 0], [-1, 1], [0, 0, 0, 0], [9, 9, 9, 9], [2], [1, 2, 3], 0.5, "SAME_UPPER")


def _damage(model: onnx.ModelProto, rng: np.random.Generator) -> None:
    """One fault."""
    graph = model.graph
    node = graph.node[rng.integers(len(graph.node))]
    tensors = [name for other in graph.node for name in other.output] + [item.name for item in graph.initializer]
    kind = rng.integers(9)
    if kind == 0 and node.attribute:
        del node.attribute[rng.integers(len(node.attribute))]
    elif kind == 1 and node.attribute:
        attribute = node.attribute[rng.integers(len(node.attribute))]
        attribute.CopyFrom(helper.make_attribute(attribute.name, _VALUES[rng.integers(len(_VALUES))]))
    elif kind == 2:
        name, value = _ATTRIBUTES[rng.integers(len(_ATTRIBUTES))], _VALUES[rng.integers(len(_VALUES))]
        node.attribute.append(helper.make_attribute(name, value))
    elif kind == 3 and node.input:
        node.input[rng.integers(len(node.input))] = [*tensors, "", "nothing", "image"][rng.integers(len(tensors) + 3)]
    elif kind == 4:
        node.op_type = [*IMPORTED_OPS, "GridSample"][rng.integers(len(IMPORTED_OPS) + 1)]
    elif kind == 5:
        tensor = graph.initializer[rng.integers(len(graph.initializer))]
        tensor.CopyFrom(numpy_helper.from_array(_damaged(numpy_helper.to_array(tensor), rng), tensor.name))
    elif kind == 6 and node.input:
        del node.input[rng.integers(len(node.input))]
    elif kind == 7:
        graph.output[0].name = tensors[rng.integers(len(tensors))]
    else:
        sizes = graph.input[0].type.tensor_type.shape.dim
        sizes[rng.integers(len(sizes))].dim_value = int(rng.choice([0, 1, 2, 7, 100]))


def _damaged(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    changed = [
        array.reshape(-1), array[None], array * 0, -array, array + 0.3, array * np.float32(1e30), array * np.inf,
        array * np.nan, np.array([array] * 2), array.astype(np.float64), array.astype(np.float16), array[None][:0],
    ]  # fmt: skip
    return np.asarray(changed[rng.integers(len(changed))]).astype(array.dtype if rng.integers(2) else None)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), blocks=st.integers(1, 4), faults=st.integers(1, 3))
def test_faulty_models_are_compiled_or_refused_in_one_line(seed: int, blocks: int, faults: int) -> None:
    model, rng = random_model(seed, blocks), np.random.default_rng(seed)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of making faults
        for _ in range(faults):
            _damage(model, rng)
    try:
        program = bitlens.compile(model)
    except CompileError as error:
        assert "\n" not in str(error)
        assert "this is a bug" not in str(error)
    else:
        for value in program.graph.values.values():
            assert value.grid is not None
            assert max(-value.grid.lo, value.grid.hi) <= ACCUMULATOR_LIMIT


def test_progress_tells_every_pass() -> None:
    b = ModelBuilder()
    told: list[tuple[str, int, int]] = []
    graph = read(b.model(b.conv(b.image(), np.ones((1, 3, 1, 1)))))
    lower_to_integers(graph, progress=lambda *step: told.append(step))
    passes = [rewrite.__name__ for rewrite in (*ONE_FORM, *QUANTIZED, *TO_INTEGERS)]
    passes += ["move_channels_last", "settle_states", "find_multiples", "verify_program"]
    assert told == [(name, place, len(passes)) for place, name in enumerate(passes)]


def test_the_imported_graph_is_left_as_it_was() -> None:
    model = random_model(3, 4)
    graph, again = read(model), read(model)
    lower_to_integers(graph)
    assert same(graph, again)


@pytest.mark.parametrize("faults", ["GridSample", "com.microsoft::FusedConv"])
def test_unknown_operators_are_named(faults: str) -> None:
    domain, _, op = faults.rpartition("::")
    b = ModelBuilder()
    x = b.op(op, b.image(), name="strange", domain=domain)
    assert_refused(
        b.model(x),
        f"strange: operator must be one that bitlens compiles, not {faults}; "
        "replace the operator, or cut the model before it",
    )
