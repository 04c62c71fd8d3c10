# SPDX-License-Identifier: Apache-2.0
"""Every element alone beside its model: random parameters, random words, random pauses on both sides."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bitlens.fpga.models import MODELS
from element_bench import Bench
from random_elements import WIDTH, some_elements

SEEDS = (1, 2)  # of parameters, a build each; scripts/nightly takes many (fuzz.py)
OFTEN = st.floats(0.0, 0.95)


@pytest.fixture(scope="module", params=SEEDS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    elements = some_elements(np.random.default_rng(request.param))
    assert {element.module for element in elements} >= {*MODELS} - {"fork2"}  # which feeds them
    return Bench(WIDTH, elements, Path(tmp_path_factory.mktemp("elements")))


@given(words=st.integers(0, 2**31 - 1), pauses=st.tuples(OFTEN, OFTEN))
@example(words=0, pauses=(0.0, 0.0))
@example(words=1, pauses=(0.9, 0.0))
@example(words=2, pauses=(0.0, 0.9))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_element_gives_what_its_model_gives(bench: Bench, words: int, pauses: tuple[float, float]) -> None:
    assert bench.compare(words, pauses) == []
