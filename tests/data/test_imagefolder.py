# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitlens.data import DataError, imagefolder, read_picture


def write(file: Path, colour: tuple[int, ...] = (10, 20, 30), mode: str = "RGB", form: str = "PNG") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (6, 4), colour if len(colour) > 1 else colour[0]).save(file, form)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("train/b/2.png", "train/b/1.JPEG", "train/a/3.JPG", "val/b/4.png", "val/a/5.png", "val/a/0.webp"):
        write(tmp_path / name)
    return tmp_path


def refused(path: Path | None, classes: int | None = None) -> str:
    with pytest.raises(DataError) as caught:
        imagefolder(path, classes)
    return str(caught.value)


def test_files_in_the_order_of_classes_and_names(root: Path) -> None:
    (root / "train" / "notes.txt").write_text("no class")
    (root / "train" / "b" / "notes.txt").write_text("no image")
    (root / "train" / "b" / "._1.JPEG").write_text("hidden, no image")
    (root / "train" / ".cache").mkdir()
    dataset = imagefolder(root, classes=2)
    assert dataset.classes == ("a", "b")
    assert [Path(file).name for file in dataset.train.files] == ["3.JPG", "1.JPEG", "2.png"]
    assert dataset.train.labels.tolist() == [0, 1, 1]
    assert dataset.train.labels.dtype == np.int64
    assert dataset.test.files == tuple(str(root / "val" / name) for name in ("a/0.webp", "a/5.png", "b/4.png"))
    assert dataset.test.labels.tolist() == [0, 0, 1]
    assert len(dataset.train) == len(dataset.test) == 3


def test_a_class_may_be_missing_in_val_and_keeps_its_number(root: Path) -> None:
    for file in (root / "val" / "a").iterdir():
        file.unlink()
    (root / "val" / "a").rmdir()
    assert imagefolder(root).test.labels.tolist() == [1]


def test_missing_folders_are_told(tmp_path: Path) -> None:
    assert refused(None) == "ImageNet: a data folder must be given (--data DIR), not none"
    assert refused(tmp_path / "none") == f"{tmp_path / 'none'}: must be a folder with the ImageNet files, not missing"
    assert refused(tmp_path) == f"{tmp_path}: must hold the folders train and val, not lack train and val"
    (tmp_path / "train").mkdir()
    assert refused(tmp_path) == f"{tmp_path}: must hold the folders train and val, not lack val"
    (tmp_path / "val").mkdir()
    assert refused(tmp_path) == f"{tmp_path / 'train'}: must hold a folder for each class, not none"
    write(tmp_path / "train" / "a" / "1.png")
    assert refused(tmp_path) == f"{tmp_path / 'val'}: must hold a folder for each class, not none"


def test_wrong_classes_are_told(root: Path) -> None:
    train, val = root / "train", root / "val"
    assert refused(root, 1000) == f"{train}: must hold 1000 folders, one for each class, not 2"
    write(val / "c" / "1.png")
    assert refused(root) == f"{val / 'c'}: must be a class that {train} holds too, not of val alone"


@pytest.mark.parametrize("part", ["train", "val"])
def test_an_empty_class_is_told(root: Path, part: str) -> None:
    for file in (root / part / "a").iterdir():
        file.rename(file.with_suffix(".txt"))
    assert refused(root) == f"{root / part / 'a'}: must hold images (.bmp, .jpeg, .jpg, .png, .ppm, .webp), not none"


def test_pictures_become_rgb(tmp_path: Path) -> None:
    write(tmp_path / "grey.JPEG", (90,), "L", "JPEG")
    write(tmp_path / "cmyk.JPEG", (0, 0, 0, 0), "CMYK", "JPEG")
    write(tmp_path / "named.JPEG", (1, 2, 3), "RGB", "PNG")  # ImageNet has such files
    for name, colour in (("grey", (90, 90, 90)), ("cmyk", (255, 255, 255)), ("named", (1, 2, 3))):
        picture = read_picture(str(tmp_path / f"{name}.JPEG"))
        assert picture.size == (6, 4)
        assert picture.getpixel((5, 3)) == colour


def test_damaged_pictures_are_told(tmp_path: Path) -> None:
    file = tmp_path / "1.JPEG"
    with pytest.raises(DataError) as caught:
        read_picture(str(file))
    assert str(caught.value).startswith(f"{file}: must be an image (No such file or directory)")
    file.write_bytes(b"junk")
    with pytest.raises(DataError) as caught:
        read_picture(str(file))
    assert str(caught.value).startswith(f"{file}: must be an image (cannot identify image file")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError) as caught:
        read_picture(str(file))
    assert str(caught.value).startswith(f"{file}: must be an image (image file is truncated")
