# SPDX-License-Identifier: Apache-2.0
"""The table of the face nets: `bitlens reproduce faces`. Every row is measured on test persons and test backgrounds.

A detector's own threshold is fixed on validation photographs; what it gives on the test photographs is counted. Beside it stand
the recalls at the threshold that lets two false alarms in 100 test photographs pass, which nobody can know beforehand.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens import Program
from bitlens.data import DataError, FacePicture, faces
from bitlens.data.agreement import threshold_at
from bitlens.data.faceless import ALLOWED_ALARMS, faceless_views
from bitlens.data.scenes import Scenes, in_split
from bitlens.results import best_shot, clearness, clips, false_tracks, pose
from bitlens.results.detection import (
    Detect,
    Labelled,
    average_precision,
    box_corners,
    corners,
    false_alarms,
    fixed_threshold,
    judge,
    recall,
)
from bitlens.vision import FaceDetector
from bitlens.vision.shipped import shipped_program

__all__ = ["PROGRAMS", "ROWS", "draw_pictures", "held_out", "quality", "shipped_source", "validation_views"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]
Figures = Mapping[str, Any]

_LEAST_PX = 30  # width of a face that is asked for
_SMALL_PX = 20
_SCENES, _SCENE_SIZE = 200, (480, 640)
_FITTED = 300  # training pictures that a peer's boxes are fitted on
_LOW = 0.02  # least score that is looked at
_RUNS = Path(__file__).parents[3] / "docs/results/face_detector"
_SECONDS = 10.0


def _labelled(picture: FacePicture, least: float = _LEAST_PX) -> Labelled:
    boxes = corners([face.box for face in picture.faces])
    wide = boxes[:, 2] - boxes[:, 0] >= least
    return Labelled(picture.luma(), boxes[wide], boxes[~wide], picture.complete, picture.person or "")


@lru_cache(maxsize=1)
def held_out(data: Path | None) -> dict[str, list[Labelled]]:
    """Return the labelled test pictures by the name of their set.

    Args:
        data: folder of the face sets.

    Raises:
        bitlens.data.DataError: it lacks one.
    """
    pictures = faces(data)
    test = [p for p in pictures if p.split == "test"]
    by_set = {name: [p for p in test if p.source == name] for name in ("ytfaces", "afw_dev", "nonface")}
    scenes, rng = Scenes(pictures, "test"), np.random.default_rng(0)
    composed = [scenes.compose(*_SCENE_SIZE, rng) for _ in range(_SCENES)]
    sets = {name: [_labelled(p) for p in found] for name, found in by_set.items()}
    for name, low, high in (("composed", _LEAST_PX, np.inf), ("composed, 20 to 30 px", _SMALL_PX, _LEAST_PX)):
        sets[name] = []
        for scene in composed:
            boxes, asked = corners(scene.boxes), (scene.boxes[:, 2] >= low) & (scene.boxes[:, 2] < high)
            others = np.concatenate([boxes[~asked], corners(scene.unknown)])
            sets[name].append(Labelled(scene.luma, boxes[asked], others))
    return sets


@lru_cache(maxsize=1)
def validation_views(data: Path | None) -> list[Bytes]:
    """Return the views of validation photographs without faces, on which thresholds are fixed."""
    return faceless_views(in_split(faces(data, "nonface"), "val"))


def quality(detect: Detect, data: Path | None, own: float | None = None) -> dict[str, Any]:
    """Return how a detector does at its own threshold, and at that of two false alarms in 100 test photographs.

    Args:
        detect: the detector; each picture is shown to it once.
        data: folder of the face sets.
        own: its threshold; None: the one that lets two false alarms in 100 validation views pass.
    """
    seen = _once(detect)
    judged = {name: judge(seen, pictures) for name, pictures in held_out(data).items()}
    empty, sets = judged["nonface"], {name: found for name, found in judged.items() if name != "nonface"}
    fixed = fixed_threshold(detect, validation_views(data), ALLOWED_ALARMS)
    own = fixed if own is None else own
    count = len(empty.faces)
    on_test = threshold_at(empty.scores, count, ALLOWED_ALARMS)
    return {
        "own threshold": own,
        "test photographs without faces": count,
        "false alarms in them, own threshold": false_alarms(empty, own),
        **{f"recall, {name}, own threshold": recall(found, own) for name, found in sets.items()},
        "threshold of 2 false alarms in 100 validation views": fixed,
        "threshold of 2 false alarms in 100 test photographs": on_test,
        **{
            f"recall, {name}, threshold of 2 false alarms in 100 test photographs": recall(found, on_test)
            for name, found in sets.items()
        },
        "average precision at 0.5, ytfaces, composed and nonface": average_precision(
            judged["ytfaces"] + judged["composed"] + empty
        ),
        **{f"faces, {name}": int(found.faces.sum()) for name, found in sets.items()},
        "persons, ytfaces": len(np.unique(judged["ytfaces"].persons)),
    }


def _once(detect: Detect) -> Detect:
    """The same, looking at each picture once: the composed scenes are asked for faces of two sizes."""
    known: dict[int, tuple[Reals, Reals]] = {}

    def seen(luma: Bytes) -> tuple[Reals, Reals]:
        if id(luma) not in known:  # the pictures live as long as the process
            known[id(luma)] = detect(luma)
        return known[id(luma)]

    return seen


def _ours(data: Path | None) -> Figures:
    detector = FaceDetector(threads=1, threshold=_LOW)
    return quality(_boxes(detector), data, detector.sure)


def _boxes(detector: FaceDetector) -> Detect:
    def detect(luma: Bytes) -> tuple[Reals, Reals]:
        found = detector.detect(luma)
        return box_corners(face.box for face in found), np.array([face.score for face in found])

    return detect


def _trained(run: str) -> Callable[[Path | None], Figures]:
    """A run's net as it was trained, in torch."""

    def measure(data: Path | None) -> Figures:
        import torch

        from bitlens.results.line import frozen_run, to_batch
        from bitlens.train.detected import detections

        folder = _RUNS / run
        if not folder.is_dir():
            raise DataError(f"{folder}: must be there, a trained run; it comes with the source alone")
        net = frozen_run(folder)

        @torch.no_grad()
        def detect(luma: Bytes) -> tuple[Reals, Reals]:
            maps = net(to_batch(luma[None, :, :, None].copy()))  # decoded pictures are read-only
            cells = {name: values[0].permute(1, 2, 0).numpy() for name, values in maps.items()}
            boxes, _, heat = detections(cells, float(np.log(_LOW / (1 - _LOW))))
            size = [luma.shape[1], luma.shape[0]]
            return boxes.clip(0, size * 2), 1 / (1 + np.exp(-heat))

        return quality(detect, data)

    return measure


