# SPDX-License-Identifier: Apache-2.0
"""`bitlens compile`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens compile w1a2g6.onnx -o w1a2g6.bitlens
  bitlens compile w1a2g6.onnx -o w1a2g6.bitlens --explain             what each pass did to each layer
  bitlens compile w1a2g6.onnx -o w1a2g6.bitlens --dump passes/        the graph after each pass, a text file each
  bitlens compile step.onnx -o step.bitlens --state h=h_next --state c=c_next:0.5      one step of a recurrent net
  bitlens compile resnet.onnx -o resnet.bitlens --allow-requantize    where scales of branches differ"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", metavar="M.onnx", help="a QONNX model")
    parser.add_argument("-o", "--output", metavar="M.bitlens", required=True, type=Path)
    parser.add_argument(
        "--allow-requantize",
        action="store_true",
        help="bring tensors that meet with different scales onto a shared one; changes the model by a bound that is printed",
    )
    parser.add_argument("--explain", action="store_true", help="print what each pass did to each layer")
    parser.add_argument("--dump", metavar="DIR", type=Path, help="write the graph after each pass into this folder")
    parser.add_argument(
        "--state",
        metavar="IN=OUT[:X]",
        action="append",
        default=[],
        help="a recurrent step: OUT is IN of the next step, IN is X (what the file says, or 0) before the first",
    )
    parser.add_argument(
        "--float-islands",
        action="store_true",
        help="of a partially quantized model: run layers that are float on the host, in numpy",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compile and save."""
    import bitlens
    from bitlens.graph.file import Program
    from bitlens.graph.islands import Island, IslandProgram

    observe = None
    if arguments.explain or arguments.dump:
        from bitlens.results.explain import Explainer

        observe = Explainer(arguments.explain, arguments.dump).observe
    program = bitlens.compile(
        arguments.model,
        states=_states(arguments.state),
        allow_requantize=arguments.allow_requantize,
        float_islands=arguments.float_islands,
        progress=sys.stderr.isatty() and not arguments.explain,
        observe=observe,
    )
    program.save(arguments.output)
    size = arguments.output.stat().st_size
    source = Path(arguments.model).stat().st_size
    parts = program.parts if isinstance(program, IslandProgram) else [program]
    ops = sum(len(part.graph.nodes) for part in parts if isinstance(part, Program))
    islands = [[node.name for node in part.graph] for part in parts if isinstance(part, Island)]
    changes = program.metadata.get("requantized", "").splitlines()
    if arguments.json:
        report = {"output": str(arguments.output), "bytes": size, "source_bytes": source, "requantized": changes}
        print(json.dumps(report | {"islands": islands}))
    else:
        for line in changes:
            print(line)
        for part in parts:
            for state in part.graph.states:
                print(f"state: {state.output} is {state.input} of the next step")
        for layers in islands:
            print(f"float on the host: {', '.join(layers)}")
        print(f"{arguments.output}: {ops} ops, {size:,} bytes ({source / size:.1f}x smaller)")
    return 0


def _states(texts: list[str]) -> dict[str, str | tuple[str, float]] | None:
    """What `--state` says, None where it says nothing.

    Raises:
        CompileError: a text is no IN=OUT or IN=OUT:X.
    """
    from bitlens.graph.spec import CompileError

    states: dict[str, str | tuple[str, float]] = {}
    for text in texts:
        name, _, rest = (part.strip() for part in text.partition("="))
        output, colon, number = rest.rpartition(":")
        if not name or not rest:
            raise CompileError(f"--state: must be IN=OUT or IN=OUT:X, not {text}")
        if name in states:
            raise CompileError(f"--state: must name every input once, not {name} twice")
        try:
            states[name] = (output, float(number)) if colon else rest
        except ValueError:
            states[name] = rest  # a colon in a name
    return states or None
