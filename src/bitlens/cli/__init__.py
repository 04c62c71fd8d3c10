# SPDX-License-Identifier: Apache-2.0
"""The command line: one file a command, each thin: it parses, calls and prints.

A user's mistake is one line on standard error and exit code 2; never a traceback.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from bitlens.core.errors import is_refusal

__all__ = ["main"]

COMMANDS = {
    "train": "train a recipe's net",
    "sweep": "choose bits for every layer of a trained run under a budget",
    "export": "write a trained run as QONNX",
    "compile": "turn a QONNX model into an integer program",
    "run": "run a program on images or arrays",
    "eval": "measure a program's accuracy on a test set",
    "inspect": "show a program's layers, bits, bytes and kernels",
    "diff": "find the first layer and code that differ between two forms of a model",
    "plot": "draw filters, histograms of weights, training curves, segmentations or quantizers",
    "bench": "time a program, beside ONNX Runtime where asked",
    "reproduce": "measure a table of figures again",
    "fpga": "turn a program into a streaming accelerator for an FPGA, or simulate one",
    "camera": "find faces in videos and keep the best shots: camera scan",
    "demo": "make a clip of one photograph and keep the best shots of its face",
}

# What must be installed for a module that is missing.
EXTRAS = {
    "torch": "train",
    "tqdm": "train",
    "PIL": "train",
    "onnx": "compile",
    "onnxscript": "export",
    "onnxruntime": "examples",
    "sklearn": "examples",
    "matplotlib": "plots",
    "cv2": "peers",
    "openvino": "peers",
    "yuface": "peers",
    "av": "camera",
    "skimage": "demo",
    "ray": "ray",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, 1 (a comparison failed), 2 (a user's mistake) or 130 (interrupted).

    Raises:
        SystemExit: SIGTERM or SIGHUP asked to leave; code 143 or 129.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="bitlens",
        description="Smart embedded vision with quantized neural networks.",
        epilog="example: bitlens demo -o demo   (bitlens COMMAND --help tells each command's flags)",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in COMMANDS.items():
        child = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", formatter_class=argparse.RawTextHelpFormatter
        )
        if name in words[:1]:  # only the command that runs is imported
            module = import_module(f"bitlens.cli.{name}")
            module.add_arguments(child)
            child.epilog = f"example:\n  {module.EXAMPLE}"
    arguments = parser.parse_args(words)
    if arguments.version:
        from importlib.metadata import version

        print(f"bitlens {version('bitlens')}")
        return 0
    if arguments.command is None:
        parser.print_help()
        return 2
    return _guarded(arguments)


def _guarded(arguments: argparse.Namespace) -> int:
    try:
        with _unwinding():
            return int(import_module(f"bitlens.cli.{arguments.command}").run(arguments))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        if extra != "demo" and arguments.command in ("camera", "demo"):
            extra = "ray" if extra == "ray" else arguments.command  # these bring all that they need
        return _fail(f"{arguments.command}: {error.name} must be installed; pip install 'bitlens[{extra}]'")
    except OSError as error:
        where = error.filename if error.filename is not None else arguments.command
        return _fail(f"{where}: {error.strerror or error}")
    except ValueError as error:
        if not is_refusal(error):
            raise
        return _fail(str(error))


@contextmanager
def _unwinding() -> Iterator[None]:
    """Remove what is half-written on signals that would end the process at once; ignored ones stay ignored."""
    ending = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in ending:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _fail(sentence: str) -> int:
    print(" ".join(sentence.split()), file=sys.stderr)
    return 2
