# SPDX-License-Identifier: Apache-2.0
"""The programs that come with bitlens: whole, small, licensed, described."""

from importlib.resources import files

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

import bitlens
from bitlens.graph.file import Program
from bitlens.runtime import Session
from bitlens.train import find_recipe
from bitlens.vision import FaceDetector
from bitlens.vision.clearness import CLEARNESS_SIZE
from bitlens.vision.crop import cut_square, level
from bitlens.vision.pose import POSE_SIZE

FOLDER = files("bitlens.vision") / "models"
NAMES = sorted(entry.name.removesuffix(".bitlens") for entry in FOLDER.iterdir() if entry.name.endswith(".bitlens"))


def test_all_three_are_there() -> None:
    assert NAMES == ["face_clearness", "face_detector", "face_pose"]


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


def _golden_equals_engine(program: Program, pixels: npt.NDArray[np.uint8], **size: tuple[int, int]) -> None:
    golden, session = program.run(pixels), Session(program, threads=1, **size)
    engine = session.run(pixels)
    assert {*engine} == {*golden}
    for name, integers in golden.items():
        assert np.array_equal(engine[name], integers)
        assert len(np.unique(integers)) > 3  # else nothing is compared


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_computes_what_the_interpreter_does(name: str) -> None:
    program = bitlens.Program.load(str(FOLDER / f"{name}.bitlens"))
    photograph = np.asarray(Image.fromarray(data.astronaut()).convert("L"))
    face, noise = photograph[64:192, 160:288], np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8)
    if name == "face_detector":
        for luma in (face, noise, face[:97, :61]):
            _golden_equals_engine(program, luma[None, :, :, None], size=(luma.shape[0], luma.shape[1]))
    else:
        side = {"face_clearness": CLEARNESS_SIZE, "face_pose": POSE_SIZE}[name]
        crops = np.stack([cut_square(luma, (8 * k, 4, 100), side) for k in range(3) for luma in (face, noise)])
        _golden_equals_engine(program, level(crops)[..., None])
