# SPDX-License-Identifier: Apache-2.0
"""The programs that come with bitlens: whole, small, licensed, described."""

from importlib.resources import files

import pytest

import bitlens
from bitlens.train import find_recipe
from bitlens.vision import FaceDetector

FOLDER = files("bitlens.vision") / "models"
NAMES = sorted(entry.name.removesuffix(".bitlens") for entry in FOLDER.iterdir() if entry.name.endswith(".bitlens"))


def test_clearness_and_pose_are_there() -> None:
    assert {"face_clearness", "face_pose"} <= {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_each_states_its_licence_and_has_a_card(name: str) -> None:
    program = bitlens.Program.load(str(FOLDER / f"{name}.bitlens"))
    assert program.metadata["recipe"] == name
    assert program.metadata["licence"] == find_recipe(name).licence
    assert "LICENSE-WEIGHTS.md" in program.metadata["licence"]
    assert "Licence of the weights" in (FOLDER / "LICENSE-WEIGHTS.md").read_text()
    assert len((FOLDER / f"{name}.bitlens").read_bytes()) <= 40 * 1024
    card = (FOLDER / f"{name}.md").read_text()
    for part in ("## Data", "## Results", "## Limits", "## Train it again", f"bitlens train {name} "):
        assert part in card


def test_the_detector_states_its_threshold_and_the_card_too() -> None:
    sure = FaceDetector(threads=1).sure
    program = bitlens.Program.load(str(FOLDER / "face_detector.bitlens"))
    assert float(program.metadata["threshold"]) == sure
    assert (
        f"The detector's own threshold, {program.metadata['threshold']}," in (FOLDER / "face_detector.md").read_text()
    )
