# SPDX-License-Identifier: Apache-2.0
"""What the nets' integers mean: faces, tracks, clearness, pose and the best shot of every track."""

from bitlens.vision.records import Box, Face, VisionError
from bitlens.vision.tracker import Tracker, TrackEvent

__all__ = ["Box", "Face", "TrackEvent", "Tracker", "VisionError"]
