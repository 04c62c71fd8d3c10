# SPDX-License-Identifier: Apache-2.0
"""Mixed precision: bits for every layer of a trained net, under a budget of bit operations or of bytes.

Sensitivity: the loss on a few training batches when one middle layer alone has fewer bits and all others keep the widest. Then
greedily, from the widest on, the layer takes its next narrower bits whose predicted loss rises least for what it saves. Every
point of that path is measured, and so is every uniform choice; of all these within the budget the one of the least loss is
chosen. Nothing is trained: the spec that comes out is for `bitlens train --bits ... --init RUN`.

    >>> sweep("runs/w8a8", data="cifar10", budget="40%")["bits"]      # doctest: +SKIP
    'w8a8g32,first=w8a8g32,...,layers=w4a4/w8a8/w2a2'

Batch norms use the statistics of the batch, for the running ones are those of other bits.

Source: the idea of layer-wise sensitivity, Dong et al., HAWQ, arXiv 1905.03696; here the loss itself is measured, no Hessian.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bitlens.nn.layer import QuantLayer
from bitlens.quant import Bits, Spec
from bitlens.quant.spec import FLOAT
from bitlens.train.catalog import find_recipe
from bitlens.train.folder import read_config, read_weights
from bitlens.train.recipe import Recipe, TrainError
from bitlens.train.start import start_from
from bitlens.train.task import Task
from bitlens.train.threads import set_threads

__all__ = ["COSTS", "assign", "choose", "layer_sizes", "limit_of", "sweep"]

COSTS = ("bit-operations", "bytes")
Levels = tuple[int, ...]  # of every middle layer, 0 for the widest candidate


def sweep(
    run: str | Path,
    data: str | Path | None = None,
    budget: str = "50%",
    cost: str = "bit-operations",
    candidates: str = "w8a8,w4a4,w3a3,w2a2,w1a2",
    batches: int = 4,
    cache: str | Path | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Choose bits for every middle layer of a trained run.

    Args:
        run: folder of the run whose float weights are tried at other bits.
        data: folder of the data set.
        budget: most that the whole net may cost: a number, or a share such as "40%" of what it costs at the widest bits.
        cost: "bit-operations": weight bits times activation bits of every product of one input; "bytes": of the packed weights
            in a compiled program.
        candidates: bits that a middle layer may have, wide to narrow.
        batches: of the calibration subset, training batches of the run's own size.
        cache: folder for decoded images.
        threads: torch's; all cores when None.

    Returns:
        recipe, run, cost, budget; `bits`: the spec string; `chosen`: its point; `path` and `uniform`: all points, each with
        cost, loss and bits; `layers`: name, products and weights of one input, and the loss at each candidate.

    Raises:
        TrainError: the folder holds no run, the budget cannot be met, or an argument is wrong.
        bitlens.quant.QuantError: candidates are no bits, or none for the run's quantizers.
        bitlens.data.DataError: the data is missing or damaged.
    """
    if cost not in COSTS:
        raise TrainError(f"cost: must be one of {', '.join(COSTS)}, not {cost}")
    if batches < 1:
        raise TrainError(f"batches: must be at least 1, not {batches}")
    set_threads(threads)
    config = read_config(run)
    recipe = replace(find_recipe(config["recipe"]), batch=config["batch"])
    trained = Spec.parse(config["bits"])
    levels = _candidates(candidates, cost, trained.middle.gradient)
    first, last = _compiled(trained.first), _compiled(trained.last)
    widest = replace(trained, middle=levels[0], first=first, last=last, layers=())
    recipe.check(recipe.name, widest)
    weights = read_weights(run).values
    task = recipe.task.open(data, cache, recipe.batch, config["seed"], torch.device("cpu"))
    if task.carried != ():
        raise TrainError(f"{recipe.name}: must have no state that is carried to choose bits, as texts do")
    sizes, others = layer_sizes(recipe, widest)
    if not sizes:
        raise TrainError(f"{recipe.name}: must have middle layers to choose bits for, not none")
    for level in range(len(levels)):  # what no net can have is told before any is measured
        recipe.fresh(_mixed(widest, levels, (level,) * len(sizes)))
    costs = [[_cost(size, bits, cost) for bits in levels] for size in sizes.values()]
    fixed = sum(_cost(size, bits, cost) for size, bits in others)
    limit = limit_of(budget, fixed + sum(layer[0] for layer in costs), fixed + sum(layer[-1] for layer in costs))

    measured = [task.batch(0, step) for step in range(min(batches, task.steps))]
    count = len(sizes)
    with _measuring(recipe, widest, levels, weights, str(run), task, measured) as measure:
        uniform = [(level,) * count for level in range(len(levels))]
        alone = [[_one(count, layer, level) for level in range(len(levels))] for layer in range(count)]
        losses = [[measure(point) for point in points] for points in alone]
        path = assign(costs, losses)
        points = {
            point: {
                "cost": fixed + sum(costs[layer][level] for layer, level in enumerate(point)),
                "loss": round(measure(point), 6),
                "layers": "/".join(_short(levels[level]) for level in point),
            }
            for point in (*path, *uniform)
        }
    chosen = choose(points, limit)
    return {
        "recipe": recipe.name,
        "run": str(run),
        "cost": cost,
        "budget": limit,
        "bits": str(_mixed(widest, levels, chosen)),
        "chosen": points[chosen],
        "path": [points[point] for point in path],
        "uniform": [points[point] for point in uniform],
        "layers": [
            {
                "name": name,
                "products": size[0],
                "weights": size[1],
                "loss": dict(zip(map(_short, levels), row, strict=True)),
            }
            for (name, size), row in zip(sizes.items(), losses, strict=True)
        ],
    }


