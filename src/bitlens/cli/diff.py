# SPDX-License-Identifier: Apache-2.0
"""`bitlens diff`."""

from __future__ import annotations

import argparse
import json

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens diff m.bitlens m.bitlens:golden --input images.npy     engine against golden
  bitlens diff RUN m.bitlens --input images.npy                   trained net against program, layer by layer"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    form = "a run's folder, M.bitlens (engine), M.bitlens:golden, M.bitlens:avx2, ..."
    parser.add_argument("one", metavar="A", help=form)
    parser.add_argument("other", metavar="B", help="likewise")
    parser.add_argument("--input", metavar="X", required=True, help="an array (.npy: N, H, W, C) or a picture")
    parser.add_argument("--threads", metavar="N", type=int, help="default: all cores")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compare every layer; exit code 1 when integers differ that are not ties."""
    from bitlens.results.compare import compare_forms, render
    from bitlens.results.forms import read_array

    report = compare_forms(arguments.one, arguments.other, read_array(arguments.input), arguments.threads)
    print(json.dumps(report) if arguments.json else render(report))
    return 1 if report["differing"] > report["ties"] else 0
