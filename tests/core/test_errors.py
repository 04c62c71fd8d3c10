# SPDX-License-Identifier: Apache-2.0
"""A stage's refusal is told from a defect of ours."""

import json

import pytest

from bitlens.core.errors import is_refusal
from bitlens.core.inputs import InputError


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (InputError("image: must be uint8, not float32"), True),
        (ValueError("could not broadcast"), False),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), False),
        (json.JSONDecodeError("bad", "x", 0), False),
        (type("bitlens", (ValueError,), {"__module__": "bitlensx"})("another package"), False),
    ],
)
def test_a_class_of_bitlens_is_a_refusal(error: ValueError, own: bool) -> None:
    assert is_refusal(error) is own
