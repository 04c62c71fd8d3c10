# SPDX-License-Identifier: Apache-2.0
"""`bitlens export`."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "bitlens export runs/w1a2g6 -o w1a2g6.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("run", metavar="RUN", help="folder that `bitlens train` has written")
    parser.add_argument("-o", "--output", metavar="M.onnx", required=True, type=Path)


def run(arguments: argparse.Namespace) -> int:
    """Freeze and export a run."""
    from bitlens.core.files import write_atomically
    from bitlens.results.line import export_run

    data = export_run(arguments.run).SerializeToString()
    write_atomically(arguments.output, data)
    print(f"{arguments.output}: {len(data):,} bytes")
    return 0