def assign(costs: Sequence[Sequence[float]], losses: Sequence[Sequence[float]]) -> list[Levels]:
    """Return the greedy path: the level of every layer, from all 0 to all last, one layer one level further at a time.

    Args:
        costs: of every layer at every level, falling.
        losses: of the net with this layer at this level, the others at level 0.
    """
    levels = [0] * len(costs)
    path = [tuple(levels)]
    while True:
        moves = [
            ((losses[i][at + 1] - losses[i][at]) / (costs[i][at] - costs[i][at + 1]), i)
            for i, at in enumerate(levels)
            if at + 1 < len(costs[i])
        ]
        if not moves:
            return path
        levels[min(moves)[1]] += 1
        path.append(tuple(levels))


def choose(points: Mapping[Levels, Mapping[str, Any]], limit: float) -> Levels:
    """Return the point of the least loss, of several the cheapest, among those whose cost is at most the limit."""
    within = {point: values for point, values in points.items() if values["cost"] <= limit}
    return min(within, key=lambda point: (within[point]["loss"], within[point]["cost"]))


def layer_sizes(recipe: Recipe, spec: Spec) -> tuple[dict[str, tuple[int, int]], list[tuple[tuple[int, int], Bits]]]:
    """Return (products, weights) of one input: of every middle layer by name in the spec's order; of the others with bits.

    Products with the zeros that a transposed convolution inserts count, and those of a layer that is called several times
    all do, as in `bitlens inspect`.
    """
    net = recipe.fresh(spec).eval()
    found: dict[str, tuple[int, int]] = {}

    def look(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            assert isinstance(layer, QuantLayer)
            before, _ = found.get(name, (0, 0))
            found[name] = (before + layer.weight[0].numel() * output[0].numel(), layer.weight.numel())

        return hook

    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, QuantLayer)}
    for name, layer in layers.items():
        layer.register_forward_hook(look(name))
    with torch.no_grad():
        net(recipe.task.example())
    middle = sorted(
        (name for name, layer in layers.items() if layer.number is not None), key=lambda n: layers[n].number or 0
    )
    ends = [(found[name], _bits_of(layer)) for name, layer in layers.items() if layer.number is None]
    return {name: found[name] for name in middle}, ends


def limit_of(budget: str, most: float, least: float) -> float:
    """Return the budget as a cost, at least the least; a share is one of the most.

    Raises:
        TrainError: it is no such number, or below the least.
    """
    try:
        limit = float(budget[:-1]) * most / 100 if budget.endswith("%") else float(budget)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise TrainError(f"budget: must be a number or a share such as 40%, not {budget}")
    if limit < least:
        share = math.ceil(1000 * least / most) / 10  # rounded up, so that it will do
        share = share if share * most / 100 >= least else share + 0.1
        raise TrainError(
            f"budget: must be at least {math.ceil(least)} ({share:.1f}%), every layer at its narrowest, not {budget}"
        )
    return limit


def _compiled(end: Bits) -> Bits:
    """Bits of the first or the last layer in a program: 8 where it was float."""
    return Bits(8, 8) if FLOAT in (end.weight, end.activation) else end


def _bits_of(layer: QuantLayer) -> Bits:
    """Bits of a layer as it is; an input that is quantized before it has 8."""
    weight = FLOAT if layer.weight_grid is None else layer.weight_grid.bits
    return Bits(weight, 8 if layer.input_grid is None else layer.input_grid.bits)


def _candidates(text: str, cost: str, gradient: int) -> list[Bits]:
    """Read the bits that a layer may have; gradients are the run's."""
    levels = [Bits.parse("candidates", part) for part in text.split(",")]
    if any(FLOAT in (bits.weight, bits.activation) or bits.gradient != FLOAT for bits in levels):
        raise TrainError(f"candidates: must be bits of weights and activations such as w4a4, not {text}")
    prices = [_cost((1, 1), bits, cost) for bits in levels]
    if len(levels) < 2 or any(after >= before for before, after in itertools.pairwise(prices)):
        raise TrainError(f"candidates: must be at least two, each of less {cost} than the one before, not {text}")
    return [replace(bits, gradient=gradient) for bits in levels]


def _cost(size: tuple[int, int], bits: Bits, cost: str) -> float:
    products, weights = size
    return products * bits.weight * bits.activation if cost == "bit-operations" else weights * bits.weight / 8


def _one(count: int, layer: int, level: int) -> Levels:
    return tuple(level if at == layer else 0 for at in range(count))


def _short(bits: Bits) -> str:
    return f"w{bits.weight}a{bits.activation}"


def _mixed(widest: Spec, levels: Sequence[Bits], point: Sequence[int]) -> Spec:
    return replace(widest, layers=tuple(levels[level] for level in point))


@contextmanager
def _measuring(
    recipe: Recipe,
    widest: Spec,
    levels: Sequence[Bits],
    weights: dict[str, Tensor],
    source: str,
    task: Task,
    batches: Sequence[tuple[Tensor, Tensor]],
) -> Iterator[Callable[[Levels], float]]:
    """Give a function from levels to the mean loss, with a progress bar; no levels are measured twice."""
    known: dict[Levels, float] = {}
    with tqdm(desc="sweep", unit=" nets", disable=not sys.stderr.isatty(), leave=False) as bar:

        @torch.no_grad()
        def measure(point: Levels) -> float:
            if point not in known:
                net = recipe.fresh(_mixed(widest, levels, point))
                start_from(net, weights, source, same_bits=False)
                net.eval()
                for module in net.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.train()
                known[point] = sum(float(task.loss(net, *batch)[0]) for batch in batches) / len(batches)
                bar.update()
            return known[point]

        yield measure
