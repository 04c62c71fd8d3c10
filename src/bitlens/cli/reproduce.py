# SPDX-License-Identifier: Apache-2.0
"""`bitlens reproduce`."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from bitlens.results.trainings import TRAININGS

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens reproduce recurrent --data DIR -o recurrent.json               trains, compiles and evaluates row by row
  bitlens reproduce dorefa --data DIR --row "C 1-2-4" --runs runs --device cpu --threads 2
  bitlens reproduce fcn --data DIR --jobs 8 --device cuda --record            eight rows at the same time
  bitlens reproduce faces --data faces -o faces.json                          all rows that the file does not hold
  bitlens reproduce faces --data faces -o faces.json --row "detector, speed" --again
  bitlens reproduce faces --pictures found                                       what is found and missed, of free pictures"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("table", metavar="TABLE", help=", ".join(["faces", *TRAININGS]))
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="folder of the data, or of the folders of all data sets"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="default: TABLE.json; written after every row"
    )
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        default=Path("runs"),
        help="folder of trained runs; default: runs. What is trained already is not trained again",
    )
    parser.add_argument("--trained", action="store_true", help="leave out what is not trained yet")
    parser.add_argument(
        "--device", metavar="NAME", help="to train on: auto, cpu or cuda; default: that of a run that goes on, or auto"
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=int,
        help="of training; default: those of a run that goes on, or all cores, shared by --jobs",
    )
    parser.add_argument("--bf16", action="store_true", help="train so, see bitlens train; language models alone gain")
    parser.add_argument(
        "--evaluate-every", metavar="N", type=int, default=1, help="in training: every N epochs, and after the last"
    )
    parser.add_argument("--record", action="store_true", help="train so, see bitlens train; on CUDA small nets gain")
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        default=1,
        help="train so many rows at the same time; what they say is in train.log of their runs",
    )
    parser.add_argument("--cache", metavar="DIR", type=Path, help="folder for decoded images")
    parser.add_argument("--row", metavar="NAME", help="this row alone; a wrong name lists all")
    parser.add_argument("--again", action="store_true", help="measure rows, too, that the file holds, and replace them")
    parser.add_argument(
        "--pictures",
        metavar="DIR",
        type=Path,
        help="draw instead: faces found and missed, without --data of free pictures; the rows of a paper's table",
    )
    parser.add_argument("--json", action="store_true", help="print the rows as one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print the table; or draw its pictures."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in `bitlens camera scan`
    from bitlens.results.reproduce import draw_pictures, reproduce

    if arguments.pictures is not None:
        paths = [
            str(path) for path in draw_pictures(arguments.table, arguments.pictures, arguments.data, arguments.output)
        ]
        print(json.dumps(paths) if arguments.json else "\n".join(paths))
        return 0
    if not arguments.trained and arguments.jobs == 1:
        from bitlens.train.memory import keep_memory

        keep_memory()
    out = arguments.output or Path(f"{arguments.table}.json")
    rows = reproduce(
        arguments.table,
        out,
        arguments.data,
        row=arguments.row,
        again=arguments.again,
        runs=arguments.runs,
        train=not arguments.trained,
        threads=arguments.threads,
        device=arguments.device,
        cache=arguments.cache,
        bf16=arguments.bf16,
        evaluate_every=arguments.evaluate_every,
        record=arguments.record,
        jobs=arguments.jobs,
    )
    if arguments.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        value = f"{row['measured']:.4g}" if isinstance(row["measured"], float) else str(row["measured"])
        print(f"{row['row']:44} {row['metric']:52} {value}")
    return 0
