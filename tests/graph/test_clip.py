# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.graph.clip import clip_limits
from bitlens.graph.graph import Graph, Node
from bitlens.graph.spec import CompileError


def limits(*inputs: str, **constants: object) -> tuple[float, float]:
    graph = Graph(constants={name: np.asarray(value) for name, value in constants.items()})
    return clip_limits(graph, Node("Clip", "clip", ["x", *inputs], ["y"]))


def test_a_limit_left_out_is_infinite() -> None:
    assert limits() == (-np.inf, np.inf)
    assert limits("", "hi", hi=np.int8(7)) == (-np.inf, 7)
    assert limits("lo", "hi", lo=[0.1], hi=1) == (float(np.float32(0.1)), 1)


@pytest.mark.parametrize(
    ("inputs", "constants", "sentence"),
    [
        (("lo",), {}, "clip: limit lo must be one constant number, not computed; write it as a constant"),
        (("lo",), {"lo": [1, 2]}, "clip: limit lo must be one constant number, not computed; write it as a constant"),
        (
            ("lo", "hi"),
            {"lo": 2, "hi": 1},
            "clip: lower limit must be at most the upper limit, not 2 and 1",
        ),
        (("lo",), {"lo": np.nan}, "clip: lower limit must be at most the upper limit, not nan and inf"),
    ],
)
def test_refusals(inputs: tuple[str, ...], constants: dict[str, object], sentence: str) -> None:
    with pytest.raises(CompileError) as caught:
        limits(*inputs, **constants)
    assert str(caught.value) == sentence
