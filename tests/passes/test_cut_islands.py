# SPDX-License-Identifier: Apache-2.0
"""Who computes which layer of a partially quantized model, and what crosses between the two."""

import pytest

from bitlens.passes.cut_islands import Part, cut_islands
from bitlens.passes.lower_around_islands import prepared
from bitlens.qonnx.read import read
from island_models import ISLANDS, quantized_chain

FORCED = {
    "residual of two scales": {"add": "other scales"},
    "average at the border, any size": {"pool": "other divisors"},
    "the image again": {"add": "no unit"},
}


def _cut(name: str) -> list[Part]:
    return cut_islands(prepared(read(ISLANDS[name][0]())), FORCED.get(name, {}))


@pytest.mark.parametrize("name", ISLANDS)
def test_each_layer_goes_to_one_side(name: str) -> None:
    parts = [("host" if part.host else "engine", [node.name for node in part.graph]) for part in _cut(name)]
    assert [(who, {*layers}) for who, layers in parts] == [(who, {*layers}) for who, layers in ISLANDS[name][1]]


@pytest.mark.parametrize("name", ISLANDS)
def test_a_part_reads_what_is_made_in_front_of_it(name: str) -> None:
    graph = prepared(read(ISLANDS[name][0]()))
    born = {*graph.inputs}
    for part in _cut(name):
        assert born.issuperset(part.graph.inputs)
        made = {tensor for node in part.graph for tensor in node.outputs}
        assert made.issuperset(part.graph.outputs)
        for node in part.graph:
            assert {*part.graph.inputs, *part.graph.constants, *made, ""}.issuperset(node.inputs)
        born |= {*part.graph.outputs}
    assert born.issuperset(graph.outputs)


def test_reasons_name_layers_that_integers_cannot_say() -> None:
    reasons = {name: {**part.reasons} for name in ISLANDS for part in _cut(name) if part.reasons}
    assert reasons["float middle"] == {"two": "weights must be quantized, not float (c10)"}
    assert reasons["gated"] == {"product": "operands must be integers, not real values"}
    assert reasons["softmax between layers"] == {"softmax": "operator must have an integer form, not be Softmax"}
    assert reasons["residual of two scales"] == {"add": "other scales"}


def test_a_forced_layer_takes_what_reads_it_along_up_to_the_next_quantizer() -> None:
    parts = cut_islands(prepared(read(quantized_chain())), {"one_relu": "because"})
    assert [(part.host, [node.name for node in part.graph]) for part in parts] == [
        (False, ["one"]),
        (True, ["one_relu", "one_quant"]),
        (False, ["two"]),
    ]
    assert parts[1].reasons == {"one_relu": "because"}


def test_a_quantized_model_is_one_part() -> None:
    (part,) = cut_islands(prepared(read(quantized_chain())), {})
    assert not part.host