def _peer(make: str) -> Callable[[Path | None], Figures]:
    """A detector of others, its boxes fitted to our labels on training faces."""

    def measure(data: Path | None) -> Figures:
        from bitlens.results import face_peers

        training = [p for p in faces(data, "ytfaces") if p.split == "train"][:: 2565 // _FITTED]
        detect = getattr(face_peers, make)()
        return quality(face_peers.Mapped(detect, [_labelled(p) for p in training]), data)

    return measure


def _speed(data: Path | None) -> Figures:
    """Frames a second on composed scenes of 640x480, maps decoded, one thread, interleaved, by the median time."""
    import onnx
    import torch

    from bitlens.models import FaceDetectorNet
    from bitlens.nn import freeze
    from bitlens.qonnx.export import export
    from bitlens.quant import Spec
    from bitlens.results.bench import time_interleaved
    from bitlens.results.face_peers import haar, libfacedetection
    from bitlens.results.peers import PEERS
    from bitlens.train.detected import detections

    lumas = [picture.luma for picture in held_out(data)["composed"][:20]]
    batches = [luma[None, :, :, None] for luma in lumas]
    # Time does not depend on the weights: a fresh net serves as the peers' form.
    net = FaceDetectorNet(Spec.parse("w1a2")).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "m.onnx")
        onnx.save(export(freeze(net), torch.zeros(1, 1, 64, 64), symbolic=True), path)
        peers = {n: run for opened in PEERS.values() for n, run in opened(path, np.concatenate(batches[:4]), 1).items()}
    turn = {"n": 0}

    def some() -> int:
        turn["n"] += 1
        return turn["n"] % len(lumas)

    detector, cascade, yunet = FaceDetector(threads=1), haar(), libfacedetection()

    def peer(run: Callable[[Any], Any]) -> Callable[[], Any]:
        def call() -> Any:
            maps = run(batches[some()])
            named = {f"stride{s}": m[0].transpose(1, 2, 0) for s, m in zip((8, 16, 32), maps, strict=True)}
            return detections(named, 0.0)

        return call

    runs: dict[str, Callable[[], Any]] = {
        "bitlens": lambda: detector.detect(lumas[some()]),
        **{name: peer(run) for name, run in peers.items()},
        "Haar cascade": lambda: cascade(lumas[some()]),
        "libfacedetection": lambda: yunet(lumas[some()]),
    }
    times = time_interleaved(runs, _SECONDS)
    return {f"frames a second at 640x480, {name}": float(1 / np.median(values)) for name, values in times.items()} | {
        f"best tenth, frames a second at 640x480, {name}": float(1 / np.percentile(values, 10))
        for name, values in times.items()
    }


