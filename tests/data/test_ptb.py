# SPDX-License-Identifier: Apache-2.0
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bitlens.data import DataError, ptb

TEXTS = {
    "ptb.train.txt": " the cat sat \n the <unk> sat on the N mat \n",
    "ptb.valid.txt": " the mat \n",
    "ptb.test.txt": " cat \n <unk> \n",
}
WORDS = ("the", "<eos>", "sat", "<unk>", "N", "cat", "mat", "on")


def write_texts(folder: Path) -> None:
    for name, text in TEXTS.items():
        (folder / name).write_text(text)


def write_zip(folder: Path, inner: str, texts: dict[str, str]) -> Path:
    file = folder / "ptb.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__MACOSX/._ptb.train.txt", "\0")
        for name, text in texts.items():
            archive.writestr(inner + name, text)
    return file


@pytest.mark.parametrize("inner", [None, "", "simple-examples/data/"])
def test_text_files_and_zip_give_the_same_streams(tmp_path: Path, inner: str | None) -> None:
    if inner is None:
        write_texts(tmp_path)
    else:
        write_zip(tmp_path, inner, TEXTS)
    corpus = ptb(tmp_path)
    assert corpus.words == WORDS
    for stream, text in zip((corpus.train, corpus.valid, corpus.test), TEXTS.values(), strict=True):
        assert stream.dtype == np.int64
        assert [WORDS[number] for number in stream] == text.replace("\n", "<eos>").split()


def test_nothing_of_it_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        ptb(tmp_path)
    assert str(caught.value) == f"{tmp_path}: must hold ptb.zip or ptb.train.txt, not neither"


def test_a_missing_part(tmp_path: Path) -> None:
    write_texts(tmp_path)
    (tmp_path / "ptb.test.txt").unlink()
    with pytest.raises(DataError) as caught:
        ptb(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'ptb.test.txt'}: must be a readable text file (No such file or directory)"
    file = write_zip(tmp_path, "", {"ptb.train.txt": "a"})
    with pytest.raises(DataError) as caught:
        ptb(tmp_path)
    parts = "ptb.train.txt, ptb.valid.txt, ptb.test.txt"
    assert str(caught.value) == f"{file}: must hold {parts}, not all but ptb.valid.txt"


def test_a_damaged_zip(tmp_path: Path) -> None:
    file = tmp_path / "ptb.zip"
    file.write_bytes(b"nothing")
    with pytest.raises(DataError) as caught:
        ptb(tmp_path)
    assert str(caught.value) == f"{file}: must be a readable zip file (File is not a zip file)"


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b" \n".strip(), "must hold words, not nothing"),
        (b"the \xff", "must be UTF-8 text (invalid start byte at byte 4)"),
        (b"the dog \n", "every word must be one of the training part, not 'dog'"),
    ],
)
def test_a_damaged_text(tmp_path: Path, raw: bytes, sentence: str) -> None:
    write_texts(tmp_path)
    (tmp_path / "ptb.valid.txt").write_bytes(raw)
    with pytest.raises(DataError) as caught:
        ptb(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'ptb.valid.txt'}: {sentence}"


def test_another_text_is_told(tmp_path: Path) -> None:
    write_texts(tmp_path)
    (tmp_path / "ptb.train.txt").write_text(" ".join(f"word{i}" for i in range(10_000)) + "\n")
    with pytest.raises(DataError) as caught:
        ptb(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'ptb.train.txt'}: must have at most 10000 different words, not 10001"
