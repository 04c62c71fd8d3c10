# SPDX-License-Identifier: Apache-2.0
"""What a scan can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bitlens.camera.source import CameraError
from bitlens.vision import BestShots, ShotWeights, Tracker

__all__ = ["ScanOptions"]

# What is no face is seldom sure in many frames in a row. On 45 shaken validation photographs at 30, 15, 10 and 5 frames a second
# 54, 35, 28 and 19 false tracks begin and 1, 2.5, 1.3 and 0.5 are sure; of 29 persons none is lost, 0.7 at 5 frames a second
# (`bitlens reproduce faces --row "tracks, frames in a row, validation"`).
_SURE_SECONDS, _SURE_FRAMES = 0.2, 3


@dataclass(frozen=True)
class ScanOptions:
    """Settings of a scan; they are checked when made.

    Args:
        keep, apart_seconds, quick_score, interval_seconds: see `BestShots`.
        least_frames: frames in a row that a face must be seen in for sure; None: those of a fifth of a second, 3 at least; of
            pictures 1.
        weights: of a shot's score.
        patience_seconds: how long a track outlives its last face.
        surroundings: what a crop shows beyond each side of the face, as a share of its size.
        quality: of the JPEG crops, 1 to 95.
        threads: of the engine and the decoder.

    Raises:
        CameraError, VisionError: a setting is out of its range.
    """

    keep: int = 3
    apart_seconds: float = 0.5
    quick_score: float | None = None
    interval_seconds: float | None = None
    least_frames: int | None = None
    weights: ShotWeights = field(default_factory=ShotWeights)
    patience_seconds: float = 0.5
    surroundings: float = 0.4
    quality: int = 90
    threads: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 95:
            raise CameraError(f"scan: quality must be 1 to 95, not {self.quality}")
        if not 1 <= self.threads <= 64:
            raise CameraError(f"scan: threads must be 1 to 64, not {self.threads}")
        if self.quick_score is not None and not 0 <= self.quick_score <= 100:
            raise CameraError(f"scan: quick_score must be 0 to 100, not {self.quick_score}")
        if not 0 <= self.surroundings <= 10:
            raise CameraError(f"scan: surroundings must be 0 to 10, not {self.surroundings}")
        if not 0 <= self.patience_seconds <= 3600:
            raise CameraError(f"scan: patience_seconds must be 0 to 3600, not {self.patience_seconds}")
        self.parts(25.0, still=False)

    def parts(self, rate: float, still: bool, sure: float = 0.5) -> dict[str, Any]:
        """Return the keyword arguments of a new `FaceLine`.

        Args:
            rate: frames a second of the source.
            still: whether they are pictures.
            sure: score from which a face begins a track.
        """
        least = 1 if still else max(_SURE_FRAMES, round(_SURE_SECONDS * rate))
        best = BestShots(
            keep=self.keep,
            apart_seconds=self.apart_seconds,
            quick_score=self.quick_score,
            interval_seconds=self.interval_seconds,
            least_frames=least if self.least_frames is None else self.least_frames,
        )
        tracker = Tracker(start_score=sure, patience=max(1, round(self.patience_seconds * rate)))
        return {"tracker": tracker, "best": best, "weights": self.weights, "surroundings": self.surroundings}