def draw_pictures(out: Path, data: Path | None) -> list[Path]:
    """See `draw_face_pictures`."""
    from bitlens.results.face_pictures import draw_face_pictures

    return draw_face_pictures(out, data)


def _stating(measure: Callable[[Path | None], Figures], *names: str) -> Callable[[Path | None], Figures]:
    """The same row, telling which shipped programs it was measured with: their names and what they came of."""
    return lambda data: {**measure(data), PROGRAMS: {name: shipped_source(name) for name in names}}


def shipped_source(name: str) -> str:
    """Return how the SHA-256 of the model begins that a shipped program was compiled from, however its file is written."""
    return Program.from_bytes(shipped_program(name)).metadata["source"][:12]


PROGRAMS = "programs"
_DETECTOR, _CLEARNESS, _POSE = "face_detector", "face_clearness", "face_pose"
_USED = {
    "detector, w1a2, integers on the engine": (_DETECTOR,),
    "detector, speed": (_DETECTOR,),
    **{f"clearness, {name}": (_CLEARNESS,) for name in ("score", "sharpness", "likeness", "size and speed")},
    **dict.fromkeys(("pose, labelled boxes", "pose, boxes moved at random", "pose, speed"), (_POSE,)),
    "pose, boxes of our detector": (_DETECTOR, _POSE),
    "pose, fit to five landmarks of our detector": (_DETECTOR,),
    **dict.fromkeys((*best_shot.ROWS, *clips.ROWS, *false_tracks.ROWS), (_DETECTOR, _CLEARNESS, _POSE)),
    "tracks, frames in a row, validation": (_DETECTOR,),
}
_MEASURES: dict[str, Callable[[Path | None], Figures]] = {
    "detector, w1a2, integers on the engine": _ours,
    "detector, float": _trained("float"),
    "detector, OpenCV's Haar cascade": _peer("haar"),
    "detector, libfacedetection (YuNet)": _peer("libfacedetection"),
    "detector, speed": _speed,
    **clearness.ROWS,
    **pose.ROWS,
    **best_shot.ROWS,
    **clips.ROWS,
    **false_tracks.ROWS,
}

ROWS = {name: _stating(row, *_USED[name]) if name in _USED else row for name, row in _MEASURES.items()}
