# SPDX-License-Identifier: Apache-2.0
"""Pose of faces: yaw, pitch and roll in degrees, and how frontal that is, 0 to 100.

>>> pose = Pose()
>>> pose.estimate(crop_faces(luma, boxes, pose.size, pose.margin)).frontality  # doctest: +SKIP
array([92.1, 20.4])
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitlens.runtime import Session
from bitlens.runtime.session import Source
from bitlens.vision.clearness import shipped
from bitlens.vision.crop import level
from bitlens.vision.records import VisionError

__all__ = ["POSE_DEGREES", "POSE_MARGIN", "POSE_SIZE", "Angles", "Pose", "frontality_of"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

POSE_SIZE = 64  # pixels of a crop's side
POSE_MARGIN = 1.2  # of the square around a face's box
POSE_DEGREES = 30.0  # that are 1 to the net
_SIDEWAYS = 60.0  # degrees that are not frontal at all


class Angles(NamedTuple):
    """The pose of each crop, (N,) each.

    Args:
        yaw: degrees, positive: turned to the image's right.
        pitch: degrees, positive: looking up.
        roll: degrees, positive: tipped clockwise in the image.
        frontality: 100 when the face looks into the camera, 0 when it looks 60 degrees or more aside.
    """

    yaw: Reals
    pitch: Reals
    roll: Reals
    frontality: Reals


class Pose:
    """The pose net.

    Args:
        source: a compiled `face_pose` program; None: the one that comes with bitlens.
        threads: of the engine.

    Raises:
        bitlens.runtime.SessionError: the program is damaged.
        OSError: it cannot be read.
    """

    size = POSE_SIZE
    margin = POSE_MARGIN

    def __init__(self, source: Source | None = None, threads: int | None = 1) -> None:
        found = shipped("face_pose") if source is None else source
        self.session = Session(found, threads=threads)

    def estimate(self, crops: Bytes) -> Angles:
        """Return the pose of crops, uint8 (N, 64, 64) as `crop_faces` cuts them.

        Raises:
            VisionError: they have another shape or type.
        """
        if crops.dtype != np.uint8 or crops.shape[1:] != (self.size, self.size):
            raise VisionError(
                f"crops: must be uint8 (N, {self.size}, {self.size}), not {crops.dtype} {tuple(crops.shape)}"
            )
        if not len(crops):
            return Angles(*(np.zeros(0) for _ in range(4)))
        (found,) = self.session.run(level(crops)[..., None], real=True).values()  # (N, 1, 1, 3)
        yaw, pitch, roll = found.reshape(-1, 3).astype(np.float64).T * POSE_DEGREES
        return Angles(yaw, pitch, roll, frontality_of(yaw, pitch))


def frontality_of(yaw: npt.ArrayLike, pitch: npt.ArrayLike) -> Reals:
    """Return 100 for a face that looks into the camera, falling evenly to 0 at 60 degrees between gaze and camera.

    That angle is arccos(cos yaw * cos pitch); roll does not matter.
    """
    cosine = np.cos(np.radians(yaw)) * np.cos(np.radians(pitch))
    away = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    turned = np.maximum(np.abs(yaw), np.abs(pitch)) > 90.0  # beyond, the cosines come back
    share: Reals = np.where(turned, 0.0, (1.0 - away / _SIDEWAYS).clip(0.0, 1.0))
    return 100.0 * share
