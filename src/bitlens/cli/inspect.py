# SPDX-License-Identifier: Apache-2.0
"""`bitlens inspect`."""

from __future__ import annotations

import argparse
import json

from bitlens.cli.program import MODEL_HELP, program_path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens inspect m.bitlens
  bitlens inspect face_detector --size 480x640      one that comes with bitlens
  bitlens inspect m.bitlens --platforms      bounds on published platforms, our plan for an FPGA, this processor"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", metavar="M.bitlens", help=MODEL_HELP)
    parser.add_argument(
        "--size", metavar="HxW", help="height and width for a program of symbolic size, such as 480x640"
    )
    parser.add_argument("--platforms", action="store_true", help="put it beside platforms: frames a second, energy")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print a program's layers."""
    from bitlens.graph.island_file import load_program
    from bitlens.graph.islands import IslandProgram
    from bitlens.results.inspect import inspect_program, parse_size, render
    from bitlens.results.inspect_islands import inspect_islands, render_islands

    model, size = program_path(arguments.model), parse_size(arguments.size)
    if arguments.platforms:
        from bitlens.results import platforms

        report = platforms.platform_report(model, size)
        print(json.dumps(report) if arguments.json else platforms.render(report))
        return 0
    program = load_program(model)
    if isinstance(program, IslandProgram):
        report = inspect_islands(program, size)
        print(json.dumps(report) if arguments.json else render_islands(report))
        return 0
    report = inspect_program(program, size)
    print(json.dumps(report) if arguments.json else render(report))
    return 0
