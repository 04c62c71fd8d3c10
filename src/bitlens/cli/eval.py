# SPDX-License-Identifier: Apache-2.0
"""`bitlens eval`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens eval w1a2g6.bitlens --data cifar10
  bitlens eval lstm.bitlens --data ptb             perplexity of the whole test text as one sequence
  bitlens eval runs/lstm --data ptb                the trained net of a run; a language model in both forms
  bitlens eval w1a2g6.bitlens --data cifar10 --exact --run RUN     0 differing codes, or where"""

_OF_PROGRAMS = {  # flags that a run's folder does not take, and what they are where they are not given
    "recipe": None,
    "backend": "engine",
    "threads": None,
    "isa": None,
    "limit": None,
    "exact": False,
    "run": None,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", metavar="M.bitlens|RUN", help="a program, or the folder of a trained run")
    parser.add_argument("--data", metavar="DIR", help="folder of the data set")
    parser.add_argument("--recipe", metavar="NAME", help="whose test set; default: the recipe the model was trained by")
    parser.add_argument("--backend", choices=["engine", "golden"], default="engine")
    parser.add_argument("--threads", metavar="N", type=int, help="default: all cores")
    parser.add_argument("--isa", choices=["portable", "avx2", "avx512", "neon"], help="force an instruction set")
    parser.add_argument(
        "--limit", metavar="N", type=int, help="only N test images, evenly spaced, or the first N words"
    )
    parser.add_argument(
        "--exact", action="store_true", help="compare golden with the engine in every form, code by code"
    )
    parser.add_argument("--run", metavar="RUN", help="with --exact: also the trained net of this run, layer by layer")
    parser.add_argument("--cache", metavar="DIR", help="folder for decoded images")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print the accuracy."""
    if Path(arguments.model).is_dir():
        return _run_of(arguments)
    from bitlens.graph.file import Program
    from bitlens.graph.island_file import load_program
    from bitlens.results.forms import open_form
    from bitlens.results.line import accuracy, test_images

    program = load_program(arguments.model)
    recipe = arguments.recipe or program.metadata.get("recipe", "")
    if not recipe:
        from bitlens.graph.graph import GraphError

        raise GraphError(f"{arguments.model}: recipe must be given, the program does not name one; --recipe NAME")
    if isinstance(program, Program) and program.graph.states:
        return _sequence(arguments, recipe)
    images, labels = test_images(recipe, arguments.data, arguments.cache, arguments.limit)
    if arguments.exact:
        from bitlens.results.exact import prove_exact, render

        report = prove_exact(arguments.model, images, arguments.run)
        print(json.dumps(report) if arguments.json else render(report))
        return 1 if any(row["differing"] > row["ties"] for row in report["forms"]) else 0
    form = open_form(arguments.model, backend=arguments.backend, threads=arguments.threads, isa=arguments.isa)
    if labels.ndim == 3:
        from bitlens.results.segment import program_iou

        figure, value = "miou", program_iou(form, images, labels)
    else:
        figure, value = "accuracy", accuracy(form, images, labels)
    if arguments.json:
        print(json.dumps({figure: value, "images": len(labels), "backend": arguments.backend, "recipe": recipe}))
    else:
        print(f"{arguments.model}: {figure} {value:.4f} on {len(labels)} test images of {recipe}, {arguments.backend}")
    return 0


def _sequence(arguments: argparse.Namespace, recipe: str) -> int:
    from bitlens.results.forms import open_form
    from bitlens.results.sequence import program_perplexity, prove_exact_sequence, tokens_of

    tokens = tokens_of(recipe, arguments.data, arguments.limit)
    if arguments.exact:
        from bitlens.results.exact import render

        report = prove_exact_sequence(arguments.model, tokens, arguments.run)
        print(json.dumps(report) if arguments.json else render(report))
        return 1 if any(row["differing"] for row in report["forms"]) else 0
    form = open_form(arguments.model, backend=arguments.backend, threads=arguments.threads, isa=arguments.isa)
    value = program_perplexity(form, tokens)
    if arguments.json:
        print(json.dumps({"perplexity": value, "words": len(tokens), "backend": arguments.backend, "recipe": recipe}))
    else:
        print(f"{arguments.model}: perplexity {value:.4f} on {len(tokens)} test words of {recipe}, {arguments.backend}")
    return 0


def _run_of(arguments: argparse.Namespace) -> int:
    from bitlens.results.trained import evaluate_run
    from bitlens.train import TrainError

    for name, usual in _OF_PROGRAMS.items():
        if getattr(arguments, name) != usual:
            raise TrainError(
                f"{arguments.model}: --{name} must be left out for a run's folder; compile the run and give its program"
            )

    figures = evaluate_run(arguments.model, arguments.data, arguments.cache)
    if arguments.json:
        print(json.dumps(figures))
    else:
        shown = ", ".join(
            f"{key.replace('_', ' ')} {value:.4f}" for key, value in figures.items() if isinstance(value, float)
        )
        print(f"{arguments.model}: {shown} ({figures['recipe']} {figures['bits']})")
    return 0
