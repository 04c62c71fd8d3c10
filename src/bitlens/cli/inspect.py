# SPDX-License-Identifier: Apache-2.0
"""`bitlens inspect`."""

from __future__ import annotations

import argparse
import json

from bitlens.cli.program import MODEL_HELP, program_path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens inspect m.bitlens
  bitlens inspect face_detector --size 480x640      one that comes with bitlens"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", metavar="M.bitlens", help=MODEL_HELP)
    parser.add_argument(
        "--size", metavar="HxW", help="height and width for a program of symbolic size, such as 480x640"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print a program's layers."""
    from bitlens.graph.island_file import load_program
    from bitlens.graph.islands import IslandProgram
    from bitlens.results.inspect import inspect_program, parse_size, render
    from bitlens.results.inspect_islands import inspect_islands, render_islands

    program, size = load_program(program_path(arguments.model)), parse_size(arguments.size)
    if isinstance(program, IslandProgram):
        report = inspect_islands(program, size)
        print(json.dumps(report) if arguments.json else render_islands(report))
        return 0
    report = inspect_program(program, size)
    print(json.dumps(report) if arguments.json else render(report))
    return 0
