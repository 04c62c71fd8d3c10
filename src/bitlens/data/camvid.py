# SPDX-License-Identifier: Apache-2.0
"""CamVid: 701 street scenes of 360x480 with a class for every pixel, in SegNet's 11 classes and split.

Reads `camvid_segnet_360x480.zip` or the same folders unpacked: `train`, `val` and `test` hold images, `trainannot`,
`valannot` and `testannot` a PNG of class ids with the stem of each image.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.data.cache import Arrays, cached, short
from bitlens.data.dataset import DataError, folder

__all__ = ["CLASSES", "MaskedDataset", "MaskedSplit", "camvid"]

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
_PARTS = ("train", "val", "test")
_ZIP = "camvid_segnet_360x480.zip"
_UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MaskedSplit:
    """Images of one part with a class for every pixel.

    Args:
        images: uint8 (N, H, W, 3).
        masks: uint8 (N, H, W), class ids; ids that are no class mark pixels without a label.
    """

    images: _UInt8
    masks: _UInt8

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise DataError(f"images: must be uint8 (N, H, W, C), not {self.images.dtype} {self.images.shape}")
        if self.masks.dtype != np.uint8 or self.masks.shape != self.images.shape[:3]:
            raise DataError(f"masks: must be uint8 {self.images.shape[:3]}, not {self.masks.dtype} {self.masks.shape}")

    def __len__(self) -> int:
        return len(self.masks)


@dataclass(frozen=True)
class MaskedDataset:
    """A training, a validation and a test part, and the names of the classes."""

    train: MaskedSplit
    val: MaskedSplit
    test: MaskedSplit
    classes: tuple[str, ...]


def camvid(path: str | Path | None, cache: str | Path | None = None) -> MaskedDataset:
    """Read CamVid.

    Args:
        path: folder that holds the zip file or the six folders.
        cache: folder for decoded images; the user's cache folder when None.

    Returns:
        367 training, 101 validation and 233 test images of 360x480, ordered by name; mask 11 has no label.

    Raises:
        DataError: CamVid is not there, or a file is damaged.
    """
    root = folder(path, "CamVid")
    packed = root / _ZIP
    if packed.is_file():
        return cached(packed, "camvid", cache, _unzip, _from_arrays)
    if not (root / "trainannot").is_dir():
        raise DataError(f"{root}: must hold {_ZIP} or the folders train and trainannot, not neither")
    return _from_arrays(_decode({part: _files(root / part) for part in _folders()}))


def _from_arrays(arrays: Any) -> MaskedDataset:
    parts = [MaskedSplit(arrays[f"images_{part}"], arrays[f"masks_{part}"]) for part in _PARTS]
    return MaskedDataset(parts[0], parts[1], parts[2], CLASSES)


def _folders() -> list[str]:
    return [name for part in _PARTS for name in (part, f"{part}annot")]


def _files(place: Path) -> dict[str, bytes]:
    try:
        return {str(file): file.read_bytes() for file in sorted(place.iterdir()) if _is_picture(file)}
    except OSError as error:
        raise DataError(f"{place}: must be a readable folder of CamVid ({short(error)})") from error


def _is_picture(file: PurePath) -> bool:
    hidden = file.name.startswith(".") or "__MACOSX" in file.parts
    return file.suffix.lower() in (".png", ".jpg") and not hidden


def _unzip(file: Path) -> Arrays:
    found: dict[str, dict[str, bytes]] = {name: {} for name in _folders()}
    places: dict[str, PurePosixPath] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in map(PurePosixPath, sorted(archive.namelist())):
                part = member.parent.name
                if part not in found or not _is_picture(member):
                    continue
                place = places.setdefault(part, member.parent)
                if place != member.parent:
                    raise DataError(f"{file}: must hold one folder {part}, not {place} and {member.parent}")
                found[part][f"{file}/{member}"] = archive.read(str(member))
    except DataError:
        raise
    except Exception as error:  # zipfile has several of its own
        raise DataError(f"{file}: must be a zip file of CamVid ({short(error)})") from error
    return _decode(found)


def _decode(found: dict[str, dict[str, bytes]]) -> Arrays:
    arrays: Arrays = {}
    for part in _PARTS:
        files, masks = _by_stem(found[part]), _by_stem(found[f"{part}annot"])
        if not files:
            raise DataError(f"CamVid: {part} must hold images, not none")
        pairs = []
        for stem, name in files.items():
            mask = masks.get(stem)
            if mask is None:
                raise DataError(f"{name}: must have a mask of the same name in {part}annot, not none")
            pairs.append(_pair(name, found[part][name], mask, found[f"{part}annot"][mask]))
        shapes = {mask.shape for _, mask in pairs}
        if len(shapes) > 1:
            raise DataError(f"CamVid: images of {part} must have one size, not {sorted(shapes)}")
        arrays[f"images_{part}"] = np.stack([image for image, _ in pairs])
        arrays[f"masks_{part}"] = np.stack([mask for _, mask in pairs])
    return arrays


def _by_stem(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        if (other := found.setdefault(PurePosixPath(name).stem, name)) != name:
            raise DataError(f"{name}: must be the only file of its name, not beside {other}")
    return found


def _pair(name: str, raw: bytes, mask_name: str, mask_raw: bytes) -> tuple[_UInt8, _UInt8]:
    image, mask = _picture(name, raw, "RGB"), _picture(mask_name, mask_raw, "L")
    if image.shape[:2] != mask.shape:
        raise DataError(f"{mask_name}: must have the image's size {image.shape[:2]}, not {mask.shape}")
    if mask.max() > len(CLASSES):
        raise DataError(f"{mask_name}: class ids must be 0 to {len(CLASSES)}, not {mask.max()}")
    return image, mask


def _picture(name: str, raw: bytes, mode: str) -> _UInt8:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(raw)) as picture:
            ids = mode == "L" and picture.mode == "P"  # a palette's numbers are the classes
            return np.asarray(picture if ids else picture.convert(mode))
    except Exception as error:  # Pillow has many of its own
        raise DataError(f"{name}: must be an image ({short(error)})") from error
