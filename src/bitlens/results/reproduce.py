# SPDX-License-Identifier: Apache-2.0
"""Tables of figures, measured again row by row: a file of them is written after every row, rows that it holds are kept.

The papers' tables are runs, see `results.papers`. Another table is a module with `ROWS`: by name, a function from the folder
of the data to figures by the name of their metric; and with `draw_pictures`.

    >>> reproduce("faces", Path("faces.json"), data=Path("faces"), row="Haar cascade")       # doctest: +SKIP
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bitlens.core.files import write_atomically
from bitlens.results.table_run import ReproduceError
from bitlens.results.trainings import TRAININGS

__all__ = ["TABLES", "ReproduceError", "Row", "draw_pictures", "reproduce"]

_MODULES = {"faces": "bitlens.results.faces"}
TABLES = (*_MODULES, *TRAININGS)

Row = dict[str, Any]
Measure = Callable[[Path | None], Mapping[str, Any] | list[Row]]


def reproduce(
    table: str,
    out: Path,
    data: Path | None = None,
    row: str | None = None,
    again: bool = False,
    runs: Path = Path("runs"),
    train: bool = True,
) -> list[Row]:
    """Measure the rows of a table that a file does not hold yet.

    Args:
        table: name out of `TABLES`.
        out: JSON file, a list of rows; written after every row. Logs of runs are copied beside it.
        data: folder of the data; of a paper's table also a folder of the folders of all data sets.
        row: this row alone.
        again: measure rows, too, that the file holds; runs that have a result are not trained again.
        runs: folder of the runs of the papers' tables.
        train: what is not trained yet; otherwise it is left out.

    Returns:
        All rows of the file, one for each figure: {"row", "metric", "measured", "command", "seconds", "machine", "date"},
        in the table's order; of a paper's table also {"published", "source", "seed", "epochs", "training_seconds",
        "trained_on", "log"}.

    Raises:
        ReproduceError: there is no such table or row, or the file holds something else.
    """
    measures = _measures(table, out, runs, train)
    if row is not None and row not in measures:
        raise ReproduceError(f"row: must be one of {'; '.join(measures)}, not {row}")
    known = _read(out)
    wanted = [name for name in ([row] if row else measures) if again or all(old["row"] != name for old in known)]
    for name in tqdm(wanted, desc=table, disable=None, leave=False):
        started = time.perf_counter()
        figures = measures[name](data)
        told = {
            "command": f'bitlens reproduce {table} --row "{name}"',
            "seconds": round(time.perf_counter() - started, 1),
            "machine": f"{_processor()}, {os.cpu_count()} cores",
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        }
        known = [old for old in known if old["row"] != name]
        if isinstance(figures, Mapping):
            figures = [{"metric": metric, "measured": value} for metric, value in figures.items()]
        known += [{"row": name, **line, **told} for line in figures]
        order = {key: place for place, key in enumerate(measures)}
        known.sort(key=lambda line: order.get(line["row"], len(order)))
        write_atomically(out, (json.dumps(known, indent=1) + "\n").encode())
    return known


def draw_pictures(table: str, out: Path, data: Path | None = None, file: Path | None = None) -> list[Path]:
    """Draw the pictures of a table and return their paths.

    Args:
        table: name out of `TABLES`.
        out: folder.
        data: folder of the data; None: of data that may be published.
        file: of the rows of a paper's table, which is drawn from it alone; TABLE.json when None.

    Raises:
        ReproduceError: there is no such table, or the file holds no rows of it.
    """
    if table in TRAININGS:
        from bitlens.results.table_pages import draw_table

        file = file or Path(f"{table}.json")
        rows = _read(file)
        if not rows:
            raise ReproduceError(
                f"{file}: must hold rows of {table} to be drawn; bitlens reproduce {table} measures them"
            )
        return [draw_table(table, rows, out)]
    found: list[Path] = _module(table).draw_pictures(out, data)
    return found


def _measures(table: str, out: Path, runs: Path, train: bool) -> dict[str, Measure]:
    if table in TRAININGS:
        from bitlens.results.papers import measures

        return {**measures(table, runs, out.parent, train)}
    rows: dict[str, Measure] = _module(table).ROWS
    return rows


def _module(table: str) -> Any:
    if table not in _MODULES:
        raise ReproduceError(f"table: must be one of {', '.join(TABLES)}, not {table}")
    return import_module(_MODULES[table])


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text())
        if not isinstance(rows, list) or any("row" not in line for line in rows):
            raise ValueError("no list of rows")
    except (ValueError, TypeError) as error:
        raise ReproduceError(f"{path}: must be a table of figures, not another file ({error})") from error
    return rows


def _processor() -> str:
    """The processor's name; the architecture's where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
