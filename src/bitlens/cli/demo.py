# SPDX-License-Identifier: Apache-2.0
"""`bitlens demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "bitlens demo -o demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, default=Path("demo"), help="default: demo")


def run(arguments: argparse.Namespace) -> int:
    """Do the main job on a clip made of the photograph that comes with scikit-image."""
    from bitlens.results.demo import run_demo

    return run_demo(arguments.output)
