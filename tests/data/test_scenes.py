# SPDX-License-Identifier: Apache-2.0
"""Scenes of bright faces on dark stripes: what is told of a scene is what is seen in it."""

import numpy as np
import pytest

from bitlens.data import DataError, FacePicture, faces
from bitlens.data.scenes import Scenes, in_split
from scene_pictures import FACE_GREY, write_scene_sets


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[FacePicture]:
    return faces(write_scene_sets(tmp_path_factory.mktemp("faces")), "ytfaces", "helen", "maskboxes", "nonface")


def test_splits_share_nothing(pictures: list[FacePicture]) -> None:
    parts = {split: in_split(pictures, split) for split in ("train", "val", "test")}
    names = {split: {(p.source, p.file) for p in part} for split, part in parts.items()}
    assert {len(found) for found in names.values()} == {3 + 7, 3 + 2, 3 + 2}
    assert not names["train"] & names["val"]
    assert not names["train"] & names["test"]
    assert not names["val"] & names["test"]
    assert all(p.split == "test" for p in parts["test"])
    assert all(p.split == "val" for p in parts["val"] if p.source != "nonface")


def test_boxes_and_landmarks_lie_where_the_face_is_seen(pictures: list[FacePicture]) -> None:
    scenes = Scenes(pictures, "train", spoiled=0.0)
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(60):
        scene = scenes.compose(200, 240, rng)
        assert scene.luma.shape == (200, 240)
        assert scene.luma.dtype == np.uint8
        for (left, top, width, height), points in zip(scene.boxes, scene.landmarks, strict=True):
            if width < 24 or left < 0 or top < 0 or left + width > 240 or top + height > 200:
                continue
            inner = scene.luma[round(top) : round(top + height), round(left) : round(left + width)].astype(int)
            if (inner >= FACE_GREY - 12).mean() < 0.35:
                continue  # under a bar, or in a soft border
            seen += 1
            assert width == pytest.approx(height, rel=0.15)  # as its source
            if not np.isnan(points).any():
                for x, y in points:
                    dot = scene.luma[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].astype(int)
                    assert dot.min() < FACE_GREY - 60
                assert (points[[0, 3], 0] < points[[1, 4], 0]).all()  # the image's left one first, mirrored too
    assert seen > 20


def test_pictures_with_unlabelled_faces_leave_unknown_regions(pictures: list[FacePicture]) -> None:
    helen = [p for p in pictures if p.source in ("helen", "nonface")]
    scenes = Scenes(helen, "train", spoiled=0.0)
    rng = np.random.default_rng(1)
    found = [scenes.compose(160, 160, rng) for _ in range(30)]
    assert sum(len(scene.boxes) for scene in found) > 5
    for scene in found:
        assert len(scene.unknown) >= len(scene.boxes)  # each within one
        for left, top, width, height in scene.boxes:
            middle = left + width / 2, top + height / 2
            assert any(u[0] <= middle[0] <= u[0] + u[2] and u[1] <= middle[1] <= u[1] + u[3] for u in scene.unknown)


def test_faces_do_not_hide_each_other(pictures: list[FacePicture]) -> None:
    scenes, rng = Scenes(pictures, "train"), np.random.default_rng(2)
    for _ in range(60):
        boxes = scenes.compose(224, 224, rng).boxes
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
                down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
                assert min(across, down) <= 1e-3


def test_a_scene_follows_from_the_generator_alone(pictures: list[FacePicture]) -> None:
    one, other = (Scenes(pictures, "train") for _ in range(2))
    one.compose(64, 64, np.random.default_rng(7))  # decodes some pictures before
    a, b = (scenes.compose(150, 90, np.random.default_rng(3)) for scenes in (one, other))
    np.testing.assert_array_equal(a.luma, b.luma)
    np.testing.assert_array_equal(a.boxes, b.boxes)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (33, 7)])
def test_small_and_odd_sizes(pictures: list[FacePicture], size: tuple[int, int]) -> None:
    scenes, rng = Scenes(pictures, "val"), np.random.default_rng(4)
    for _ in range(10):
        assert scenes.compose(*size, rng).luma.shape == size


def test_a_split_must_hold_faces_and_backgrounds(pictures: list[FacePicture]) -> None:
    nonface = [p for p in pictures if p.source == "nonface"]
    with pytest.raises(DataError, match=r"^scenes: train pictures must hold faces, not none$"):
        Scenes(nonface, "train")
    with pytest.raises(DataError, match=r"^scenes: test pictures must hold backgrounds, not none$"):
        Scenes([p for p in pictures if p.source != "nonface"], "test")
