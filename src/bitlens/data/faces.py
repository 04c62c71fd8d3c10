# SPDX-License-Identifier: Apache-2.0
"""Pictures with labelled faces, and pictures without any: a zip of JPEGs and a line of JSON a picture.

`NAME.jsonl` lists the pictures of `NAME.zip`; the sets are ytfaces, helen, afw_dev, maskboxes and nonface. A picture stays
packed until it is asked for. Boxes and landmarks are in pixels; the corner of a picture is (0, 0).

    >>> pictures = [p for p in faces("faces", "ytfaces") if p.split == "test"]      # doctest: +SKIP
    >>> pictures[0].person, pictures[0].luma().shape                                # doctest: +SKIP
    ('Alison_Lohman', (240, 217))
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitlens.data.cache import short
from bitlens.data.dataset import DataError, folder

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FACE_SETS", "FacePicture", "LabelledFace", "faces"]

FACE_SETS = ("ytfaces", "helen", "afw_dev", "maskboxes", "nonface")
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class LabelledFace:
    """What is known of one face.

    Args:
        box: left, top, width, height in pixels.
        landmarks: eye, eye, nose tip, mouth corner, mouth corner, the image's left one first, float32 (5, 2) of x and y;
            None where not labelled.
        pose: yaw (positive: turned to the image's right), pitch (positive: up), roll (positive: clockwise), degrees, derived
            from landmarks; None where not labelled.
    """

    box: tuple[float, float, float, float]
    landmarks: npt.NDArray[np.float32] | None = None
    pose: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class FacePicture:
    """One picture of a set.

    Args:
        source: name of the set.
        file: name within the set.
        size: height, width.
        faces: those that are labelled.
        split: "train", "val" or "test".
        complete: whether all its faces are labelled; else what is not labelled may be a face too.
        person: whose face it is, where that is known.
    """

    source: str
    file: str
    size: tuple[int, int]
    faces: tuple[LabelledFace, ...]
    split: str
    complete: bool
    person: str | None
    _archive: _Archive = field(repr=False, compare=False)

    def luma(self) -> npt.NDArray[np.uint8]:
        """Decode the brightness, uint8 (H, W).

        Raises:
            DataError: the picture is missing, damaged or of another size.
        """
        return np.asarray(self._decode("L"))

    def rgb(self) -> npt.NDArray[np.uint8]:
        """Decode the colours, uint8 (H, W, 3).

        Raises:
            DataError: the picture is missing, damaged or of another size.
        """
        return np.asarray(self._decode("RGB"))

    def _decode(self, mode: str) -> Image.Image:
        from PIL import Image

        raw = self._archive.read(self.file)
        name = f"{self._archive.path}/{self.file}"
        try:
            with Image.open(io.BytesIO(raw)) as picture:
                decoded = picture.convert(mode)
        except Exception as error:  # Pillow has many of its own
            raise DataError(f"{name}: must be an image ({short(error)})") from error
        if (decoded.height, decoded.width) != self.size:
            raise DataError(f"{name}: size must be {self.size} as listed, not {(decoded.height, decoded.width)}")
        return decoded


class _Archive:
    """The files of a zip, read from disk at the first use, so that many threads and processes may share them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, bytes] | None = None

    def read(self, name: str) -> bytes:
        if self._files is None:
            try:
                with zipfile.ZipFile(self.path) as archive:
                    self._files = {entry: archive.read(entry) for entry in archive.namelist()}
            except Exception as error:  # zipfile has several of its own
                raise DataError(f"{self.path}: must be a zip file of pictures ({short(error)})") from error
        if name not in self._files:
            raise DataError(f"{self.path}: must hold {name}, not lack it")
        return self._files[name]


def faces(path: str | Path | None, *sets: str) -> list[FacePicture]:
    """List the pictures of some sets.

    Args:
        path: folder that holds NAME.zip and NAME.jsonl of each set.
        sets: names out of `FACE_SETS`, all of them when none is given.

    Returns:
        The pictures, in the order of the sets and of their lists. Nothing is decoded yet.

    Raises:
        DataError: a file is missing or damaged.
    """
    root = folder(path, "faces")
    found: list[FacePicture] = []
    for name in sets or FACE_SETS:
        if name not in FACE_SETS:
            raise DataError(f"faces: set must be one of {', '.join(FACE_SETS)}, not {name}")
        archive = _Archive(root / f"{name}.zip")
        if not archive.path.is_file():
            raise DataError(f"{archive.path}: must be a zip file of pictures, not missing")
        found += _listed(root / f"{name}.jsonl", name, archive)
    return found


def _listed(path: Path, source: str, archive: _Archive) -> list[FacePicture]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: must be a list of pictures ({short(error)})") from error
    pictures = []
    for number, line in enumerate(lines, 1):
        try:
            pictures.append(_picture(json.loads(line), source, archive))
        except (KeyError, TypeError, ValueError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else short(error)
            raise DataError(f"{path}: line {number} must describe a picture ({what})") from error
    return pictures


def _picture(record: Mapping[str, Any], source: str, archive: _Archive) -> FacePicture:
    if record["split"] not in _SPLITS:
        raise ValueError(f"split must be one of {', '.join(_SPLITS)}, not {record['split']}")
    return FacePicture(
        source,
        str(record["file"]),
        (int(record["height"]), int(record["width"])),
        tuple(_face(face) for face in record["faces"]),
        record["split"],
        bool(record["all_faces_labelled"]),
        record.get("person"),
        archive,
    )


def _face(record: Mapping[str, Any]) -> LabelledFace:
    left, top, width, height = (float(value) for value in record["box"])
    if not (width > 0 and height > 0):
        raise ValueError(f"a box must have a width and a height, not {width:g} and {height:g}")
    landmarks = None
    if "landmarks5" in record:
        landmarks = np.asarray(record["landmarks5"], np.float32)
        if landmarks.shape != (5, 2):
            raise ValueError(f"landmarks5 must be 5 points, not {landmarks.shape}")
    pose = None
    if "yaw" in record:
        pose = (float(record["yaw"]), float(record["pitch"]), float(record["roll"]))
    return LabelledFace((left, top, width, height), landmarks, pose)
