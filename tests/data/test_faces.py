# SPDX-License-Identifier: Apache-2.0
"""The reader of faces on sets written here: what is listed, what is decoded, and the sentence of every fault."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitlens.data import DataError, faces
from bitlens.data.faces import FACE_SETS

FACE = {"box": [4.0, 5.0, 20.0, 24.0], "landmarks5": [[9, 12], [19, 12], [14, 18], [10, 24], [18, 24]]}
POSE = {"yaw": -12.5, "pitch": 3.0, "roll": 1.0}


def _record(**changes: Any) -> dict[str, Any]:
    record = {"file": "a/1.jpg", "width": 40, "height": 32, "faces": [FACE | POSE], "split": "train"}
    return record | {"all_faces_labelled": True, "person": "A"} | changes


def _write(root: Path, lines: list[str], name: str = "ytfaces", size: tuple[int, int] = (40, 32)) -> Path:
    stream = io.BytesIO()
    Image.new("RGB", size, (255, 0, 0)).save(stream, "JPEG", quality=95)
    with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
        archive.writestr("a/1.jpg", stream.getvalue())
        archive.writestr("a/2.jpg", b"nonsense")
    (root / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return root


def test_lists_and_decodes(tmp_path: Path) -> None:
    (picture,) = faces(_write(tmp_path, [json.dumps(_record())]), "ytfaces")
    assert (picture.source, picture.file, picture.size, picture.split) == ("ytfaces", "a/1.jpg", (32, 40), "train")
    assert (picture.complete, picture.person) == (True, "A")
    (face,) = picture.faces
    assert face.box == (4.0, 5.0, 20.0, 24.0)
    assert face.pose == (-12.5, 3.0, 1.0)
    assert face.landmarks is not None
    np.testing.assert_array_equal(face.landmarks, np.asarray(FACE["landmarks5"], np.float32))
    assert picture.luma().shape == (32, 40)
    assert picture.luma().dtype == np.uint8
    assert abs(int(picture.luma()[5, 5]) - 76) <= 2  # 0.299 of 255
    assert picture.rgb().shape == (32, 40, 3)


def test_a_face_may_have_nothing_but_a_box(tmp_path: Path) -> None:
    record = _record(faces=[{"box": [1, 2, 3, 4], "class": "with_mask"}], all_faces_labelled=False)
    del record["person"]
    (picture,) = faces(_write(tmp_path, [json.dumps(record)], "maskboxes"), "maskboxes")
    assert picture.faces[0].landmarks is None
    assert picture.faces[0].pose is None
    assert picture.person is None
    assert not picture.complete


def test_all_sets_in_order_when_none_is_named(tmp_path: Path) -> None:
    for name in reversed(FACE_SETS):
        _write(tmp_path, [json.dumps(_record())], name)
    assert [picture.source for picture in faces(tmp_path)] == [*FACE_SETS]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (json.dumps(_record(split="dev")), "split must be one of train, val, test, not dev"),
        (json.dumps({}), "lacks 'split'"),
        (json.dumps(_record(faces=[{"box": [1, 2, 0, 4]}])), "a box must have a width and a height, not 0 and 4"),
        (
            json.dumps(_record(faces=[{"box": [1, 2, 3, 4], "landmarks5": [1]}])),
            "landmarks5 must be 5 points, not (1,)",
        ),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    _write(tmp_path, [json.dumps(_record()), line])
    expected = f"{tmp_path / 'ytfaces.jsonl'}: line 2 must describe a picture ({reason})"
    with pytest.raises(DataError, match=f"^{re.escape(expected)}$"):
        faces(tmp_path, "ytfaces")


def test_faults_are_told(tmp_path: Path) -> None:
    place = tmp_path / "ytfaces.zip"

    def fails(expected: str) -> Any:
        return pytest.raises(DataError, match=f"^{re.escape(expected)}$")

    with fails(f"{place}: must be a zip file of pictures, not missing"):
        faces(tmp_path, "ytfaces")
    with fails("faces: set must be one of ytfaces, helen, afw_dev, maskboxes, nonface, not wider"):
        faces(tmp_path, "wider")
    with fails("faces: a data folder must be given (--data DIR), not none"):
        faces(None)
    lines = [json.dumps(_record(**change)) for change in ({}, {"file": "a/2.jpg"}, {"file": "a/3.jpg"}, {"width": 41})]
    good, damaged, absent, large = faces(_write(tmp_path, lines), "ytfaces")
    good.luma()
    with pytest.raises(DataError, match=f"^{re.escape(str(place))}/a/2.jpg: must be an image \\("):
        damaged.luma()
    with fails(f"{place}: must hold a/3.jpg, not lack it"):
        absent.luma()
    with fails(f"{place}/a/1.jpg: size must be (32, 41) as listed, not (32, 40)"):
        large.rgb()
    place.write_bytes(b"PK")
    (again, *_) = faces(tmp_path, "ytfaces")
    with pytest.raises(DataError, match=f"^{re.escape(str(place))}: must be a zip file of pictures \\("):
        again.luma()
    (tmp_path / "ytfaces.jsonl").unlink()
    with pytest.raises(DataError, match="ytfaces.jsonl: must be a list of pictures \\("):
        faces(tmp_path, "ytfaces")
