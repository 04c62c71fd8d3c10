# SPDX-License-Identifier: Apache-2.0
"""`bitlens sweep`."""

from __future__ import annotations

import argparse
import json

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens sweep runs/w8a8 --data cifar10 --budget 30% -o sweep.json
  bitlens train digits --out runs/mixed --init runs/w8a8 --bits "$(bitlens sweep runs/w8a8)"
  bitlens sweep runs/w8a8 --data cifar10 --cost bytes --budget 40000 -o sweep.json
  bitlens plot pareto sweep.json -o pareto.png"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags; they are the arguments of `bitlens.train.sweep`."""
    parser.add_argument("run", metavar="RUN", help="folder of a trained run, best of wide bits or float")
    parser.add_argument("--data", metavar="DIR", help="folder of the data set")
    parser.add_argument(
        "--budget",
        metavar="X",
        default="50%",
        help="most that the net may cost: a number, or a share of the widest (default: 50%%); of the path and the "
        "uniform bits within it the least loss is chosen, of equal ones the cheapest",
    )
    parser.add_argument(
        "--cost", choices=["bit-operations", "bytes"], default="bit-operations", help="default: %(default)s"
    )
    parser.add_argument(
        "--candidates",
        metavar="BITS",
        default="w8a8,w4a4,w3a3,w2a2,w1a2",
        help="what a middle layer may have, wide to narrow (default: %(default)s)",
    )
    parser.add_argument("--batches", metavar="N", type=int, default=4, help="training batches to measure losses on")
    parser.add_argument("--cache", metavar="DIR", help="folder for decoded images")
    parser.add_argument("--threads", metavar="N", type=int, help="default: all cores")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write what was measured; `bitlens plot pareto` draws it"
    )
    parser.add_argument("--json", action="store_true", help="print all that was measured as one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Choose, and print the spec string."""
    from bitlens.core.files import check_replaceable, write_atomically
    from bitlens.train.sweep import sweep

    flags = {
        key: value for key, value in vars(arguments).items() if key not in ("command", "json", "version", "output")
    }
    if arguments.output:
        check_replaceable(arguments.output)  # before nets are measured for minutes
    report = sweep(**flags)
    if arguments.output:
        write_atomically(arguments.output, (json.dumps(report, indent=2) + "\n").encode())
    print(json.dumps(report) if arguments.json else report["bits"])
    return 0
