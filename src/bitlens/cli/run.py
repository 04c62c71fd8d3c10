# SPDX-License-Identifier: Apache-2.0
"""`bitlens run`."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np

from bitlens.cli.program import MODEL_HELP, program_path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens run m.bitlens --input images.npy -o out.npz --threads 2
  bitlens run lstm.bitlens --input words.npy -o scores.npz      a recurrent program: the rows are steps of one sequence"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", metavar="M.bitlens", help=MODEL_HELP)
    parser.add_argument(
        "--input",
        metavar="X",
        required=True,
        help="a picture, or an array (.npy): N, H, W, C; of vectors N, C; of numbers N",
    )
    parser.add_argument(
        "-o", "--output", metavar="Y.npz", type=Path, help="outputs by name; without it they are printed"
    )
    parser.add_argument("--backend", choices=["engine", "golden"], default="engine")
    parser.add_argument("--threads", metavar="N", type=int, help="default: all cores")
    parser.add_argument("--isa", choices=["portable", "avx2", "avx512", "neon"], help="force an instruction set")
    parser.add_argument("--keep", action="store_true", help="give every layer's integers")
    parser.add_argument("--real", action="store_true", help="give real numbers: scale * integer + offset")


def run(arguments: argparse.Namespace) -> int:
    """Run and write or print."""
    from bitlens.core.files import write_atomically
    from bitlens.results.forms import open_form, read_array

    form = open_form(
        program_path(arguments.model), backend=arguments.backend, threads=arguments.threads, isa=arguments.isa
    )
    outputs = form.run(read_array(arguments.input), keep=arguments.keep, real=arguments.real)
    if arguments.output is None:
        print(json.dumps({name: array.tolist() for name, array in outputs.items()}))
        return 0
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **outputs)
    write_atomically(arguments.output, buffer.getvalue())
    print(f"{arguments.output}: {', '.join(f'{n} {a.shape}' for n, a in outputs.items())}", file=sys.stderr)
    return 0
