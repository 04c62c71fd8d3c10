# SPDX-License-Identifier: Apache-2.0
"""The face table on small sets that are written here; what a detector that knows the truth would get."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bitlens.results.faces import held_out, quality

from scene_pictures import write_scene_sets


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_scene_sets(tmp_path_factory.mktemp("faces"))
    for end in ("zip", "jsonl"):
        (root / f"afw_dev.{end}").write_bytes((root / f"helen.{end}").read_bytes())
    return root


def test_held_out_are_of_the_test_split_and_faces_of_the_size_that_is_asked_for(data: Path) -> None:
    sets = held_out(data)
    assert {*sets} == {"ytfaces", "afw_dev", "nonface", "composed", "composed, 20 to 30 px"}
    assert [len(sets[name]) for name in ("ytfaces", "afw_dev", "nonface", "composed")] == [1, 1, 2, 200]
    assert not sets["afw_dev"][0].complete
    for name, low, high in (("composed", 30, np.inf), ("composed, 20 to 30 px", 20, 30)):
        widths = np.concatenate([p.boxes[:, 2] - p.boxes[:, 0] for p in sets[name]])
        assert len(widths) > 10
        assert ((widths >= low - 1e-3) & (widths < high + 1e-3)).all()


@pytest.mark.parametrize(("found", "expected"), [(1.0, 1.0), (0.0, 0.0)])
def test_a_detector_that_knows_finds_all_and_one_that_does_not_finds_none(
    data: Path, found: float, expected: float
) -> None:
    known = {picture.luma.tobytes(): picture.boxes for name, part in held_out(data).items() for picture in part}
    known |= {p.luma.tobytes(): p.boxes for p in held_out(data)["composed"]}

    def detect(luma: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        boxes = known[luma.tobytes()] if found else np.zeros((0, 4))
        return boxes, np.full(len(boxes), 0.5)

    figures = quality(detect, data)
    for name in ("recall, ytfaces", "recall, composed", "recall, afw_dev"):
        assert figures[name] == expected
    assert figures["average precision at 0.5, ytfaces, composed and nonface"] == expected
    assert figures["faces, ytfaces"] == 1
