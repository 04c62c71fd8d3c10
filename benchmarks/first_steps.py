# SPDX-License-Identifier: Apache-2.0
"""How fast a recipe's net learns at first: the mean loss of its first steps, under other starts or steps.

    python benchmarks/first_steps.py dorefa_cifar10_c --data cifar10 --bits w4a4 --start 0.5,0.5 --start 0.3333,0.1667
    python benchmarks/first_steps.py dorefa_cifar10_c --data cifar10 --bits w1a2g4 --parts 3 --float-free masters=12
    python benchmarks/first_steps.py lstm_ptb --data ptb --bits w2a3,weight=mean --steps 600 --bf16 --as-they-are --rate 4e-3

Data, schedule and seed are those of `bitlens train`. `--start` sets slope and intercept of the batch norms in front of
activations; `--as-they-are` takes the steps of recurrent layers without centring, see `bitlens.train.centred`;
`--float-free` takes steps on integers alone, see `bitlens train`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from bitlens.nn import BatchNorm2d
from bitlens.quant import Spec
from bitlens.train import TrainError, find_recipe
from bitlens.train.centred import CentredSteps
from bitlens.train.float_free import FloatFree, Options
from bitlens.train.memory import keep_memory
from bitlens.train.products import products
from bitlens.train.recipe import Recipe
from bitlens.train.task import Task

SEED = 0


def start_norms(net: nn.Module, slope: float, intercept: float) -> None:
    """Let batch norms in front of activations start otherwise; those in front of joins start at 0 and stay."""
    for norm in net.modules():
        if isinstance(norm, BatchNorm2d) and bool(norm.bias.any()):
            nn.init.constant_(norm.weight, slope)
            nn.init.constant_(norm.bias, intercept)


def losses(recipe: Recipe, task: Task, net: nn.Module, steps: int, centred: bool, bf16: bool) -> list[float]:
    """Train so many steps, and return the loss of each."""
    optimizer, found = recipe.optimizer_of(net), []
    around = CentredSteps(net if centred else nn.Identity())
    net.train()
    for step in range(steps):
        epoch, place = divmod(step, task.steps)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_at(step / (recipe.epochs * task.steps))
        optimizer.zero_grad()
        with products(bf16):
            loss, _ = task.loss(net, *task.batch(epoch, place))
            loss.backward()  # type: ignore[no-untyped-call]
        around.step(optimizer, recipe.clip_norm)
        found.append(float(loss.detach()))
    return found


def float_free_losses(recipe: Recipe, task: Task, net: nn.Module, steps: int, options: Options) -> list[float]:
    """Train so many steps on integers alone, and return the loss of each."""
    free, found = FloatFree(net, options), []
    for step in range(steps):
        free.set_rate(recipe.rate_at(step / (recipe.epochs * task.steps)))
        loss, _ = free.learn(*task.batch(*divmod(step, task.steps)))
        found.append(float(loss))
    return found


def main() -> None:
    """Print the mean loss of each part of the steps."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--bits", action="append", help="default: the recipe's; again for more")
    parser.add_argument(
        "--start", action="append", metavar="SLOPE,INTERCEPT", help="default: the net's; again for more"
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--parts", type=int, default=2)
    parser.add_argument("--rate", type=float, help="default: the recipe's")
    parser.add_argument("--as-they-are", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--float-free", metavar="OPTIONS", help="such as masters=12")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.parts < 1 or arguments.steps < 1 or arguments.steps % arguments.parts:
        parser.error(f"steps: must be a multiple of --parts {arguments.parts}, not {arguments.steps}")
    try:
        options = None if arguments.float_free is None else Options.parse(arguments.float_free)
    except TrainError as error:
        parser.error(str(error))
    torch.set_num_threads(arguments.threads)
    keep_memory()
    recipe = find_recipe(arguments.recipe)
    recipe = replace(recipe, rate=arguments.rate or recipe.rate)
    length = arguments.steps // arguments.parts
    for bits in arguments.bits or [recipe.bits]:
        for start in arguments.start or [None]:
            task = recipe.task.open(arguments.data, None, recipe.batch, SEED, torch.device("cpu"))
            torch.manual_seed(SEED)
            net = recipe.fresh(Spec.parse(bits))
            if start is not None:
                start_norms(net, *map(float, start.split(",")))
            if options is not None:
                found = float_free_losses(recipe, task, net, arguments.steps, options)
            else:
                found = losses(recipe, task, net, arguments.steps, not arguments.as_they_are, arguments.bf16)
            means = [round(statistics.fmean(found[p * length : (p + 1) * length]), 3) for p in range(arguments.parts)]
            steps = "as they are" if arguments.as_they_are else "centred"
            steps = f"without float, {options}" if options is not None else steps
            row = {
                "recipe": recipe.name,
                "bits": bits,
                "start": start,
                "steps": steps,
                "rate": recipe.rate,
                "loss": means,
            }
            row |= {"count": arguments.steps, "bf16": arguments.bf16, "threads": arguments.threads}
            row |= {"torch": torch.__version__, "machine": platform.machine()}
            text = f"{bits}, start {start or 'as it is'}, steps {steps}, rate {recipe.rate}: {means}"
            print(json.dumps(row) if arguments.json else text, flush=True)


if __name__ == "__main__":
    main()
