# SPDX-License-Identifier: Apache-2.0
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitlens.data import DataError, MaskedSplit, camvid

RNG = np.random.default_rng(0)
COUNTS = {"train": 3, "val": 1, "test": 2}
IMAGES = {part: RNG.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8) for part, count in COUNTS.items()}
MASKS = {part: RNG.integers(0, 12, (count, 6, 8), dtype=np.uint8) for part, count in COUNTS.items()}


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def members() -> dict[str, bytes]:
    files = {}
    for part, count in COUNTS.items():
        for i in reversed(range(count)):
            files[f"{part}/street_{i}.png"] = png(IMAGES[part][i])
            files[f"{part}annot/street_{i}.png"] = png(MASKS[part][i])
    return files


def write_folders(root: Path, files: dict[str, bytes]) -> None:
    for name, raw in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(raw)


def write_zip(root: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(root / "camvid_segnet_360x480.zip", "w") as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)


@pytest.mark.parametrize("write", [write_folders, write_zip])
def test_every_part_in_the_order_of_names(tmp_path: Path, write: object) -> None:
    write(tmp_path, members())
    dataset = camvid(tmp_path, tmp_path / "cache")
    assert len(dataset.classes) == 11
    for part in COUNTS:
        split = getattr(dataset, part)
        assert len(split) == COUNTS[part]
        assert np.array_equal(split.images, IMAGES[part])
        assert np.array_equal(split.masks, MASKS[part])


@pytest.mark.parametrize("write", [write_folders, write_zip])
def test_what_systems_leave_beside_pictures_is_passed_over(tmp_path: Path, write: object) -> None:
    write(
        tmp_path, members() | {"train/.DS_Store": b"junk", "train/Thumbs.db": b"junk", "train/._street_0.png": b"junk"}
    )
    if write is write_zip:
        write(tmp_path, members() | {"__MACOSX/train/street_9.png": b"junk"})
    assert np.array_equal(camvid(tmp_path, tmp_path / "cache").train.images, IMAGES["train"])


def test_two_copies_in_a_zip_are_told(tmp_path: Path) -> None:
    write_zip(tmp_path, {f"{copy}/{name}": raw for copy in ("CamVid", "old") for name, raw in members().items()})
    file = tmp_path / "camvid_segnet_360x480.zip"
    assert refused(tmp_path) == f"{file}: must hold one folder test, not CamVid/test and old/test"


def test_two_files_of_one_name_are_told(tmp_path: Path) -> None:
    write_zip(tmp_path, members() | {"valannot/street_0.jpg": b"junk"})
    file = tmp_path / "camvid_segnet_360x480.zip"
    other = f"{file}/valannot/street_0.jpg"
    assert refused(tmp_path) == f"{file}/valannot/street_0.png: must be the only file of its name, not beside {other}"


def test_a_zip_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zip(tmp_path, members())
    first = camvid(tmp_path, tmp_path / "cache")
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(camvid(tmp_path, tmp_path / "cache").val.masks, first.val.masks)


def refused(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        camvid(root, root / "cache")
    return str(caught.value)


def test_missing_files_are_told(tmp_path: Path) -> None:
    assert refused(tmp_path) == (
        f"{tmp_path}: must hold camvid_segnet_360x480.zip or the folders train and trainannot, not neither"
    )
    files = members()
    write_folders(tmp_path, {name: raw for name, raw in files.items() if "val" not in name})
    assert refused(tmp_path).startswith(f"{tmp_path / 'val'}: must be a readable folder of CamVid (No such file")
    (tmp_path / "val").mkdir()
    (tmp_path / "valannot").mkdir()
    assert refused(tmp_path) == "CamVid: val must hold images, not none"
    (tmp_path / "trainannot" / "street_1.png").unlink()
    image = tmp_path / "train" / "street_1.png"
    assert refused(tmp_path) == f"{image}: must have a mask of the same name in trainannot, not none"


@pytest.mark.parametrize(
    ("name", "raw", "sentence"),
    [
        ("trainannot/street_0.png", png(np.zeros((5, 8), np.uint8)), "must have the image's size (6, 8), not (5, 8)"),
        ("testannot/street_0.png", png(np.full((6, 8), 12, np.uint8)), "class ids must be 0 to 11, not 12"),
        ("test/street_1.png", b"junk", "must be an image (cannot identify image file"),
    ],
)
def test_damaged_files_are_told(tmp_path: Path, name: str, raw: bytes, sentence: str) -> None:
    files = {**members(), name: raw}
    write_zip(tmp_path, files)
    assert refused(tmp_path).startswith(f"{tmp_path / 'camvid_segnet_360x480.zip'}/{name}: {sentence}")


def test_images_of_two_sizes_are_told(tmp_path: Path) -> None:
    small = {
        "val/street_1.png": png(np.zeros((4, 8, 3), np.uint8)),
        "valannot/street_1.png": png(np.zeros((4, 8), np.uint8)),
    }
    write_folders(tmp_path, members() | small)
    assert refused(tmp_path) == "CamVid: images of val must have one size, not [(4, 8), (6, 8)]"


def test_a_broken_zip_is_told(tmp_path: Path) -> None:
    (tmp_path / "camvid_segnet_360x480.zip").write_bytes(b"junk")
    assert refused(tmp_path).startswith(
        f"{tmp_path / 'camvid_segnet_360x480.zip'}: must be a zip file of CamVid (File is not a zip file)"
    )


def test_a_split_is_checked() -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(DataError, match=r"^images: must be uint8 \(N, H, W, C\), not float64 \(2, 4, 4, 3\)$"):
        MaskedSplit(images.astype(float), np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(DataError, match=r"^masks: must be uint8 \(2, 4, 4\), not uint8 \(2, 4, 5\)$"):
        MaskedSplit(images, np.zeros((2, 4, 5), np.uint8))
