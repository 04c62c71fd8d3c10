# SPDX-License-Identifier: Apache-2.0
"""Every element alone beside its model: random parameters, random words, random pauses on both sides."""

from pathlib import Path

import numpy as np
import pytest

from bitlens.fpga.models import MODELS

from element_bench import Bench
from random_elements import WIDTH, some_elements

SEEDS = (1, 2, 3)  # a build each; scripts/nightly takes others
PAUSES = ((0.0, 0.0), (0.3, 0.3), (0.9, 0.0), (0.0, 0.9))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_element_gives_what_its_model_gives(tmp_path: Path, seed: int) -> None:
    elements = some_elements(np.random.default_rng(seed))
    assert {element.module for element in elements} >= {*MODELS} - {"fork2"}  # which feeds them
    bench = Bench(WIDTH, elements, tmp_path)
    for place, pauses in enumerate(PAUSES):
        assert bench.compare(seed * 10 + place, pauses) == []
