# SPDX-License-Identifier: Apache-2.0
"""The passes together."""

import numpy as np
import pytest

import bitlens
from bitlens.graph.rewrite import same
from bitlens.passes.pipeline import ONE_FORM, QUANTIZED, TO_INTEGERS, lower_to_integers
from bitlens.qonnx.read import read
from qonnx_models import ModelBuilder
from random_models import random_model
from stages import assert_refused


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


@pytest.mark.parametrize("count", [450])
def test_long_rows_of_layers_compile_or_are_refused(count: int) -> None:
    b = ModelBuilder(("N", 1, 2, 2))
    x = b.image()
    for _ in range(count):
        x = b.op("MaxPool", x, kernel_shape=[1, 1])
    model = b.model(b.quant(x, 1 / 255, 8))
    try:
        assert bitlens.compile(model).graph.outputs
    except bitlens.CompileError as error:
        assert str(error) == "made: layers that only move or scale must be some hundreds in a row at most"
