# SPDX-License-Identifier: Apache-2.0
"""Tables of figures, measured again row by row: a file of them is written after every row, rows that it holds are kept.

Of rows with several seeds each seed is measured, written and kept for itself.

The papers' tables are runs, see `results.papers`. Another table is a module with `ROWS`: by name, a function from the folder
of the data to figures by the name of their metric; and with `draw_pictures`.

    >>> reproduce("faces", Path("faces.json"), data=Path("faces"), row="Haar cascade")       # doctest: +SKIP
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bitlens.core.errors import is_refusal
from bitlens.core.files import check_replaceable
from bitlens.core.processor import processor_name
from bitlens.results import papers
from bitlens.results.papers import How
from bitlens.results.table_file import Row, Unit, put_rows, read_rows, unit_of
from bitlens.results.table_run import ReproduceError
from bitlens.results.trainings import TRAININGS

__all__ = ["TABLES", "ReproduceError", "Row", "draw_pictures", "reproduce"]

_MODULES = {"faces": "bitlens.results.faces"}
TABLES = (*_MODULES, *TRAININGS)

Measure = Callable[[Path | None], Mapping[str, Any] | list[Row]]


def reproduce(
    table: str,
    out: Path,
    data: Path | None = None,
    row: str | None = None,
    again: bool = False,
    runs: Path = Path("runs"),
    train: bool = True,
    threads: int | None = None,
    device: str | None = None,
    cache: Path | None = None,
    bf16: bool = False,
    evaluate_every: int = 1,
    record: bool = False,
    jobs: int = 1,
) -> list[Row]:
    """Measure the rows of a table that a file does not hold yet.

    Args:
        table: name out of `TABLES`.
        out: JSON file, a list of rows; written after every row. Logs of runs are copied beside it.
        data: folder of the data; of a paper's table also a folder of the folders of all data sets.
        row: this row alone.
        again: measure rows, too, that the file holds, and replace them; runs that have a result are not trained again.
        runs: folder of the runs of the papers' tables.
        train: what is not trained yet; otherwise it is left out, and kept where the file holds it.
        threads, device: of training; None: those of a run that is continued, or all cores, shared by the runs of the
            same time, and "auto".
        cache: folder for decoded images; the user's cache folder when None.
        bf16, evaluate_every, record: of training, see `bitlens.train.run`.
        jobs: how many runs are trained at the same time, each in a process of its own, see `results.side_by_side`. Then a
            row that cannot be trained or measured does not keep the others from it; it is told on standard error at once.

    Returns:
        All rows of the file, one for each figure: {"row", "metric", "measured", "command", "seconds", "machine", "date"},
        in the table's order; seconds are those of measuring, and of training where the same process did it. Of a paper's
        table also {"published", "source", "seed", "epochs", "method", "training_seconds", "trained_on", "log"}.

    Raises:
        ReproduceError: there is no such table or row, nothing is trained where nothing is to be, a run's folder holds
            something else, or the file does; with jobs also: some rows cannot be trained or measured, after all others.
        OSError: the file cannot be written, told before anything is trained.
        bitlens.train.TrainError: without jobs, a run cannot be trained or read.
    """
    how = How(threads, device, cache, bf16, evaluate_every, record, jobs)
    if jobs < 1:
        raise ReproduceError(f"jobs: must be at least 1, not {jobs}")
    if table in _MODULES and how != How():
        given = [key for key, value in how._asdict().items() if value != How._field_defaults[key]]
        raise ReproduceError(f"{table}: {', '.join(given)} must be left out, because its rows are not trained")
    measures = _measures(table, out, runs, how)
    names = list(dict.fromkeys(name for name, _ in measures))
    if row is not None and row not in names:
        raise ReproduceError(f"row: must be one of {'; '.join(names)}, not {row}")
    if jobs > 1 and not train:
        raise ReproduceError(f"jobs: must be 1 where nothing is trained, not {jobs}")
    known = read_rows(table, out)
    check_replaceable(out)  # before rows are trained for hours
    units = [unit for unit in measures if row in (None, unit[0])]
    held = {unit_of(line) for line in known}
    wanted = [unit for unit in units if again or unit not in held]
    if not train:
        wanted = _trained(table, runs, units, wanted)
    places = list(measures)
    failed: dict[Unit, ValueError] = {}
    with closing(_in_turn(table, wanted, runs, data, how)) as turns:
        for unit, error in tqdm(turns, desc=table, total=len(wanted), disable=None, leave=False):
            try:
                if error is not None:
                    raise error
                lines = _measured(table, unit, measures[unit], data)
            except ValueError as found:
                if jobs == 1 or not is_refusal(found):
                    raise
                failed[unit] = found
                tqdm.write(f"{unit[0]}, seed {unit[1]}: {found}", file=sys.stderr)
                continue
            known = put_rows(table, out, unit, lines, lambda line: _place(line, names, places), known)
    if failed:
        unit = min(failed, key=places.index)
        raise ReproduceError(
            f"{table}: {len(failed)} of {len(wanted)} rows could not be measured, first {unit[0]}, seed {unit[1]}: {failed[unit]}"
        ) from failed[unit]
    return known


def _in_turn(
    table: str, wanted: list[Unit], runs: Path, data: Path | None, how: How
) -> Generator[tuple[Unit, Exception | None], None, None]:
    """Yield what can be measured next, or why it cannot."""
    if how.jobs > 1:
        yield from papers.train_rows(table, wanted, runs, data, how)
    else:
        yield from ((unit, None) for unit in wanted)


def _measured(table: str, unit: Unit, measure: Measure, data: Path | None) -> list[Row]:
    """Measure a row and return its lines."""
    started = time.perf_counter()
    figures = measure(data)
    told = {
        "command": f'bitlens reproduce {table} --data DIR --row "{unit[0]}"',
        "seconds": round(time.perf_counter() - started, 1),
        "machine": f"{processor_name()}, {os.cpu_count()} cores",
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }
    if isinstance(figures, Mapping):
        figures = [{"metric": metric, "measured": value} for metric, value in figures.items()]
    return [{"row": unit[0], **line, **{key: told[key] for key in told if key not in line}} for line in figures]


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
        known = {training.row for training in TRAININGS[table]}
        rows = [line for line in read_rows(table, file) if line["row"] in known]
        if not rows:
            raise ReproduceError(
                f"{file}: must hold rows of {table} to be drawn; bitlens reproduce {table} measures them"
            )
        return [draw_table(table, rows, out)]
    found: list[Path] = _module(table).draw_pictures(out, data)
    return found


def _measures(table: str, out: Path, runs: Path, how: How) -> dict[Unit, Measure]:
    if table in TRAININGS:
        return {**papers.measures(table, runs, out.parent, how)}
    rows: dict[str, Measure] = _module(table).ROWS
    return {(name, None): measure for name, measure in rows.items()}


def _trained(table: str, runs: Path, units: list[Unit], wanted: list[Unit]) -> list[Unit]:
    """Return what of the wanted is trained already; rows that are not trained at all always are."""
    if table not in TRAININGS:
        return wanted
    found = papers.trained(table, runs)
    if wanted and not found & {*units}:
        raise ReproduceError(
            f"{runs / table}: must hold a finished run of a wanted row, not none; train without --trained, or name the "
            "folder of runs"
        )
    return [unit for unit in wanted if unit in found]


def _place(line: Row, names: list[str], units: list[Unit]) -> tuple[int, int]:
    """Rows in the table's order, seeds in theirs; what the table does not know comes last."""
    row, unit = line["row"], unit_of(line)
    return names.index(row) if row in names else len(names), units.index(unit) if unit in units else len(units)


def _module(table: str) -> Any:
    if table not in _MODULES:
        raise ReproduceError(f"table: must be one of {', '.join(TABLES)}, not {table}")
    return import_module(_MODULES[table])
