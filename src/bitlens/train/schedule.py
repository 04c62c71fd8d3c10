# SPDX-License-Identifier: Apache-2.0
"""Schedules of bit widths: stages of a run, each starting from the weights of the one before.

Bit-width decay goes from wide to narrow (`w32a32:5,w8a8:3,w4a4:3`, then the run's own bits); delayed quantization is
the decay with one float stage. Every stage has an optimizer and a course of the learning rate of its own.

    >>> [stage.epochs for stage in plan_stages(Spec.parse("w2a2"), 10, "w32a32:4,w8a8,w2a2")]
    [4, 5, 5]

Source: arXiv 1606.06160 section 3.2 ("initialized" rows), arXiv 1612.00212.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bitlens.quant import Bits, Spec
from bitlens.quant.spec import FLOAT, FORM
from bitlens.train.recipe import TrainError

__all__ = ["Stage", "plan_stages"]

_COUNT = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class Stage:
    """Epochs under one spec."""

    spec: Spec
    epochs: int


def plan_stages(spec: Spec, epochs: int, decay: str | None = None, delay: int = 0) -> tuple[Stage, ...]:
    """Return the stages of a run.

    Args:
        spec: of the last stage.
        epochs: divided over the stages that name none, the last one among them; what is left over goes to the last.
        decay: the stages, `BITS:EPOCHS` or `BITS`, comma-separated; their other keys are those of `spec`, and so are the
            bits of gradients of a quantized stage that names none. The last stage, whose bits are those of `spec`, may be
            written or left out.
        delay: float epochs before it; the same as the decay `w32a32:DELAY`.

    Raises:
        TrainError: a number of epochs is too small, the decay has another form, or both are given.
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
    parts = [_part(part.strip(), spec.middle.gradient) for part in decay.split(",")] if decay else []
    if not parts or parts[-1][0] != spec.middle:
        parts.append((spec.middle, None))
    open_ended = [i for i, (_, count) in enumerate(parts) if count is None]
    if epochs < len(open_ended):
        raise TrainError(f"epochs: must be at least {len(open_ended)} for so many stages, not {epochs}")
    counts = [count if count is not None else epochs // len(open_ended) for _, count in parts]
    if open_ended:
        counts[open_ended[-1]] += epochs % len(open_ended)
    return tuple(Stage(_spec(spec, middle), count) for (middle, _), count in zip(parts, counts, strict=True))


def _part(text: str, gradient: int) -> tuple[Bits, int | None]:
    """Read `w8a8:3` or `w8a8`, with so many bits of gradients where it is quantized and names none."""
    bits, colon, count = text.partition(":")
    if not FORM.fullmatch(bits.strip()) or (colon and (not _COUNT.fullmatch(count) or int(count) < 1)):
        raise TrainError(f'decay: every stage must look like w8a8:3 (bits:epochs) or w8a8, not "{text}"')
    found = Bits.parse("decay", bits)
    if "g" not in bits and FLOAT not in (found.weight, found.activation):
        found = replace(found, gradient=gradient)
    return found, int(count) if colon else None


def _spec(spec: Spec, middle: Bits) -> Spec:
    """Return the spec with other bits; a float stage is float at its ends too."""
    if middle == spec.middle:
        return spec
    if middle.weight == FLOAT and middle.activation == FLOAT:
        return replace(spec, middle=middle, first=Bits(FLOAT), last=Bits(FLOAT), layers=())
    return replace(spec, middle=middle, layers=())
