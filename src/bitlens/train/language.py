# SPDX-License-Identifier: Apache-2.0
"""Language modelling: predict the next word of a long text, the state carried from batch to batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.data.ptb import Corpus
from bitlens.train.cross_entropy import cross_entropy
from bitlens.train.recipe import TrainError
from bitlens.train.task import Task, TaskSetup

__all__ = ["LanguageModelling", "perplexity"]

_CHUNK = 128  # words of every stream that are evaluated at once; the state is carried, so results do not depend on it
_STREAMS = 10  # of the validation text
State = tuple[Tensor, ...]


@torch.no_grad()
def perplexity(
    net: nn.Module, tokens: npt.NDArray[np.int64], device: torch.device, streams: int = 1, chunk: int = _CHUNK
) -> float:
    """Return exp of the mean negative log likelihood of a text's words, all but the first.

    Args:
        net: as `models.LanguageModel`; its mode is kept.
        tokens: (words,), int64, more than streams.
        device: where the net is.
        streams: with 1, the whole text is one stream (the usual figure); with more it is cut into so many that run
            side by side, each from the initial state, each predicting the first word of the next; up to streams - 1 words
            at its end are left out.
        chunk: words of a stream at once.

    Raises:
        TrainError: the text is too short.
    """
    if len(tokens) <= streams:
        raise TrainError(f"text: must have at least {streams + 1} words for {streams} streams, not {len(tokens)}")
    training = net.training
    net.eval()
    length = (len(tokens) - 1) // streams
    state: State | None = None
    total, counted = 0.0, 0
    text = torch.from_numpy(tokens)
    inputs = text[: streams * length].view(streams, length)
    targets = text[1 : streams * length + 1].view(streams, length)
    for start in range(0, length, chunk):
        logits, state = net(inputs[:, start : start + chunk].to(device), state)
        wanted = targets[:, start : start + chunk].to(device)
        total += float(F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum"))
        counted += wanted.numel()
    net.train(training)
    return _exp(total / counted)


def _exp(loss: float) -> float:
    """Return exp(loss); of a diverged net inf."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class LanguageModelling(TaskSetup):
    """The training text cut into `batch` streams read side by side; cross entropy; perplexity.

    Args:
        corpus: from a data folder to the text.
        unroll: steps through which gradients flow.
    """

    corpus: Callable[[str | Path | None], Corpus]
    unroll: int

    def open(
        self, data: str | Path | None, cache: str | Path | None, batch: int, seed: int, device: torch.device
    ) -> Task:
        """Read the text; see `TaskSetup`. A text has an order of its own, so the seed has nothing to do."""
        return _Opened(self.corpus(data), self.unroll, batch, device)

    def example(self) -> Tensor:
        """Return one word (1, 1)."""
        return torch.zeros(1, 1, dtype=torch.int64)


class _Opened(Task):
    metric = "test_perplexity"

    def __init__(self, corpus: Corpus, unroll: int, streams: int, device: torch.device) -> None:
        self.corpus, self.unroll, self.device = corpus, unroll, device
        for part, least in ((corpus.train, streams + 1), (corpus.valid, _STREAMS + 1), (corpus.test, 2)):
            if len(part) < least:
                raise TrainError(
                    f"text: parts must have at least {streams + 1}, {_STREAMS + 1} and 2 words, not {len(part)}"
                )
        self.length = (len(corpus.train) - 1) // streams
        text = torch.from_numpy(corpus.train)
        self.inputs = text[: streams * self.length].view(streams, self.length).to(device)
        self.targets = text[1 : streams * self.length + 1].view(streams, self.length).to(device)
        self.carried: State | None = None

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last words that fill no step are left out."""
        return max(1, self.length // self.unroll)

    @property
    def fewest(self) -> int:
        """Streams."""
        return len(self.inputs)

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return (words (streams, unroll), the words that follow); an epoch begins with the initial state."""
        if step == 0:
            self.carried = None
        chosen = slice(step * self.unroll, (step + 1) * self.unroll)
        return self.inputs[:, chosen], self.targets[:, chosen]

    def loss(self, net: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Return the mean cross entropy; the state after the last word is kept for the next batch."""
        logits, state = net(inputs, self.carried)
        self.carried = tuple(part.detach() for part in state)
        loss = cross_entropy(logits.flatten(0, 1), targets.flatten())
        return loss, {"loss": loss.detach().double() * targets.numel(), "seen": targets.numel()}

    def train_figures(self, sums: dict[str, float]) -> dict[str, float]:
        """Return train_loss and train_perplexity (with dropout)."""
        loss = sums["loss"] / sums["seen"]
        return {"train_loss": round(loss, 6), "train_perplexity": round(_exp(loss), 3)}

    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Return the perplexity of the validation text (10 streams) and of the whole test text (one stream)."""
        return {
            "valid_perplexity": round(perplexity(net, self.corpus.valid, self.device, _STREAMS), 3),
            "test_perplexity": round(perplexity(net, self.corpus.test, self.device), 3),
        }

    def state(self) -> dict[str, Any]:
        """Return the carried state."""
        return {"state": None if self.carried is None else [part.cpu() for part in self.carried]}

    def restore(self, state: dict[str, Any]) -> None:
        """Put the carried state back."""
        found = state["state"]
        self.carried = None if found is None else tuple(part.to(self.device) for part in found)
