# SPDX-License-Identifier: Apache-2.0
"""`bitlens fpga`: make a project folder, or simulate one."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from bitlens.cli.program import MODEL_HELP, program_path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens fpga m.bitlens -o circuit --device xc7z030              the fastest circuit in 70 % of the lookup tables
  bitlens fpga m.bitlens -o circuit --device xc7z020 --fps 1000   the smallest that reaches 1,000 images/s
  bitlens fpga m.bitlens -o circuit --device lfe5u-85f --luts 50% --clock 100
  bitlens fpga m.bitlens -o circuit --device xc7z020 --shape unit --array 16x16   one unit runs layer by layer
  bitlens fpga simulate circuit --count 100                       random images; ends with "0 mismatching codes"
  bitlens fpga simulate circuit --images cifar10 --count 1000 --stalls 0.5
  bitlens fpga simulate circuit --count 4 --structural            the bodies that synthesis takes, primitives too"""

_TO_MAKE = ("output", "device", "array", "size", "fps", "luts", "kernels")
_TO_SIMULATE = ("images", "count", "stalls", "structural")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    from bitlens.fpga.devices import device_names

    parser.usage = "bitlens fpga M.bitlens -o DIR --device NAME [options]\n       bitlens fpga simulate DIR [options]"
    parser.add_argument("model", metavar="M.bitlens|simulate", help=f"{MODEL_HELP}; or the word simulate")
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, help="of a project, to simulate")
    make = parser.add_argument_group("to make a project")
    make.add_argument("-o", "--output", metavar="DIR", type=Path, help="folder; an older project in it is replaced")
    make.add_argument("--device", metavar="NAME", help=", ".join(device_names()))
    make.add_argument(
        "--shape",
        choices=["stream", "unit"],
        default="stream",
        help="stream: a circuit for every layer; unit: one circuit that runs them from memory to memory (default: %(default)s)",
    )
    make.add_argument(
        "--array", metavar="PExSIMD", help="of a unit: output channels by 2-bit products a cycle (default: 16x16)"
    )
    make.add_argument("--size", metavar="HxW", help="height and width for a program of symbolic size")
    make.add_argument("--fps", metavar="N", type=float, help="goal: images a second at the clock; the smallest circuit")
    make.add_argument(
        "--luts", metavar="P%", help="share of the device's lookup tables (default: 70%%; with --fps 100%%)"
    )
    make.add_argument(
        "--kernels",
        metavar="K",
        nargs="+",
        choices=["fold", "lutrom", "hard"],
        help="where weights may lie: fold (block RAM; default), lutrom (lookup tables), hard (adders made for them)",
    )
    make.add_argument("--clock", metavar="MHz", type=float, default=200.0, help="assumed (default: %(default)g)")
    simulate = parser.add_argument_group("to simulate one")
    simulate.add_argument(
        "--images",
        metavar="X",
        help="array (.npy, .npz), picture, folder of pictures, or of the test set; default: random",
    )
    simulate.add_argument("--count", metavar="N", type=int, help="how many of them, evenly spread (random: 16)")
    simulate.add_argument("--stalls", metavar="P", type=float, help="both sides pause so often, 0 to 1")
    simulate.add_argument(
        "--structural",
        action="store_true",
        help="simulate the elements' bodies of the device's family, its primitives too, not those that simulate fast:\n"
        "the same integers in the same cycles, but slow: for few images",
    )
    simulate.add_argument("--seed", metavar="N", type=int, default=1, help="of pauses and random images")
    simulate.add_argument("--backend", choices=["engine", "golden"], default="engine", help="what to compare with")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Plan and write, or simulate; exit code 1 when integers differ."""
    from bitlens.fpga.network import FpgaError

    if arguments.model == "simulate":
        if arguments.folder is None:
            raise FpgaError("simulate: must be given the folder of a project; bitlens fpga simulate DIR")
        _refuse(arguments, _TO_MAKE, "simulate")
        return _simulate(arguments)
    if arguments.folder is not None:
        raise FpgaError(f"fpga: must be given one program, not also {arguments.folder}; the folder goes behind -o")
    for flag in ("output", "device"):
        if getattr(arguments, flag) is None:
            raise FpgaError(f"fpga: must be told --{flag} to make a project; bitlens fpga --help")
    _refuse(arguments, _TO_SIMULATE, "-o")
    return _make(arguments)


def _refuse(arguments: argparse.Namespace, flags: tuple[str, ...], beside: str) -> None:
    """See that none of these flags, which would do nothing, was given."""
    from bitlens.fpga.network import FpgaError

    for flag in flags:
        value = getattr(arguments, flag)
        if value is not None and value is not False:
            raise FpgaError(f"--{flag}: must not be given with {beside}; leave it out")


def _make(arguments: argparse.Namespace) -> int:
    from bitlens.fpga.devices import load_device
    from bitlens.fpga.export import check_folder, export_project
    from bitlens.fpga.network import FpgaError
    from bitlens.fpga.plan import plan, target_of
    from bitlens.fpga.report import plan_report, render
    from bitlens.fpga.size import fix_size
    from bitlens.fpga.unit.export import export_unit
    from bitlens.fpga.unit.report import render as render_unit
    from bitlens.fpga.unit.schedule import schedule, smallest_unit
    from bitlens.graph.file import Program
    from bitlens.results.inspect import parse_size
    from bitlens.results.ticking import ticking_bar

    unit = arguments.shape == "unit"
    _refuse(arguments, ("fps", "luts", "kernels") if unit else ("array",), f"--shape {arguments.shape}")
    array = _array(arguments.array)
    size = parse_size(arguments.size)
    device, share = load_device(arguments.device), _share(arguments.luts)
    for name, number in (("fps", arguments.fps), ("clock", arguments.clock)):
        if number is not None and not number > 0:
            raise FpgaError(f"--{name}: must be above 0, not {number:g}")
    check_folder(arguments.output)
    program = Program.load(program_path(arguments.model))
    if size is not None:
        program = fix_size(program, size)
    with ticking_bar(5, "fpga") as bar:

        def tell(step: str) -> None:
            bar.set_description(f"fpga: {step}")
            bar.update()

        bar.set_description("fpga: plan")
        if unit:
            scheduled = schedule(program, smallest_unit(program, *array, target_of(device)))
            report = export_unit(scheduled, program, device, arguments.clock, arguments.output, progress=tell)
        else:
            found = plan(program, device, arguments.fps, share, arguments.clock, tuple(arguments.kernels or ["fold"]))
            export_project(found, program, arguments.output, progress=tell)
            report = plan_report(found, program)
    if arguments.json:
        print(json.dumps({"output": str(arguments.output), **report}))
    elif unit:
        print(render_unit(report))
        print(f"{arguments.output}: project written; README.md begins it")
    else:
        print(render(report))
        print(f"{arguments.output}: project written; README.md begins it, report.html shows it")
    return 0


def _array(text: str | None) -> tuple[int, int]:
    """Read "16x16"."""
    from bitlens.fpga.network import FpgaError

    if text is None:
        return 16, 16
    match = re.fullmatch("([0-9]{1,9})x([0-9]{1,9})", text)
    if match is None:
        raise FpgaError(f"--array: must be PExSIMD such as 16x16, not {text}")
    return int(match[1]), int(match[2])


def _share(text: str | None) -> float | None:
    """Read "70%" or "0.7" as 0.7."""
    from bitlens.fpga.network import FpgaError

    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise FpgaError(f"--luts: must be a share such as 70%, above 0 and at most 100%, not {text}")
    return share


def _simulate(arguments: argparse.Namespace) -> int:
    from bitlens.results.circuit import render, simulate_project

    report = simulate_project(
        arguments.folder,
        arguments.images,
        count=arguments.count,
        stalls=arguments.stalls or 0.0,
        seed=arguments.seed,
        structural=arguments.structural,
        backend=arguments.backend,
        progress=True,
    )
    print(json.dumps(report) if arguments.json else render(report))
    return 1 if report["mismatches"] else 0
