# SPDX-License-Identifier: Apache-2.0
"""The best shots of every track: at its end, of each interval of its life, and quickly, once one is good enough.

A shot's score is 100 times the product of clearness, frontality, size and exposure, each brought to 0.01 to 1 and raised to its
weight: nothing is worth nothing, so that of several turned faces the clearest is still the best. Of equal scores the earlier
shot is the better.

    >>> best = BestShots(keep=1, quick_score=60)
    >>> for shot in shots:                                   # doctest: +SKIP
    ...     for capture in best.add(shot): print(capture.kind, capture.shot.frame)
    >>> best.end(track=0)                                    # doctest: +SKIP
    [Capture(kind='best', shot=...)]
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitlens.vision.records import Face, VisionError

__all__ = ["BestShots", "Capture", "Shot", "ShotWeights"]


@dataclass(frozen=True, eq=False)
class Shot:
    """A face of a track in one frame, judged.

    Args:
        track: number of the track.
        frame: number of the frame.
        time: of the frame, seconds from the start of the video.
        face: where, and how sure the detector is.
        clearness: 0 (blurred) to 100 (sharp).
        yaw, pitch, roll: degrees; positive: turned to the image's right, looking up, tipped clockwise.
        frontality: 0 (turned away) to 100 (frontal).
        exposure: 0 (dark or burnt out) to 100.
        score: 0 to 100, see `ShotWeights`.
        run: frames in a row, up to this one, in which the detector was sure of the track's face, as `TrackEvent` counts them.
        crop: the face with surroundings in the colours of the video, uint8 (H, W, 3); None before it is cut.
    """

    track: int
    frame: int
    time: float
    face: Face
    clearness: float
    yaw: float
    pitch: float
    roll: float
    frontality: float
    exposure: float
    score: float
    run: int
    crop: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class ShotWeights:
    """How much each property matters: the exponent of its factor, 0 to leave it out.

    Args:
        clearness, frontality, size, exposure: exponents, 0 or more.
        full_size_px: side of a face (root of its area) from which larger is no better.

    Raises:
        VisionError: a number is out of its range.
    """

    clearness: float = 1.0
    frontality: float = 1.0
    size: float = 1.0
    exposure: float = 1.0
    full_size_px: float = 100.0

    def __post_init__(self) -> None:
        for name in ("clearness", "frontality", "size", "exposure"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise VisionError(f"weights: {name} must be 0 or more, not {getattr(self, name)}")
        if not self.full_size_px > 0:
            raise VisionError(f"weights: full_size_px must be above 0, not {self.full_size_px}")

    def score(self, clearness: float, frontality: float, size_px: float, exposure: float) -> float:
        """Return the score of a shot, 0 to 100; clearness, frontality and exposure are 0 to 100, size is in pixels."""
        product = 1.0
        for value, weight in (
            (clearness, self.clearness),
            (frontality, self.frontality),
            (100 * size_px / self.full_size_px, self.size),
            (exposure, self.exposure),
        ):
            if value < 100:  # the factor of a full one is 1
                product *= (max(1.0, value) / 100) ** weight
        return 100 * product


@dataclass(frozen=True)
class Capture:
    """A shot that is worth keeping.

    Args:
        kind: "quick" (the first that reached the threshold), "interval" (best of an interval) or "best" (at the track's end).
        shot: the shot.
    """

    kind: Literal["quick", "interval", "best"]
    shot: Shot


@dataclass
class _Seen:
    """What is remembered of a track."""

    began: float
    sure: bool = False  # that it is a face: seen in enough frames in a row
    best: dict[int, Shot] = field(default_factory=dict)  # of each stretch of time; the best of those
    quick: bool = False
    interval: int = 0  # the current one, counted from the track's beginning
    interval_best: Shot | None = None


class BestShots:
    """Keeps the best shots of tracks, each track by itself.

    Args:
        keep: how many a track gives at its end, 1 or more.
        apart_seconds: how far in time those of a track lie apart. Its life is divided into stretches so long, of which each can
            give its best shot; 0 keeps any.
        quick_score: from which score a shot is given at once, one a track; None: no quick shots.
        interval_seconds: the best of every interval of a track is given at the interval's end; None: only at the track's end.
        least_frames: frames in a row in which a track must have been seen for sure to give anything. What is no face seldom is.

    Raises:
        VisionError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        keep: int = 3,
        apart_seconds: float = 0.5,
        quick_score: float | None = None,
        interval_seconds: float | None = None,
        least_frames: int = 5,
    ) -> None:
        if keep < 1:
            raise VisionError(f"best shots: keep must be 1 or more, not {keep}")
        if not apart_seconds >= 0:
            raise VisionError(f"best shots: apart_seconds must be 0 or more, not {apart_seconds}")
        if interval_seconds is not None and not interval_seconds > 0:
            raise VisionError(f"best shots: interval_seconds must be above 0, not {interval_seconds}")
        if least_frames < 1:
            raise VisionError(f"best shots: least_frames must be 1 or more, not {least_frames}")
        self._keep, self._apart, self._least_frames = keep, apart_seconds, least_frames
        self._quick_score, self._interval = quick_score, interval_seconds
        self._most = (
            3 * keep - 2 if apart_seconds else keep
        )  # each that is kept takes the place of its two neighbours at most
        self._seen: dict[int, _Seen] = {}

    def wants(self, shot: Shot) -> bool:
        """Say whether a shot would be kept or given if it were added; where not, its crop need not be cut."""
        seen = self._seen.get(shot.track)
        if seen is None or self._enters(seen, shot):
            return True
        best = seen.interval_best
        if self._interval is not None and (
            best is None or self._number(seen, shot) != seen.interval or _order(shot) < _order(best)
        ):
            return True
        return not seen.quick and self._is_quick(shot)

    def add(self, shot: Shot) -> list[Capture]:
        """Take a shot; those of a track come in the order of time. Return what is given by now."""
        seen = self._seen.setdefault(shot.track, _Seen(shot.time))
        seen.sure |= shot.run >= self._least_frames
        given: list[Capture] = []
        if self._interval is not None and self._number(seen, shot) != seen.interval:
            given += self._end_interval(seen)
            seen.interval = self._number(seen, shot)
        if self._interval is not None and (seen.interval_best is None or _order(shot) < _order(seen.interval_best)):
            seen.interval_best = shot
        if self._enters(seen, shot):
            seen.best[self._stretch(seen, shot)] = shot
            if len(seen.best) > self._most:
                del seen.best[self._stretch(seen, _worst(seen.best))]
        if not seen.quick and self._is_quick(shot) and seen.sure:
            seen.quick = True
            given.append(Capture("quick", shot))
        return given

    def end(self, track: int) -> list[Capture]:
        """End a track and return what it gives, best first; nothing where it gave no shot."""
        seen = self._seen.pop(track, None)
        if seen is None or not seen.sure:
            return []
        kept: list[Shot] = []
        for shot in sorted(seen.best.values(), key=_order):
            if len(kept) < self._keep and all(abs(shot.time - other.time) >= self._apart for other in kept):
                kept.append(shot)
        return [*self._end_interval(seen), *(Capture("best", shot) for shot in kept)]

    def _enters(self, seen: _Seen, shot: Shot) -> bool:
        """Whether a shot is the best of its stretch so far, and that among the best."""
        own = seen.best.get(self._stretch(seen, shot))
        if own is None and len(seen.best) < self._most:
            return True
        return _order(shot) < _order(_worst(seen.best) if own is None else own)

    def _stretch(self, seen: _Seen, shot: Shot) -> int:
        return int((shot.time - seen.began) // self._apart) if self._apart else shot.frame

    def _number(self, seen: _Seen, shot: Shot) -> int:
        assert self._interval is not None
        return int((shot.time - seen.began) // self._interval)

    def _end_interval(self, seen: _Seen) -> list[Capture]:
        shot, seen.interval_best = seen.interval_best, None
        return [] if shot is None or not seen.sure else [Capture("interval", shot)]

    def _is_quick(self, shot: Shot) -> bool:
        return self._quick_score is not None and shot.score >= self._quick_score


def _order(shot: Shot) -> tuple[float, int]:
    """Better shots first; of equal ones the earlier."""
    return -shot.score, shot.frame


def _worst(best: dict[int, Shot]) -> Shot:
    return max(best.values(), key=_order)
