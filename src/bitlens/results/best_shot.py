# SPDX-License-Identifier: Apache-2.0
"""Best shots of composed tracks of persons that no net has seen: how far from the true best they are, and from fewer frames.

Regret: one less the truth of the chosen frame over that of the best frame. Every choice is made among the same faces, those the
detector found and the tracker joined. A choice that is no face counts as nothing (regret 1). Intervals are over persons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from bitlens.data.dataset import DataError
from bitlens.data.faces import faces
from bitlens.results.clearness import tenengrad
from bitlens.results.face_tracks import RATE, ComposedTrack, compose_track, sharp_pictures
from bitlens.results.persons import over_persons
from bitlens.vision import FaceLine, Frame, Shot
from bitlens.vision.crop import crop_faces
from bitlens.vision.decode import overlaps

__all__ = ["ROWS", "best_shot_table"]

Reals = npt.NDArray[np.float64]

_SEED = 52
_FEW = 5  # frames a second, the usual practice
_LEAST_PICTURES = 4  # of a person
_LEAST_OVERLAP = 0.3  # of a chosen box with the face's
_OURS = "bitlens score"

# What each rival maximises; Tenengrad looks at the crop that clearness looks at.
_RIVALS: dict[str, Callable[[Shot, float], float]] = {
    _OURS: lambda shot, gradient: shot.score,
    "largest face": lambda shot, gradient: shot.face.box.area,
    "highest detector score": lambda shot, gradient: shot.face.score,
    "Tenengrad x pose": lambda shot, gradient: gradient * shot.frontality,
    "clearness x pose": lambda shot, gradient: shot.clearness * shot.frontality,
}


def best_shot_table(
    data: str | Path | None,
    tracks: int = 2,
    make_line: Callable[[], FaceLine] | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Judge best shots on tracks composed of the test persons.

    Args:
        data: folder of the face sets.
        tracks: composed of every person.
        make_line: makes a line of faces; that of the nets that come with bitlens when None.
        limit: persons at most; all when None.

    Returns:
        "persons", "tracks", "missed" (tracks without any face found), "rows": a dict for each rival with "rival", "median_regret"
        and "mean_regret" as [value, low, high]; "gain": how much better (share of the true best) the shot chosen from 30
        frames a second is than from 5, as [value, low, high], for each rival; "random_regret": of a frame picked blindly.

    Raises:
        DataError: the data is missing, damaged or has no test persons.
    """
    pictures = [picture for picture in faces(data, "ytfaces", "nonface") if picture.split == "test"]
    backgrounds = [picture for picture in pictures if picture.source == "nonface"]
    sharp = sharp_pictures([picture for picture in pictures if picture.source != "nonface"])
    persons = [own for own in sharp.values() if len(own) >= _LEAST_PICTURES][:limit]
    if not (persons and backgrounds):
        raise DataError(
            f"{data}: must hold test persons with {_LEAST_PICTURES} sharp pictures and backgrounds, not none"
        )
    rng = np.random.default_rng(_SEED)
    shares: dict[str, list[tuple[float, float]]] = {name: [] for name in _RIVALS}  # of the best: of all frames, of few
    owners, blind, missed = [], [], 0
    for number in tqdm(range(len(persons) * tracks), desc="best shot", unit=" tracks", disable=None, leave=False):
        background = backgrounds[rng.integers(len(backgrounds))].luma()
        track = compose_track(persons[number // tracks], background, rng)
        shots, gradients = _looked((make_line or _shipped)(), track)
        missed += not shots
        owners.append(number // tracks)
        blind.append(1 - track.truth.mean() / track.truth.max())
        for name, rival in _RIVALS.items():
            shares[name].append(_shares(track, shots, [rival(*pair) for pair in zip(shots, gradients, strict=True)]))
    return {
        "persons": len(persons),
        "tracks": len(owners),
        "missed": missed,
        "random_regret": float(np.median(blind)),
        "rows": [{"rival": name, **_figures(np.array(pairs), np.array(owners))} for name, pairs in shares.items()],
    }


def _figures(shares: Reals, persons: npt.NDArray[np.int64]) -> dict[str, list[float]]:
    """Regrets and gain of shares of the best (tracks, 2): chosen from all frames, from few."""

    def over(figure: Callable[[Reals], Any]) -> list[float]:
        return over_persons(lambda chosen: float(figure(shares[chosen])), persons)

    return {
        "median_regret": over(lambda pairs: np.median(1 - pairs[:, 0])),
        "mean_regret": over(lambda pairs: np.mean(1 - pairs[:, 0])),
        "gain": over(lambda pairs: np.mean(pairs[:, 0] - pairs[:, 1])),
    }


def _shipped() -> FaceLine:
    from bitlens.camera.nets import shipped_line
    from bitlens.camera.options import ScanOptions

    return shipped_line(ScanOptions(), RATE, still=False)


def _looked(line: FaceLine, track: ComposedTrack) -> tuple[list[Shot], list[float]]:
    """The shots of the video's longest track, and the Tenengrad of each."""
    shots: list[Shot] = []
    gradients: list[float] = []
    for number, luma in enumerate(track.frames):
        colours = np.broadcast_to(luma[:, :, None], (*luma.shape, 3))
        looked = line.look(Frame(number, number / RATE, luma, lambda colours=colours: colours))  # type: ignore[misc]
        shots += looked.shots
        gradients += map(tenengrad, crop_faces(luma, [shot.face.box for shot in looked.shots], 112, 1.2))
    if not shots:
        return [], []
    longest = Counter(shot.track for shot in shots).most_common(1)[0][0]
    own = [pair for pair in zip(shots, gradients, strict=True) if pair[0].track == longest]
    return [shot for shot, _ in own], [gradient for _, gradient in own]


def _shares(track: ComposedTrack, shots: Sequence[Shot], values: Sequence[float]) -> tuple[float, float]:
    """The truth of the shot of highest value as a share of the best frame's: of all frames, and the mean over few of them."""
    worth = [_worth(track, shot) for shot in shots]

    def chosen(numbers: Sequence[int]) -> float:
        return worth[max(numbers, key=lambda k: (values[k], -k))] if numbers else 0.0

    step = RATE // _FEW
    few = [chosen([k for k, shot in enumerate(shots) if shot.frame % step == phase]) for phase in range(step)]
    best = float(track.truth.max())
    return chosen(range(len(shots))) / best, float(np.mean(few)) / best


def _worth(track: ComposedTrack, shot: Shot) -> float:
    shared = overlaps(*(np.array([box.corners]) for box in (shot.face.box, track.boxes[shot.frame])))
    return float(track.truth[shot.frame]) if shared[0, 0] >= _LEAST_OVERLAP else 0.0


def _row(data: Path | None) -> dict[str, Any]:
    report = best_shot_table(data)
    figures: dict[str, Any] = {name: report[name] for name in ("persons", "tracks", "missed")}
    figures["median regret, a frame picked blindly"] = report["random_regret"]
    for row in report["rows"]:
        figures[f"median regret, {row['rival']}"] = row["median_regret"]
        figures[f"mean regret, {row['rival']}"] = row["mean_regret"]
        figures[f"gain of 30 over 5 frames a second, {row['rival']}"] = row["gain"]
    return figures


ROWS = {"best shot, tracks composed of test persons": _row}
