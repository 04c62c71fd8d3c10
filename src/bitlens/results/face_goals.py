# SPDX-License-Identifier: Apache-2.0
"""What was asked of the face nets, what was seen, and whether that is it, of measured rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from bitlens.results.face_figures import DASH, Table, percent, plain, rows

__all__ = ["goals"]

_OURS, _FLOAT = "detector, w1a2, integers on the engine", "detector, float"
_OWN = "own threshold"
_SHOT, _LINE = "best shot, tracks composed of test persons", "whole line, crowd clip of 800x450"
_UNSEEN = ("disc", "curve", "h264", "twice")


def _fastest(table: Table, name: str) -> float:
    start = "frames a second at 640x480, "
    found = [table.value("detector, speed", m) for m in table.metrics("detector, speed") if m.startswith(start + name)]
    return max(found, default=math.nan)


def goals(table: Table) -> str:
    """Return the table of goals: each "met", "missed", or a dash where it was not measured."""

    def line(goal: str, seen: str, *reached: bool) -> list[str]:
        unknown = DASH in seen
        return [goal, seen, DASH if unknown else "met" if all(reached) else "missed"]

    count = table.value(_OURS, "test photographs without faces")
    alarms = table.value(_OURS, "false alarms in them, own threshold")
    few = alarms <= 0.02 * count
    lines = []
    for label, name in (("`ytfaces`", "ytfaces"), ("composed scenes", "composed")):
        share = table.value(_OURS, f"recall, {name}, {_OWN}")
        seen = f"{percent(share)}, {plain(alarms, 0)} on {plain(count, 0)}"
        lines.append(
            line(
                f"recall of {label} 95 % at its own threshold, up to 2 false alarms in 100 photographs",
                seen,
                share >= 0.95,
                few,
            )
        )
    precision = "average precision at 0.5, ytfaces, composed and nonface"
    short = 100 * (table.value(_FLOAT, precision) - table.value(_OURS, precision))
    lines.append(
        line("average precision within 1 point of its float net", f"{plain(short, 1)} points less", short <= 1)
    )
    ours = _fastest(table, "bitlens")
    others = [_fastest(table, name) for name in ("onnxruntime", "openvino")]
    floats = [
        table.value("detector, speed", metric)
        for metric in table.metrics("detector, speed")
        if metric.startswith("frames") and "float32" in metric
    ]
    seen = f"{plain(ours, 0)}; float: {', '.join(plain(value, 0) for value in floats) or DASH}"
    lines.append(
        line(
            "detector at 640x480: 100 frames a second, and faster than its float form in ONNX Runtime and OpenVINO",
            seen if not any(map(math.isnan, others)) else f"{seen} {DASH}",
            ours >= 100,
            all(ours > value for value in floats),
        )
    )
    lines += _clearness_goals(table, line)
    degrees = table.value("pose, labelled boxes", "mean error of yaw and pitch, ytfaces")
    area = table.value("pose, labelled boxes", "AUC of frontal against turned, ytfaces")
    seen = f"{plain(degrees, 1)}, {plain(area, 3)}"
    lines.append(
        line("pose, `ytfaces`: mean error of yaw and pitch 6 degrees, AUC 0.97", seen, degrees <= 6, area >= 0.97)
    )
    regret = table.value(_SHOT, "median regret, bitlens score")
    lines.append(line("best shot: median regret 5 %", percent(regret), regret <= 0.05))
    speed = table.value(_LINE, "frames a second of processor time")
    seen = f"{plain(speed, 1)} of processor time"
    lines.append(line("whole line, crowd of 800x450: 60 frames a second on one core", seen, speed >= 60))
    saved = table.value(_LINE, "saved, % of a day at 2 Mbit/s")
    lines.append(line("storage: 95 % less than 2 Mbit/s at 500 tracks a day", f"{plain(saved, 2)} %", saved >= 95))
    return rows(["goal", "seen", ""], lines)


def _clearness_goals(table: Table, line: Callable[..., list[str]]) -> list[list[str]]:
    def least(measure: str, truth: str, kinds: Sequence[str]) -> float:
        return min(table.value(f"clearness, {measure}", f"rank correlation with {truth}, {kind}") for kind in kinds)

    found = []
    for outputs, (blur, likeness) in {
        "each by its own output": ("sharpness", "likeness"),
        "both by the one score": ("score", "score"),
    }.items():
        for label, goal, kinds in (
            ("all degradations", 0.9, ("mixture",)),
            ("each kind never trained on", 0.8, _UNSEEN),
        ):
            a, b = least(blur, "blur", kinds), least(likeness, "likeness", kinds)
            found.append(
                line(
                    f"clearness, {label}: rank correlation with blur and with SSIM (both levelled) {goal:.2f}, {outputs}",
                    f"{plain(a, 2)}, {plain(b, 2)}",
                    round(a, 2) >= goal,
                    round(b, 2) >= goal,
                )
            )
    contrast_too = least("likeness", "likeness with contrast", ("mixture",))
    found.append(
        line(
            "the same with plain SSIM, as the goal was written, 0.90 (nothing in a crop tells the contrast it lost)",
            plain(contrast_too, 2),
            round(contrast_too, 2) >= 0.9,
        )
    )
    return found
