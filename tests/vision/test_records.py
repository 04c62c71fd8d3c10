# SPDX-License-Identifier: Apache-2.0
from bitlens.vision import Box


def test_a_box_knows_its_ends() -> None:
    box = Box(10.0, 20.0, 30.0, 40.0)
    assert (box.right, box.bottom, box.area, box.centre) == (40.0, 60.0, 1200.0, (25.0, 40.0))
