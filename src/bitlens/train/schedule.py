# SPDX-License-Identifier: Apache-2.0
"""Schedules of bit widths: stages of a run, each starting from the weights of the one before.

Bit-width decay goes from wide to narrow (`w32a32:5,w8a8:3,w4a4:3`, then the run's own bits); delayed quantization is
the decay with one float stage.
Source: arXiv 1606.06160 section 3.2 ("initialized" rows), arXiv 1612.00212.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bitlens.quant import Bits, Spec
from bitlens.quant.spec import FLOAT
from bitlens.train.recipe import TrainError

__all__ = ["Stage", "plan_stages"]


@dataclass(frozen=True)
class Stage:
    """Epochs under one spec."""

    spec: Spec
    epochs: int


def plan_stages(spec: Spec, epochs: int, decay: str | None = None, delay: int = 0) -> tuple[Stage, ...]:
    """Return the stages of a run.

    Args:
        spec: of the last stage.
        epochs: of the last stage.
        decay: the stages before it, `BITS:EPOCHS,...`; their other keys are those of `spec`.
        delay: float epochs before it; the same as the decay `w32a32:DELAY`.

    Raises:
        TrainError: a number of epochs is below 1, the decay has another form, or both are given.
        bitlens.quant.QuantError: bits are out of range.
    """
    if epochs < 1:
        raise TrainError(f"epochs: must be at least 1, not {epochs}")
    if delay < 0:
        raise TrainError(f"delay: must be at least 0 epochs, not {delay}")
    if decay and delay:
        raise TrainError(f"delay: must be 0 beside a decay, not {delay}")
    if delay:
        decay = f"w{FLOAT}a{FLOAT}:{delay}"
    stages = [_stage(spec, part) for part in decay.split(",")] if decay else []
    return (*stages, Stage(spec, epochs))


def _stage(spec: Spec, text: str) -> Stage:
    bits, colon, count = text.strip().partition(":")
    if not colon or not count.isdecimal() or int(count) < 1:
        raise TrainError(f'decay: every stage must look like w8a8:3 (bits:epochs), not "{text.strip()}"')
    middle = Bits.parse("decay", bits)
    stage = replace(spec, middle=middle)
    if middle.weight == FLOAT and middle.activation == FLOAT:
        stage = replace(stage, first=Bits(FLOAT), last=Bits(FLOAT))
    return Stage(stage, int(count))
