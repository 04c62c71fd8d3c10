# SPDX-License-Identifier: Apache-2.0
import re

import pytest

from bitlens.train import TrainError
from bitlens.train.float_free import Options

NINES = 5000 * "9"


def test_strings() -> None:
    assert Options.parse("on") == Options.parse("") == Options(16, "l1", "stochastic")
    assert Options.parse("masters=8, norm=range,rounding=nearest") == Options(8, "range", "nearest")
    assert Options.parse(str(Options(12, "range"))) == Options(12, "range")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("masters=7", "float_free: masters must be 8 to 16 bits, not 7"),
        ("masters=x", "float_free: masters must be 8 to 16 bits, not x"),
        ("masters=٩", "float_free: masters must be 8 to 16 bits, not ٩"),  # a digit of another script
        pytest.param(
            "masters=" + NINES, f"float_free: masters must be 8 to 16 bits, not {NINES}", id="more than int reads"
        ),
        ("masters=", "float_free: masters must be 8 to 16 bits, not nothing"),
        ("norm=", "float_free: norm must be one of l1, range, not nothing"),
        ("masters=8,", "float_free: must be on or keys out of masters, norm, rounding, not nothing"),
        ("masters=8,masters=9", "float_free: masters must be given once, not twice"),
        ("norm=l1,masters=8,norm=l1", "float_free: norm must be given once, not twice"),
        ("norm=l2", "float_free: norm must be one of l1, range, not l2"),
        ("masters", "float_free: must be on or keys out of masters, norm, rounding, not masters"),
        ("bits=8", "float_free: must be on or keys out of masters, norm, rounding, not bits=8"),
    ],
)
def test_refusals(text: str, sentence: str) -> None:
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        Options.parse(text)
