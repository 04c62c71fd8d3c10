# SPDX-License-Identifier: Apache-2.0
"""What the face nets find, miss and mistake, in pictures: `bitlens reproduce faces --pictures DIR`.

Faces and backgrounds are those of test persons and test photographs; nothing is picked by hand. Without data, the pictures are of
`open_faces`, which may be published.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from bitlens.camera.sheet import draw_tiles
from bitlens.data import faces
from bitlens.data.scenes import Scenes, in_split
from bitlens.results.detection import corners
from bitlens.vision import Box, Clearness, FaceDetector, Pose
from bitlens.vision.crop import crop_faces, cut_square, square_around
from bitlens.vision.decode import overlaps

__all__ = ["draw_face_pictures"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]
Tile = tuple[Image.Image, str]

_SCENES, _SIZE = 100, (360, 480)
_LEAST_PX = 20  # width of a face that is asked for
_CLEAR_PX = 40  # of one whose clearness is shown
_ROW = 8
_WIDER = 2.0  # what is shown of a picture, in sides of the face's square
_TILE_PX = 120
_GREEN, _RED, _ORANGE = (40, 190, 60), (220, 40, 40), (240, 150, 20)


@dataclass(frozen=True)
class _Shown:
    """A place in a picture and what is said of it."""

    luma: Bytes
    box: Box
    value: float
    text: str

    def tile(self, colour: tuple[int, int, int] | None, wider: float = _WIDER) -> Tile:
        left, top, side = square_around(self.box, wider)
        picture = Image.fromarray(cut_square(self.luma, (left, top, side), _TILE_PX)).convert("RGB")
        if colour is not None:
            scale = _TILE_PX / side
            edges = (self.box.left - left, self.box.top - top, self.box.right - left, self.box.bottom - top)
            ImageDraw.Draw(picture).rectangle([round(scale * edge) for edge in edges], outline=colour, width=2)
        return picture, self.text


def draw_face_pictures(out: Path, data: Path | None = None) -> list[Path]:
    """Draw detection.png, clearness.png and pose.png, and return their paths.

    detection.png: faces found, from the surest to the least sure; faces missed; and what looks most like a face where there is
    none, red above the detector's threshold. clearness.png: the clearest faces of the scenes and the most blurred. pose.png: the
    most frontal and the most turned, with what their labels say.

    Args:
        out: folder of the pictures, made where it is missing.
        data: folder of the face sets; None: of faces that may be published.

    Raises:
        bitlens.data.DataError: the data is missing or damaged.
        OSError: a picture cannot be written.
    """
    if data is None:
        from bitlens.results.open_faces import write_open_faces

        with tempfile.TemporaryDirectory() as folder:
            return draw_face_pictures(out, write_open_faces(Path(folder)))
    pictures = in_split(faces(data, "ytfaces", "nonface"), "test")
    scenes, rng = Scenes(pictures, "test"), np.random.default_rng(0)
    composed = [scenes.compose(*_SIZE, rng) for _ in range(_SCENES)]
    labelled = [(scene.luma, scene.boxes) for scene in composed]
    portraits = [(picture.luma(), face.box, face.pose) for picture in pictures for face in picture.faces]
    rows = {
        "detection": [*_found_and_missed(labelled), _mistaken([p.luma() for p in scenes.backgrounds])],
        "clearness": _clear_and_blurred(labelled),
        "pose": _frontal_and_turned(portraits),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, tiles in rows.items():
        draw_tiles(out / f"{name}.png", tiles)
    return [out / f"{name}.png" for name in rows]


def _found_and_missed(scenes: Sequence[tuple[Bytes, npt.NDArray[np.float32]]]) -> list[list[Tile]]:
    detector = FaceDetector(threads=1)
    hits, misses = [], []
    for luma, boxes in scenes:
        found = detector.detect(luma)
        shared = overlaps(corners(boxes), _edges([face.box for face in found]))
        for box, row in zip(boxes, shared, strict=True):
            if row.size and row.max() >= 0.5:
                face = found[int(row.argmax())]
                hits.append(_Shown(luma, face.box, face.score, f"found {face.score:.2f}"))
            elif box[2] >= _LEAST_PX:
                misses.append(_Shown(luma, Box(*map(float, box)), box[2], f"missed, {box[2]:.0f} px"))
    hits.sort(key=lambda shown: -shown.value)
    return [
        [shown.tile(_GREEN) for shown in _spread(hits)],
        [shown.tile(_RED) for shown in _spread(sorted(misses, key=lambda shown: -shown.value))],
    ]


def _mistaken(backgrounds: Sequence[Bytes]) -> list[Tile]:
    detector = FaceDetector(threads=1, threshold=0.02)
    found = [
        _Shown(luma, face.box, face.score, f"no face {face.score:.2f}")
        for luma in backgrounds
        for face in detector.detect(luma)
    ]
    best = sorted(found, key=lambda shown: -shown.value)[:_ROW]
    return [shown.tile(_RED if shown.value >= detector.sure else _ORANGE) for shown in best]


def _clear_and_blurred(scenes: Sequence[tuple[Bytes, npt.NDArray[np.float32]]]) -> list[list[Tile]]:
    net = Clearness()
    shown = []
    for luma, all_boxes in scenes:
        boxes = [Box(*map(float, box)) for box in all_boxes if box[2] >= _CLEAR_PX and _is_inside(box, luma.shape)]
        scores = net.score(crop_faces(luma, boxes, net.size, net.margin))
        shown += [_Shown(luma, box, s, f"clear {s:.0f}") for box, s in zip(boxes, map(float, scores), strict=True)]
    shown.sort(key=lambda one: -one.value)
    return [[one.tile(None, net.margin) for one in part] for part in (shown[:_ROW], shown[_ROW:][-_ROW:])]


def _frontal_and_turned(
    portraits: Sequence[tuple[Bytes, tuple[float, float, float, float], tuple[float, float, float] | None]],
) -> list[list[Tile]]:
    net = Pose()
    shown = []
    for luma, edges, pose in portraits:
        box = Box(*edges)
        angles = net.estimate(crop_faces(luma, [box], net.size, net.margin))
        label = "" if pose is None else f" (label {pose[0]:+.0f})"
        shown.append(_Shown(luma, box, float(angles.frontality[0]), f"yaw {angles.yaw[0]:+.0f}{label}"))
    shown.sort(key=lambda one: -one.value)
    return [[one.tile(None, net.margin) for one in part] for part in (shown[:_ROW], shown[_ROW:][-_ROW:])]


def _spread(shown: Sequence[_Shown]) -> Iterator[_Shown]:
    """A row of them, evenly from the first to the last."""
    for k in np.unique(np.linspace(0, len(shown) - 1, min(_ROW, len(shown))).round().astype(int)):
        yield shown[k]


def _is_inside(box: npt.NDArray[np.float32], size: tuple[int, ...]) -> bool:
    return bool(box[0] >= 0 and box[1] >= 0 and box[0] + box[2] <= size[1] and box[1] + box[3] <= size[0])


def _edges(boxes: Sequence[Box]) -> Reals:
    return np.array([(box.left, box.top, box.right, box.bottom) for box in boxes], np.float64).reshape(-1, 4)
