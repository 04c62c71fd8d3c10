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

from bitlens.vision.crop_net import CropNet

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


class Pose(CropNet):
    """The pose net; arguments and errors are those of `CropNet`."""

    name = "face_pose"
    size = POSE_SIZE
    margin = POSE_MARGIN

    def estimate(self, crops: Bytes) -> Angles:
        """Return the pose of crops, uint8 (N, 64, 64) as `crop_faces` cuts them.

        Raises:
            VisionError: they have another shape or type.
        """
        yaw, pitch, roll = self._run(crops, 3) * POSE_DEGREES
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
