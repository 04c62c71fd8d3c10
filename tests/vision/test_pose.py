# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.vision import VisionError
from bitlens.vision.pose import Pose, frontality_of


@pytest.fixture(scope="module")
def pose() -> Pose:
    return Pose()


def test_a_batch_is_its_crops_one_by_one(pose: Pose) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 64, 64)).astype(np.uint8)
    found = pose.estimate(crops)
    alone = [pose.estimate(crop[None]) for crop in crops]
    for number, name in enumerate(found._fields):
        assert found[number].shape == (5,), name
        assert np.array_equal(found[number], np.concatenate([one[number] for one in alone])), name
    assert np.array_equal(found.frontality, frontality_of(found.yaw, found.pitch))
    assert all(part.shape == (0,) for part in pose.estimate(crops[:0]))


def test_frontality_falls_evenly_to_60_degrees() -> None:
    yaw = [0.0, 30.0, -30.0, 60.0, 0.0, 0.0, 80.0, 170.0]
    pitch = [0.0, 0.0, 0.0, 0.0, -15.0, 61.0, 80.0, 170.0]
    wanted = [100.0, 50.0, 50.0, 0.0, 75.0, 0.0, 0.0, 0.0]
    assert frontality_of(yaw, pitch).tolist() == pytest.approx(wanted, abs=1e-9)
    assert frontality_of(20.0, 20.0) < frontality_of(20.0, 0.0)


@pytest.mark.parametrize(
    "crops", [np.zeros((2, 112, 112), np.uint8), np.zeros((2, 64, 64)), np.zeros((64, 64), np.uint8)]
)
def test_other_crops_are_refused(pose: Pose, crops: np.ndarray) -> None:
    with pytest.raises(VisionError) as error:
        pose.estimate(crops)
    assert str(error.value) == f"crops: must be uint8 (N, 64, 64), not {crops.dtype} {crops.shape}"
