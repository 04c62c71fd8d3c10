# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitlens.cli import main
from bitlens.data import DataError, faces
from bitlens.results.face_pictures import draw_face_pictures
from bitlens.results.open_faces import write_open_faces
from scene_pictures import write_scene_sets

_GREEN, _RED = (40, 190, 60), (220, 40, 40)


def _has(path: Path, colour: tuple[int, int, int], row: int) -> bool:
    with Image.open(path) as sheet:
        cells = np.asarray(sheet)[6 + 144 * row : 126 + 144 * row]
    return bool((cells == colour).all(2).any())


def test_the_open_set_is_read_like_the_others(tmp_path: Path) -> None:
    pictures = faces(write_open_faces(tmp_path), "ytfaces", "nonface")
    assert {picture.split for picture in pictures} == {"test"}
    portraits = [picture for picture in pictures if picture.faces]
    assert [face.pose for picture in portraits for face in picture.faces] == [(yaw, 0, 0) for yaw in range(-30, 31, 5)]
    for picture in pictures:
        assert picture.luma().shape == picture.size
    middle = portraits[len(portraits) // 2].luma()
    for picture in portraits:
        (face,) = picture.faces
        left, top, width, height = (round(edge) for edge in face.box)
        box = picture.luma()[top : top + height, left : left + width]
        assert box.shape == (112, 92)
        assert (box > 150).mean() > 0.3  # skin, not hair or suit
    assert not np.array_equal(middle, portraits[0].luma())


def test_without_data_the_pictures_are_of_the_open_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "faces", "--pictures", str(tmp_path / "out")]) == 0
    paths = [tmp_path / "out" / f"{name}.png" for name in ("detection", "clearness", "pose")]
    assert capsys.readouterr().out.split() == [*map(str, paths)]
    for path, rows in zip(paths, (3, 2, 2), strict=True):
        with Image.open(path) as sheet:
            assert sheet.size == (8 * 126 + 6, rows * 144 + 6)
    assert _has(paths[0], _GREEN, 0)
    assert _has(paths[0], _RED, 1)
    assert not _has(paths[0], _GREEN, 1)


def test_with_data_they_are_of_the_data(tmp_path: Path) -> None:
    """The faces of this set are squares: whatever is found or missed, there are sheets."""
    (detection, *others) = draw_face_pictures(tmp_path / "out", write_scene_sets(tmp_path))
    assert _has(detection, _RED, 1)
    assert all(path.stat().st_size > 1000 for path in (detection, *others))


def test_missing_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ytfaces\.zip: must be a zip file of pictures, not missing"):
        draw_face_pictures(tmp_path / "out", tmp_path)
