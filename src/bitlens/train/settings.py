# SPDX-License-Identifier: Apache-2.0
"""What decides a run: read from what `run` is called with, written to `config.json`, compared where a run is taken up again.

>>> settings = settings_of("dorefa_cifar10", bits="w1a2", epochs=9, decay="w32a32:5")
>>> settings.config()["decay"]
'w32a32g32:5'
"""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from bitlens.core.processor import processor_name
from bitlens.quant import Spec
from bitlens.train.catalog import find_recipe
from bitlens.train.classify import Classification
from bitlens.train.classify_files import FileClassification
from bitlens.train.exchange import FLOAT
from bitlens.train.float_free import Options
from bitlens.train.group import process_count
from bitlens.train.recipe import Recipe, TrainError
from bitlens.train.schedule import Stage, plan_stages

__all__ = ["KEYS", "METHOD", "REQUIRED", "Key", "Settings", "place_of", "settings_of", "spelled"]

_MOST_SEED = 2**32 - 1  # of numpy
REQUIRED = "required"
# 1: until 2026-11-27 batch norms started at slope and intercept 1/2, steps of recurrent layers were not centred, language
# models dropped 0.2 of the codes with weights of 4 bits and half of them with more (now 0.15, with more than 4 bits 0.3 until
# 2026-11-28), and steps without float rounded gradients down and, until 2026-11-28, were of momentum alone.
METHOD = 2


class Key(NamedTuple):
    """Of `config.json`; a run goes on only with the same values of all `KEYS`.

    Args:
        kind: of its value.
        absent: what a configuration without it means; `REQUIRED`: it must be there.
        of_row: whether a finished run serves a table's row only with the value that the row is trained with.
        least: of a whole number; others are positive.
    """

    kind: type
    absent: Any
    of_row: bool
    least: int = 1

    def broken_by(self, value: object) -> str:
        """Return the rule that a value of `config.json` breaks, "" if none."""
        if self.kind is str:
            return "" if isinstance(value, str) else "a string"
        if self.kind is bool:
            return "" if isinstance(value, bool) else "true or false"
        if self.kind is float:
            return (
                ""
                if isinstance(value, int | float) and value is not True and 0 < value < math.inf
                else "a positive number"
            )
        number = isinstance(value, int) and not isinstance(value, bool) and value >= self.least
        return "" if number else f"a whole number of at least {self.least}"


KEYS = {
    "recipe": Key(str, REQUIRED, of_row=True),
    "method": Key(int, 1, of_row=False),  # the tables' page tells which rows are older
    "bits": Key(str, REQUIRED, of_row=True),
    "epochs": Key(int, REQUIRED, of_row=False),  # with the run's own bits; the table tells how many there were in all
    "seed": Key(int, REQUIRED, of_row=True, least=0),
    "batch": Key(int, REQUIRED, of_row=True),
    "rate": Key(float, REQUIRED, of_row=True),
    "decay": Key(str, None, of_row=True),
    "float_free": Key(str, None, of_row=True),
    "init": Key(str, None, of_row=True),
    # How it is computed, not what is trained:
    "device": Key(str, REQUIRED, of_row=False),
    "threads": Key(int, REQUIRED, of_row=False),
    "processes": Key(int, 1, of_row=False),
    "accumulate": Key(int, 1, of_row=False),
    "wire_bits": Key(int, FLOAT, of_row=True),  # after the processes, whose sentence comes first
    "bf16": Key(bool, False, of_row=False),
}


@dataclass(frozen=True)
class Settings:
    """Of a run, wherever it is trained.

    Args:
        recipe: with the run's batch and rate.
        stages: as of `plan_stages`; the last one has the run's bits.
        seed, init, accumulate, wire_bits, bf16: see `run`.
        float_free: None for a run as usual.
    """

    recipe: Recipe
    stages: tuple[Stage, ...]
    seed: int
    init: str | None
    float_free: Options | None
    accumulate: int
    wire_bits: int
    bf16: bool

    def config(self) -> dict[str, Any]:
        """Return the values by key; a key whose value is None or False is left out."""
        values = {
            "recipe": self.recipe.name,
            "method": METHOD,
            "bits": str(self.stages[-1].spec),
            "epochs": self.stages[-1].epochs,
            "seed": self.seed,
            "batch": self.recipe.batch,
            "rate": self.recipe.rate,
            "accumulate": self.accumulate,
            "bf16": self.bf16,
            "wire_bits": self.wire_bits,
            "decay": ",".join(f"{stage.spec.middle}:{stage.epochs}" for stage in self.stages[:-1]) or None,
            "float_free": None if self.float_free is None else str(self.float_free),
            "init": self.init,
        }
        return {key: value for key, value in values.items() if value is not None and value is not False}


def settings_of(
    recipe: str,
    *,
    bits: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    init: str | None = None,
    decay: str | None = None,
    delay: int = 0,
    batch: int | None = None,
    rate: float | None = None,
    float_free: str = "",
    accumulate: int = 1,
    wire_bits: int = FLOAT,
    bf16: bool = False,
) -> Settings:
    """Return the settings of a run that is called so; see `run`.

    Raises:
        TrainError: there is no such recipe, or a setting is out of range or does not go with another.
        bitlens.quant.QuantError: the spec string is wrong.
    """
    chosen = find_recipe(recipe)
    if batch is not None:
        if batch < 1:
            raise TrainError(f"batch: must be at least 1, not {batch}")
        chosen = replace(chosen, batch=batch)
    if rate is not None:
        if not 0 < rate < math.inf:
            raise TrainError(f"rate: must be a positive number, not {rate}")
        chosen = replace(chosen, rate=rate)
    length = chosen.epochs if epochs is None else epochs
    stages = plan_stages(Spec.parse(bits or chosen.bits), length, decay, delay)
    if epochs is not None and stages == plan_stages(Spec.parse(bits or chosen.bits), length + 1, decay, delay):
        raise TrainError(f"epochs: must be left out where every stage of the decay names its own, not {epochs}")
    for stage in stages:
        chosen.check(chosen.name, stage.spec)
    if not 0 <= seed <= _MOST_SEED:
        raise TrainError(f"seed: must be 0 to {_MOST_SEED}, not {seed}")
    options = Options.parse(float_free) if float_free else None
    if options is not None:
        if not isinstance(chosen.task, Classification | FileClassification):
            raise TrainError(f"{chosen.name}: must classify images to train without float; train without --float-free")
        options.check_rate(chosen.rate)
        if bf16:
            raise TrainError("bf16: must be off to train without float, whose products are exact; train without --bf16")
    return Settings(chosen, stages, seed, init, options, accumulate, wire_bits, bf16)


def spelled(value: object) -> str:
    """Return how a sentence spells a value of `KEYS`."""
    return (
        {None: "left out", False: "off", True: "on"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def place_of(device: torch.device) -> dict[str, Any]:
    """Return where this process trains on a device: the rest of `KEYS`, and what is written for the record alone."""
    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "processes": process_count(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": processor_name(),
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
    }
