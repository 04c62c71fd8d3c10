# SPDX-License-Identifier: Apache-2.0
"""What the nets' integers mean: faces, tracks, clearness, pose and the best shot of every track."""

from bitlens.vision.best_shot import BestShots, Capture, Shot, ShotWeights
from bitlens.vision.clearness import Clearness
from bitlens.vision.detector import FaceDetector
from bitlens.vision.face_line import FaceLine, Looked
from bitlens.vision.pose import Pose
from bitlens.vision.records import Box, Face, Frame, VisionError
from bitlens.vision.tracker import Tracker, TrackEvent

__all__ = [
    "BestShots",
    "Box",
    "Capture",
    "Clearness",
    "Face",
    "FaceDetector",
    "FaceLine",
    "Frame",
    "Looked",
    "Pose",
    "Shot",
    "ShotWeights",
    "TrackEvent",
    "Tracker",
    "VisionError",
]
