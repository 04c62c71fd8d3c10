# SPDX-License-Identifier: Apache-2.0
"""The sentences and tables that pages say of the face nets, made of measured rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bitlens.results.face_figures import DASH, Table, percent, plain, rows, told, whole
from bitlens.results.face_goals import goals

__all__ = ["BLOCKS"]

_OURS, _FLOAT = "detector, w1a2, integers on the engine", "detector, float"
_DETECTORS = {
    "this program": _OURS,
    "its float net": _FLOAT,
    "OpenCV's Haar cascade": "detector, OpenCV's Haar cascade",
    "libfacedetection (YuNet)": "detector, libfacedetection (YuNet)",
}
_SETS = {
    "`ytfaces`": "ytfaces",
    "composed scenes": "composed",
    "composed scenes, faces of 20 to 30 px": "composed, 20 to 30 px",
    "`afw_dev`": "afw_dev",
}
_OWN, _ON_TEST = "own threshold", "threshold of 2 false alarms in 100 test photographs"
_EMPTY, _SHAKEN = "whole line, photographs without faces", "whole line, shaken photographs without faces"
_SHOT, _CLIPS, _LINE = (
    "best shot, tracks composed of test persons",
    "30 against 5 frames a second, clips",
    "whole line, crowd clip of 800x450",
)
_RIVALS = (
    "bitlens score",
    "pose x size x exposure, no clearness",
    "root of Tenengrad x pose x size x exposure",
    "largest face",
    "clearness x pose",
    "Tenengrad x pose",
    "highest detector score",
)
_UNLIT = ", truth without exposure"
_KINDS = {"mixture": "all at once", "disc": "disc", "curve": "curve", "h264": "H.264", "twice": "JPEG twice"}
_UNSEEN = ("disc", "curve", "h264", "twice")
_MEASURES = ("score", "sharpness", "likeness", "Laplacian variance", "Tenengrad", "high-frequency ratio")
_GAIN = "better from all frames than from 5 a second, % of our own score, never below 0"


def _detector(table: Table) -> str:
    def recalls(at: str) -> list[list[str]]:
        return [
            [
                f"recall, {label}, {whole(table, _OURS, f'faces, {name}')} faces",
                *(told(table.get(row, f"recall, {name}, {at}"), 1, 100, " %") for row in _DETECTORS.values()),
            ]
            for label, name in _SETS.items()
        ]

    def each(label: str, cell: Callable[[str], str]) -> list[str]:
        return [label, *map(cell, _DETECTORS.values())]

    count = whole(table, _OURS, "test photographs without faces")
    return rows(
        ["", *_DETECTORS],
        [
            each("**at its own threshold, fixed on validation photographs**", lambda row: _score(table, row, _OWN)),
            each(
                f"false alarms on {count} test photographs",
                lambda row: whole(table, row, "false alarms in them, own threshold"),
            ),
            *recalls(_OWN),
            each(
                f"**at the threshold of 2 false alarms in 100 of those {count}**",
                lambda row: _score(table, row, _ON_TEST),
            ),
            *recalls(_ON_TEST),
            each(
                "average precision at 0.5, `ytfaces`, composed scenes, photographs",
                lambda row: plain(
                    table.value(row, "average precision at 0.5, ytfaces, composed and nonface"),
                    3,
                ),
            ),
        ],
    )


def _score(table: Table, row: str, metric: str) -> str:
    value = table.value(row, metric)
    return DASH if math.isnan(value) else f"score {value:.2f}"


def _threshold(table: Table) -> str:
    own, alarms = table.value(_OURS, _OWN), whole(table, _OURS, "false alarms in them, own threshold")
    count = whole(table, _OURS, "test photographs without faces")
    return (
        f"The detector's own threshold, {plain(own, 4).rstrip('0')}, was chosen on validation photographs; "
        f"on the {count} test ones it gives {alarms} false alarms."
    )


def _false_captures(table: Table) -> str:
    found, count = whole(table, _EMPTY, "false captures"), whole(table, _EMPTY, "test photographs without faces")
    photographs = f"the {count} test photographs without faces, each taken as a picture of its own"
    fast, slow = (whole(table, _SHAKEN, f"shots with a false capture, {rate} frames a second") for rate in (30, 10))
    shots = f"{whole(table, _SHAKEN, 'shots')} shots of {plain(table.value(_SHAKEN, 'seconds a shot'), 1)} seconds"
    return (
        f"The whole line keeps {found} captures from {photographs}. Of the same as {shots} by a shaking camera, {fast} give a "
        f"false capture at 30 frames a second, {slow} at 10."
    )


def _detector_speed(table: Table) -> str:
    row, start = "detector, speed", "frames a second at 640x480, "
    names = [metric.removeprefix(start) for metric in table.metrics(row) if metric.startswith(start)]
    body = [
        [
            name,
            plain(table.value(row, start + name), 1),
            plain(table.value(row, f"best tenth, {start}{name}"), 1),
        ]
        for name in names
    ]
    return rows(["frames a second at 640x480, one thread, maps decoded, interleaved", "median", "best tenth"], body)


def _correlation(table: Table, measure: str, truth: str, kind: str) -> Any:
    return table.get(f"clearness, {measure}", f"rank correlation with {truth}, {kind}")


def _correlations(truth: str) -> Callable[[Table], str]:
    def block(table: Table) -> str:
        body = [
            [
                f"**{measure}**" if k < 3 else measure,
                *(told(_correlation(table, measure, truth, kind), 2) for kind in _KINDS),
            ]
            for k, measure in enumerate(_MEASURES)
        ]
        return rows(["measure", *_KINDS.values()], body)

    return block


def _clearness_card(table: Table) -> str:
    def line(kind: str, label: str) -> list[str]:
        return [
            label,
            told(_correlation(table, "sharpness", "blur", kind), 2),
            told(_correlation(table, "likeness", "likeness", kind), 2),
            *(told(_correlation(table, "score", truth, kind), 2) for truth in ("blur", "likeness")),
            told(_correlation(table, "likeness", "likeness with contrast", kind), 2),
        ]

    head = [
        f"rank correlation on {whole(table, 'clearness, size and speed', 'sharp crops')} sharp crops of "
        f"{whole(table, 'clearness, size and speed', 'persons')} test persons, made worse",
        "sharpness with blur",
        "likeness with SSIM, both levelled",
        "the one score with blur",
        "the one score with SSIM, both levelled",
        "likeness with plain SSIM",
    ]
    label = {
        "mixture": "all degradations at once",
        "disc": "defocus, never trained on",
        "curve": "motion along an arc, never trained on",
        "h264": "H.264, never trained on; WebP, a related codec, was",
        "twice": "JPEG twice, never trained on",
    }
    return rows(head, [line(*pair) for pair in label.items()])


def _baselines(table: Table) -> str:
    laplacian, tenengrad = (
        plain(table.value(f"clearness, {name}", "rank correlation with blur, mixture"), 2)
        for name in ("Laplacian variance", "Tenengrad")
    )
    return f"On the mixture, the variance of the Laplacian reaches {laplacian} with blur, Tenengrad {tenengrad}."


def _milliseconds(row: str) -> Callable[[Table], str]:
    return lambda table: f"{plain(table.value(row, 'milliseconds a crop, one thread, median'), 2)} ms"


def _pose(table: Table) -> str:
    forms = {
        "net, labelled boxes": "pose, labelled boxes",
        "net, boxes moved by up to 10 % and scaled by up to 15 %": "pose, boxes moved at random",
        "net, boxes of our detector": "pose, boxes of our detector",
        "fit to five landmarks of our detector": "pose, fit to five landmarks of our detector",
        "fit to five labelled landmarks": "pose, fit to five labelled landmarks",
    }
    body = [
        [
            label,
            f"`{name}`, {whole(table, row, f'faces, {name}')} faces",
            *(told(table.get(row, f"mean error of {angle}, {name}"), 1) for angle in ("yaw", "pitch", "roll")),
            told(table.get(row, f"AUC of frontal against turned, {name}"), 3),
        ]
        for label, row in forms.items()
        for name in ("ytfaces", "helen")
    ]
    auc = "AUC, frontal (yaw up to 15) against turned (above 35)"
    return rows(["boxes or landmarks", "set", "yaw", "pitch", "roll", auc], body)


def _pose_by_yaw(table: Table) -> str:
    low, middle, high = (
        plain(table.value("pose, labelled boxes", f"mean error of yaw, yaw {part}, ytfaces"), 1)
        for part in ("up to 15", "15 to 35", "above 35")
    )
    errors = f"{low} at up to 15, {middle} at 15 to 35, {high} above 35 degrees"
    return f"The error of yaw by the yaw (`ytfaces`, labelled boxes): {errors}."


def _best_shot(table: Table) -> str:
    def line(label: str, rival: str) -> list[str]:
        seeds = table.get(_SHOT, f"median regret by seed, {rival}")
        return [
            label,
            told(table.get(_SHOT, f"median regret, {rival}"), 1, 100, " %"),
            ", ".join(f"{100 * seed:.1f}" for seed in seeds) if seeds else DASH,
            told(table.get(_SHOT, f"mean regret, {rival}"), 1, 100, " %"),
            told(table.get(_SHOT, f"median regret, {rival}{_UNLIT}"), 1, 100, " %"),
            told(table.get(_SHOT, f"gain of 30 over 5 frames a second, {rival}"), 1, 100, " %"),
        ]

    blind, unlit = (
        percent(table.value(_SHOT, f"median regret, a frame picked blindly{truth}")) for truth in ("", _UNLIT)
    )
    head = ["chosen by", "median regret", "of each seed, %", "mean regret", "median regret, truth without exposure"]
    return rows(
        [*head, "better from 30 than from 5 frames/s by"],
        [*(line(rival, rival) for rival in _RIVALS), ["a frame picked blindly", blind, "", "", unlit, ""]],
    )


def _best_shot_size(table: Table) -> str:
    tracks, persons = whole(table, _SHOT, "tracks"), whole(table, _SHOT, "persons")
    return (
        f"{tracks} videos of two seconds, composed of sharp photographs of {persons} test persons on test backgrounds"
    )


def _best_shot_size_short(table: Table) -> str:
    return f"{whole(table, _SHOT, 'tracks')} composed videos of {whole(table, _SHOT, 'persons')} unseen persons"


def _best_shot_short(table: Table) -> str:
    names = ("bitlens score", "pose x size x exposure, no clearness", "largest face", "Tenengrad x pose")
    return ", ".join(percent(table.value(_SHOT, f"median regret, {name}")) for name in names)


def _gain_short(table: Table) -> str:
    found = table.get(_SHOT, "gain of 30 over 5 frames a second, bitlens score")
    return told(found, 1, 100, " %")


def _gain_clips(table: Table) -> str:
    tracks, gain = whole(table, _CLIPS, "tracks"), table.value(_CLIPS, _GAIN)
    interval = table.get(_CLIPS, "the same, 2.5 and 97.5 percentiles over tracks")
    between = " to ".join(f"{end:.1f}" for end in interval) if interval else DASH
    more = f"{plain(gain, 1)} % ({between}) more of our own score"
    return f"On {tracks} tracks of real clips all frames give {more} than 5 a second"


def _line_speed(table: Table) -> str:
    def of(metric: str, digits: int) -> str:
        return plain(table.value(_LINE, metric), digits)

    return (
        f"A crowd of {of('faces a frame', 1)} faces a frame at 800x450 ({of('frames', 0)} frames): decode, detect, track, judge, "
        f"choose and write at {of('frames a second of processor time', 1)} frames a second of processor time, "
        f"{of('frames a second', 1)} by the clock, one thread ({table.machine(_LINE)}, shared with other work)."
    )


def _line_short(table: Table) -> str:
    return f"{plain(table.value(_LINE, 'frames a second of processor time'), 1)} frames a second of processor time"


def _storage(table: Table) -> str:
    def of(metric: str) -> float:
        return table.value(_LINE, metric)

    kilobytes = of("bytes a track") * of("tracks") / 1e3
    return (
        f"{plain(of('tracks'), 0)} tracks of that clip took {plain(kilobytes, 0)} kB ({plain(of('captures'), 0)} captures): "
        f"500 tracks a day are {plain(of('bytes of 500 tracks') / 1e6, 1)} MB, a day at 2 Mbit/s is "
        f"{plain(of('bytes of a day at 2 Mbit/s') / 1e9, 1)} GB: {plain(of('saved, % of a day at 2 Mbit/s'), 2)} % less."
    )


BLOCKS: dict[str, Callable[[Table], str]] = {
    "detector": _detector,
    "detector threshold": _threshold,
    "false captures": _false_captures,
    "detector speed": _detector_speed,
    "clearness blur": _correlations("blur"),
    "clearness likeness": _correlations("likeness"),
    "clearness plain": _correlations("likeness with contrast"),
    "clearness card": _clearness_card,
    "clearness baselines": _baselines,
    "clearness speed": _milliseconds("clearness, size and speed"),
    "pose": _pose,
    "pose by yaw": _pose_by_yaw,
    "pose speed": _milliseconds("pose, speed"),
    "best shot": _best_shot,
    "best shot size": _best_shot_size,
    "best shot size short": _best_shot_size_short,
    "best shot short": _best_shot_short,
    "gain short": _gain_short,
    "gain clips": _gain_clips,
    "line speed": _line_speed,
    "line short": _line_short,
    "storage": _storage,
    "goals": goals,
}
