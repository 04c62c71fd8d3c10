# SPDX-License-Identifier: Apache-2.0
"""`python -m bitlens.train RECIPE --data DIR --out RUN`: the flags of `bitlens train`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Put the flags of `bitlens train` on a parser; their names are the arguments of `run`."""
    parser.add_argument("recipe", metavar="RECIPE", help="digits, mnist or dorefa_cifar10")
    parser.add_argument("--data", metavar="DIR", help="folder of the data set")
    parser.add_argument("--out", metavar="RUN", default="run", help="folder of the run (default: run)")
    parser.add_argument("--bits", metavar="SPEC", help="such as w1a2g6 or w1a2,activation=cabs; 32 is float")
    parser.add_argument("--epochs", metavar="N", type=int, help="length of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run in RUN, or start it")
    parser.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", metavar="N", type=int, help="default: all cores")
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument("--cache", metavar="DIR", help="folder for decoded images")
    parser.add_argument("--every-steps", metavar="N", type=int, default=0, help="also save after so many steps")


def main(argv: Sequence[str] | None = None) -> int:
    """Train; return 0, or 2 after a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="bitlens train",
        epilog="example: bitlens train dorefa_cifar10 --data cifar10 --out runs/w1a2 --bits w1a2g6 --resume",
    )
    add_arguments(parser)
    arguments = vars(parser.parse_args(argv))
    from bitlens.data import DataError
    from bitlens.quant import QuantError
    from bitlens.train import TrainError, run

    try:
        result = run(**arguments)
    except (DataError, QuantError, TrainError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"{result['recipe']} {result['bits']}: test accuracy {result['test_accuracy']:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
