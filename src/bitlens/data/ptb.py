# SPDX-License-Identifier: Apache-2.0
"""Penn Treebank as language models use it: three streams of word numbers, 10,000 words, lines end in `<eos>`.

Reads `ptb.zip` (the three text files, in any folder inside) or `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt`.

    >>> corpus = ptb("data/ptb")
    >>> len(corpus.words), len(corpus.train), len(corpus.valid), len(corpus.test)
    (10000, 929589, 73760, 82430)
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from bitlens.data.cache import short
from bitlens.data.dataset import DataError, folder

__all__ = ["Corpus", "ptb"]

_PARTS = ("train", "valid", "test")
_END = "<eos>"
_MOST_WORDS = 10_000
_Stream = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Text as word numbers, in the text's order.

    Args:
        train, valid, test: int64 (tokens,), numbers 0..len(words) - 1.
        words: the word of each number, the most frequent of the training part first.
    """

    train: _Stream
    valid: _Stream
    test: _Stream
    words: tuple[str, ...]


def ptb(path: str | Path | None) -> Corpus:
    """Read Penn Treebank.

    The vocabulary is every word of the training part and `<eos>`, ordered by falling frequency, then by spelling.

    Args:
        path: folder with ptb.zip or with the three text files.

    Returns:
        The corpus; a newline has become `<eos>`.

    Raises:
        DataError: the files are not there, are damaged or empty, a word is not of the training part, or that has more than
            10,000.
    """
    root = folder(path, "Penn Treebank")
    packed = root / "ptb.zip"
    if packed.is_file():
        texts = _unzip(packed)
    elif (root / "ptb.train.txt").is_file():
        texts = [(str(root / _name(part)), _bytes(root / _name(part))) for part in _PARTS]
    else:
        raise DataError(f"{root}: must hold ptb.zip or ptb.train.txt, not neither")
    parts = [_tokens(name, raw) for name, raw in texts]
    counts = Counter(parts[0])
    words = tuple(sorted(counts, key=lambda word: (-counts[word], word)))
    if len(words) > _MOST_WORDS:
        raise DataError(f"{texts[0][0]}: must have at most {_MOST_WORDS} different words, not {len(words)}")
    numbers = {word: number for number, word in enumerate(words)}
    train, valid, test = (_stream(name, tokens, numbers) for (name, _), tokens in zip(texts, parts, strict=True))
    return Corpus(train, valid, test, words)


def _name(part: str) -> str:
    return f"ptb.{part}.txt"


def _unzip(file: Path) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {PurePosixPath(name).name: name for name in archive.namelist()}
            return [(f"{file}/{_name(part)}", archive.read(members[_name(part)])) for part in _PARTS]
    except KeyError as error:
        raise DataError(f"{file}: must hold {', '.join(map(_name, _PARTS))}, not all but {error.args[0]}") from error
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{file}: must be a readable zip file ({short(error)})") from error


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: must be a readable text file ({short(error)})") from error


def _tokens(name: str, raw: bytes) -> list[str]:
    try:
        tokens = raw.decode().replace("\n", f" {_END} ").split()
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: must be UTF-8 text ({error.reason} at byte {error.start})") from error
    if not tokens:
        raise DataError(f"{name}: must hold words, not nothing")
    return tokens


def _stream(name: str, tokens: list[str], numbers: dict[str, int]) -> _Stream:
    try:
        return np.fromiter((numbers[token] for token in tokens), np.int64, len(tokens))
    except KeyError as error:
        raise DataError(f"{name}: every word must be one of the training part, not {error.args[0]!r}") from error
