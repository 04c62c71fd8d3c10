# SPDX-License-Identifier: Apache-2.0
"""The face table on small sets that are written here; what a detector that knows the truth would get."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bitlens.data import DataError
from bitlens.results import faces
from bitlens.results.faces import held_out, quality, validation_views
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

    nothing = np.zeros((0, 4))

    def detect(luma: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        boxes = known.get(luma.tobytes(), nothing) if found else nothing
        return boxes, np.full(len(boxes), 0.5)

    figures = quality(detect, data, 0.4)
    assert figures["own threshold"] == 0.4
    assert (figures["test photographs without faces"], figures["false alarms in them, own threshold"]) == (2, 0)
    for name in ("ytfaces", "composed", "afw_dev"):
        for threshold in ("own threshold", "threshold of 2 false alarms in 100 test photographs"):
            assert figures[f"recall, {name}, {threshold}"][0] == expected
    assert figures["average precision at 0.5, ytfaces, composed and nonface"] == expected
    assert (figures["faces, ytfaces"], figures["persons, ytfaces"]) == (1, 1)


def test_the_own_threshold_is_fixed_on_validation_views_and_judged_on_test_pictures(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [np.zeros((20, 20 + k), np.uint8) for k in range(100)]
    monkeypatch.setattr(faces, "validation_views", lambda data: views)
    known = {p.luma.tobytes(): p.boxes for name in ("ytfaces", "afw_dev", "composed") for p in held_out(data)[name]}
    shown: Counter[int] = Counter()

    def detect(luma: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        shown[id(luma)] += 1
        if luma.shape[0] == 20:
            return np.array([[0, 0, 9, 9.0]]), np.array([(luma.shape[1] - 20) / 100])
        if luma.tobytes() in known:
            return (boxes := known[luma.tobytes()]), np.full(len(boxes), 0.98)
        return np.array([[0, 0, 9, 9.0]]), np.array([0.99])

    figures = quality(detect, data)
    assert figures["own threshold"] == np.nextafter(0.97, 1)  # 0.98 and 0.99 are two in 100
    assert figures["own threshold"] == figures["threshold of 2 false alarms in 100 validation views"]
    assert figures["false alarms in them, own threshold"] == 2
    assert figures["recall, ytfaces, own threshold"] == [1, 1, 1]
    assert figures["threshold of 2 false alarms in 100 test photographs"] == np.nextafter(0.99, 1)
    assert figures["recall, ytfaces, threshold of 2 false alarms in 100 test photographs"] == [0, 0, 0]
    assert {*shown.values()} == {1}  # each picture once


def test_validation_photographs_are_none_that_is_trained_on_or_tested(data: Path) -> None:
    assert len(validation_views(data)) == 20  # of nine, the first and the ninth are kept


def test_the_names_of_all_rows_are_known_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from bitlens.results.faces import ROWS; print(len(ROWS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(len(faces.ROWS)), done.stderr


def test_a_trained_run_that_is_not_there_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "_RUNS", Path("nowhere"))
    with pytest.raises(
        DataError, match=r"^nowhere/float: must be there, a trained run; it comes with the source alone$"
    ):
        faces.ROWS["detector, float"](data)
