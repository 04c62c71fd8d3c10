# SPDX-License-Identifier: Apache-2.0
"""`bitlens train`."""

from __future__ import annotations

import argparse
import json

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens train dorefa_cifar10 --data cifar10 --out runs/w1a2g6 --bits w1a2g6 --resume
  bitlens train dorefa_cifar10 --data cifar10 --out runs/w2a2 --bits w2a2 --decay w32a32:5,w8a8:3,w4a4:3
  bitlens train lstm_ptb --data ptb --out runs/lstm --bits w2a2,weight=mean --resume --every-steps 400 --bf16
  bitlens train face_detector --data faces --out runs/detector --decay w32a32:20 --workers 8
  bitlens train dorefa_cifar10_c --data cifar10 --out runs/integers --float-free masters=12
  torchrun --nproc-per-node 2 -m bitlens.cli train dorefa_cifar10 --data cifar10 --out runs/two --wire-bits 4 --resume"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags; they are the arguments of `bitlens.train.run`."""
    parser.add_argument(
        "recipe", metavar="RECIPE", help="digits, dorefa_cifar10, lstm_ptb, ...; a wrong name lists all"
    )
    parser.add_argument("--data", metavar="DIR", help="folder of the data set (digits needs none)")
    parser.add_argument("--out", metavar="RUN", required=True, help="folder of the run")
    parser.add_argument("--bits", metavar="SPEC", help="bits of weights, activations, gradients: w1a2g6; 32 is float")
    parser.add_argument("--epochs", metavar="N", type=int, help="length of the run")
    parser.add_argument("--batch", metavar="N", type=int, help="samples a step")
    parser.add_argument("--rate", metavar="X", type=float, help="learning rate at the start of every stage")
    parser.add_argument("--resume", action="store_true", help="continue the run in RUN bit-identically, or start it")
    parser.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", metavar="N", type=int, help="default: all cores")
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=0,
        help="processes that compose the coming steps' batches (the face nets); the run is the same for any N",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument("--cache", metavar="DIR", help="folder for decoded images")
    parser.add_argument("--every-steps", metavar="N", type=int, default=0, help="also save a checkpoint every N steps")
    parser.add_argument(
        "--init", metavar="RUN", help="start from the weights of this run, or of a torch file: the same net, other bits"
    )
    parser.add_argument(
        "--decay",
        metavar="STAGES",
        help="bits:epochs of stages before --bits, each starting from the one before: w32a32:5,w8a8:3;\n"
        "stages without epochs share --epochs with the last one",
    )
    parser.add_argument("--delay", metavar="N", type=int, default=0, help="N float epochs first: --decay w32a32:N")
    parser.add_argument("--record", action="store_true", help="on CUDA: record a step once and replay it (small nets)")
    parser.add_argument(
        "--bf16", action="store_true", help="on CPUs with AMX: multiply the matrices of training steps in bfloat16"
    )
    parser.add_argument(
        "--evaluate-every", metavar="N", type=int, default=1, help="evaluate every N epochs, and after the last"
    )
    parser.add_argument(
        "--float-free",
        metavar="KEYS",
        nargs="?",
        const="on",
        default="",
        help="train on integers alone: batch norm, master weights and steps; keys, each with its default:\n"
        "masters=16 (bits, 8 to 16), norm=l1 (or range), rounding=stochastic (or nearest: few bits stall)",
    )
    parser.add_argument(
        "--accumulate",
        metavar="N",
        type=int,
        default=1,
        help="learn a batch in N parts, one after the other; step once",
    )
    parser.add_argument(
        "--wire-bits",
        metavar="N",
        type=int,
        default=32,
        help="under torchrun: bits of a gradient that processes send to each other: 1, 2, 4, 8, or 32 for float",
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Train, and print the result; of several processes the first one does."""
    from bitlens import train
    from bitlens.train.group import process_number
    from bitlens.train.memory import keep_memory

    flags = {key: value for key, value in vars(arguments).items() if key not in ("command", "json", "version")}
    keep_memory()
    result = train.run(**flags)
    if process_number():
        return 0
    if arguments.json:
        print(json.dumps(result))
    else:
        metric, value = next((key, value) for key, value in result.items() if key.startswith(("test_", "val_")))
        print(f"{result['recipe']} {result['bits']}: {metric.replace('_', ' ')} {value:.4f}, in {arguments.out}")
    return 0
