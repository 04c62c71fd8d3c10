# SPDX-License-Identifier: Apache-2.0
"""`bitlens bench`."""

from __future__ import annotations

import argparse
import json

from bitlens.cli.program import MODEL_HELP, program_path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "bitlens bench m.bitlens --against onnxruntime,openvino --onnx m.onnx --threads 1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", metavar="M.bitlens", help=MODEL_HELP)
    parser.add_argument(
        "--against",
        metavar="PEERS",
        default="",
        help="onnxruntime (float32 and int8 of the net), openvino (float32), or both",
    )
    parser.add_argument("--onnx", metavar="M.onnx", help="the model the program was compiled from (for --against)")
    parser.add_argument("--threads", metavar="N", type=int, default=1)
    parser.add_argument("--isa", choices=["portable", "avx2", "avx512", "neon"], help="force an instruction set")
    parser.add_argument("--batch", metavar="N", type=int, default=1, help="images a call")
    parser.add_argument("--size", metavar="HxW", help="height and width for a program of symbolic size")
    parser.add_argument("--seconds", metavar="S", type=float, default=3.0, help="time spent on each")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Time, interleaved, and print images a second."""
    from bitlens.results.bench import bench_program, render
    from bitlens.results.inspect import parse_size

    report = bench_program(
        program_path(arguments.model),
        peers=[peer for peer in arguments.against.split(",") if peer],
        onnx=arguments.onnx,
        threads=arguments.threads,
        isa=arguments.isa,
        batch=arguments.batch,
        size=parse_size(arguments.size),
        seconds=arguments.seconds,
    )
    print(json.dumps(report) if arguments.json else render(report))
    return 0
