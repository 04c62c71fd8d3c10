# SPDX-License-Identifier: Apache-2.0
"""Best shots of composed tracks of persons that no net has seen: how far from the true best they are, and from fewer frames.

Regret: one less the truth of the chosen frame over that of the best frame. Every choice is made among the same faces, those the
detector found and the tracker joined. A choice that is no face counts as nothing (regret 1). Intervals are over persons; every
seed composes each person once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from bitlens.data.dataset import DataError
from bitlens.data.faces import faces
from bitlens.results.clearness import tenengrad
from bitlens.results.detection import box_corners
from bitlens.results.face_tracks import RATE, ComposedTrack, compose_track, sharp_pictures
from bitlens.results.persons import over_persons
from bitlens.vision import FaceLine, Frame, Shot, ShotWeights
from bitlens.vision.crop import crop_faces
from bitlens.vision.decode import overlaps

__all__ = ["ROWS", "best_shot_table"]

Reals = npt.NDArray[np.float64]

_SEEDS = (52, 53, 54, 55)
_FEW = 5  # frames a second, the usual practice
_LEAST_PICTURES = 4  # of a person
_LEAST_OVERLAP = 0.3  # of a chosen box with the face's
_BLIND = ShotWeights(clearness=0.0)


def _unclear(shot: Shot) -> float:
    return _BLIND.score(100.0, shot.frontality, math.sqrt(shot.face.box.area), shot.exposure)


# What each rival maximises; Tenengrad looks at the crop that clearness looks at.
_RIVALS: dict[str, Callable[[Shot, float], float]] = {
    "bitlens score": lambda shot, gradient: shot.score,
    "pose x size x exposure, no clearness": lambda shot, gradient: _unclear(shot),
    "root of Tenengrad x pose x size x exposure": lambda shot, gradient: math.sqrt(gradient) * _unclear(shot),
    "clearness x pose": lambda shot, gradient: shot.clearness * shot.frontality,
    "Tenengrad x pose": lambda shot, gradient: gradient * shot.frontality,
    "largest face": lambda shot, gradient: shot.face.box.area,
    "highest detector score": lambda shot, gradient: shot.face.score,
}
_TRUTHS: dict[str, Callable[[ComposedTrack], Reals]] = {
    "": lambda track: track.truth,
    ", truth without exposure": lambda track: track.unlit,
}


class _Choice(NamedTuple):
    """Truth of a choice in one track over that of its best frame: of all frames; of few, NaN where they show no face."""

    every: float
    few: float


def best_shot_table(
    data: str | Path | None,
    seeds: Sequence[int] = _SEEDS,
    make_line: Callable[[], FaceLine] | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Judge best shots on tracks composed of the test persons.

    Args:
        data: folder of the face sets.
        seeds: each composes a track of every person.
        make_line: makes a line of faces; that of the nets that come with bitlens when None.
        limit: persons at most; all when None.

    Returns:
        "persons", "tracks", "missed" (tracks without any face found); then for both truths "median regret, RIVAL" and
        "mean regret, RIVAL" as [value, low, high], "median regret by seed, RIVAL" as a list, and "gain of 30 over 5 frames a
        second, RIVAL" as [value, low, high]: how much better (share of the true best) the shot chosen from 30 frames a
        second is than from 5, where those show the face at all (None: nowhere); "median regret, a frame picked blindly".

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
    choices: dict[tuple[str, str], list[_Choice]] = {(truth, rival): [] for truth in _TRUTHS for rival in _RIVALS}
    blind: dict[str, list[float]] = {truth: [] for truth in _TRUTHS}
    missed = 0
    tracks = [(seed, person) for seed in seeds for person in range(len(persons))]
    for seed, person in tqdm(tracks, desc="best shot", unit=" tracks", disable=None, leave=False):
        rng = np.random.default_rng([seed, person])
        background = backgrounds[rng.integers(len(backgrounds))].luma()
        track = compose_track(persons[person], background, rng)
        shots, gradients = _looked((make_line or _shipped)(), track)
        missed += not shots
        shown = [_shows(track, shot) for shot in shots]
        for name, truth in _TRUTHS.items():
            worth = truth(track) / truth(track).max()
            blind[name].append(float(1 - worth.mean()))
            of_shots = [float(worth[shot.frame]) * real for shot, real in zip(shots, shown, strict=True)]
            for rival, value in _RIVALS.items():
                values = [value(*pair) for pair in zip(shots, gradients, strict=True)]
                choices[name, rival].append(_chosen(shots, values, of_shots))
    figures: dict[str, Any] = {"persons": len(persons), "tracks": len(tracks), "missed": missed}
    owners = np.array([person for _, person in tracks])
    for name in _TRUTHS:
        figures[f"median regret, a frame picked blindly{name}"] = float(np.median(blind[name]))
        for rival in _RIVALS:
            told = _figures(np.array(choices[name, rival]), owners, len(seeds))
            figures |= {f"{metric}, {rival}{name}": value for metric, value in told.items()}
    return figures


def _figures(shares: Reals, persons: npt.NDArray[np.int64], seeds: int) -> dict[str, Any]:
    """Regrets and gain of choices (tracks, 2), the tracks of one seed after those of another."""

    def over(figure: Callable[[Reals], Any], kept: Reals, owners: npt.NDArray[np.int64]) -> list[float] | None:
        return over_persons(lambda chosen: float(figure(kept[chosen])), owners) if len(kept) else None

    both = ~np.isnan(shares[:, 1])  # where few frames show no face, there is nothing to compare
    regret = 1 - shares[:, 0]
    return {
        "median regret": over(np.median, regret, persons),
        "median regret by seed": [round(float(np.median(part)), 4) for part in np.split(regret, seeds)],
        "mean regret": over(np.mean, regret, persons),
        "gain of 30 over 5 frames a second": over(np.mean, (shares[:, 0] - shares[:, 1])[both], persons[both]),
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


def _shows(track: ComposedTrack, shot: Shot) -> bool:
    shared = overlaps(box_corners([shot.face.box]), box_corners([track.boxes[shot.frame]]))
    return bool(shared[0, 0] >= _LEAST_OVERLAP)


def _chosen(shots: Sequence[Shot], values: Sequence[float], worth: Sequence[float]) -> _Choice:
    """The worth of the shot of highest value: of all frames, and the mean over the ways to take few of them that show a face."""

    def best(numbers: Sequence[int]) -> float:
        return worth[max(numbers, key=lambda k: (values[k], -k))]

    step = RATE // _FEW
    phases = [[k for k, shot in enumerate(shots) if shot.frame % step == phase] for phase in range(step)]
    few = [best(numbers) for numbers in phases if numbers]
    return _Choice(best(range(len(shots))) if shots else 0.0, float(np.mean(few)) if few else math.nan)


ROWS = {"best shot, tracks composed of test persons": best_shot_table}
