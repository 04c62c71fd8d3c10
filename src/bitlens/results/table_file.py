# SPDX-License-Identifier: Apache-2.0
"""The file of a table's rows: read, checked, and changed by several processes at a time.

>>> rows = read_rows("joins", Path("docs/results/joins.json"))
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitlens.core.files import write_atomically
from bitlens.core.lock import FolderLock
from bitlens.results.table_run import ReproduceError, is_finite
from bitlens.results.trainings import TRAININGS

__all__ = ["Row", "Unit", "put_rows", "read_rows", "unit_of"]

Row = dict[str, Any]
Unit = tuple[str, int | None]  # row and seed; of rows that are not trained, None

_TEXTS = ("trained_on", "machine", "date", "source", "log")
_WHOLE = ("seed", "epochs", "method")


def unit_of(line: Row) -> Unit:
    """Return what a line is a figure of."""
    return line["row"], line.get("seed")


def read_rows(table: str, path: Path) -> list[Row]:
    """Return the lines of a file; none of a file that is not there.

    Args:
        table: name out of `bitlens.results.reproduce.TABLES`.
        path: of the file.

    Raises:
        ReproduceError: it is another file, or a line lacks what the table's pages and pictures are made of.
    """
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise ValueError("no list of rows")
        for number, line in enumerate(rows, 1):
            _check(table, line, number)
    except ValueError as error:
        raise ReproduceError(f"{path}: must be a table of figures, not another file ({error})") from error
    return rows


def put_rows(
    table: str, path: Path, unit: Unit, lines: list[Row], place: Callable[[Row], Any], known: list[Row]
) -> list[Row]:
    """Write the lines of a row in the place of what the file holds of it, and return all lines.

    Rows that another process measures at the same time are kept.

    Args:
        table, path: see `read_rows`.
        unit: of the lines.
        lines: measured.
        place: of a line in the file's order.
        known: what is written of other rows to what is no file, such as a pipe.

    Raises:
        ReproduceError: see `read_rows`.
        OSError: the file cannot be written.
    """
    with FolderLock(Path(os.path.realpath(path)).parent):
        old = read_rows(table, path) if path.is_file() else known
        rows = [line for line in old if unit_of(line) != unit] + lines
        rows.sort(key=place)
        write_atomically(path, (json.dumps(rows, indent=1) + "\n").encode())
    return rows


def _check(table: str, line: object, number: int) -> None:
    """Check what is read of a line by `reproduce`, by pages and by pictures."""
    if not isinstance(line, dict):
        raise ValueError(f"row {number} is no object")
    for key in ("row", "metric"):
        if not isinstance(line.get(key), str):
            raise ValueError(f"row {number} has no {key}")
    if "measured" not in line:
        raise ValueError(f"row {number} has no measured")
    if table not in TRAININGS:
        return
    for key in _TEXTS:
        if not isinstance(line.get(key), str):
            raise ValueError(f"row {number} has no {key}")
    for key in _WHOLE:
        if not isinstance(line.get(key), int) or isinstance(line[key], bool):
            raise ValueError(f"row {number}: {key} is no whole number")
    if not is_finite(line["measured"]):
        raise ValueError(f"row {number}: measured is no finite number")
    if line.get("published") is not None and not is_finite(line["published"]):
        raise ValueError(f"row {number}: published is no finite number")
