# SPDX-License-Identifier: Apache-2.0
import dataclasses
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from bitlens.data.ptb import Corpus
from bitlens.models.language import LanguageModel
from bitlens.quant import Spec
from bitlens.train import RECIPES, LanguageModelling, Recipe, TrainError, perplexity, run
from bitlens.train.checkpoint import load_checkpoint
from bitlens.train.language import State

CPU = torch.device("cpu")
WORDS = 7


def small_net(spec: Spec) -> LanguageModel:
    return LanguageModel(spec, vocabulary=WORDS, hidden=16)


def small_corpus(path: object = None) -> Corpus:
    """A text in which a word is nearly known from the one before."""
    rng = np.random.default_rng(0)
    tokens = np.cumsum(rng.choice([1, 1, 1, 2], 1000)) % WORDS
    return Corpus(tokens[:800], tokens[800:900], tokens[900:], tuple("abcdefg"))


RECIPE = Recipe("small", LanguageModelling(small_corpus, 5), small_net, "w4a4,weight=mean", 8, 4, 3e-2, clip_norm=1.0)


def test_perplexity_is_that_of_one_word_after_the_other() -> None:
    torch.manual_seed(0)
    net = small_net(Spec.parse("w2a2,weight=mean")).train()
    tokens = small_corpus().test
    net.eval()
    state: State = net.initial_state(1)
    total = 0.0
    for word, following in pairwise(tokens):
        logits, state = net.step(torch.tensor([word]), state)
        total -= float(torch.log_softmax(logits.detach().double(), 1)[0, following])
    net.train()
    assert perplexity(net, tokens, CPU, chunk=7) == pytest.approx(math.exp(total / (len(tokens) - 1)), rel=1e-6)
    assert perplexity(net, tokens, CPU, chunk=1) == pytest.approx(perplexity(net, tokens, CPU), rel=1e-6)
    assert net.training


def test_streams_cover_the_text() -> None:
    seen: list[int] = []

    class Counts(torch.nn.Module):
        """Knows the next word for sure, and counts what it has seen."""

        def forward(self, tokens: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
            seen.append(tokens.numel())
            return torch.nn.functional.one_hot((tokens + 1) % WORDS, WORDS) * 1e3, ()

    for words, streams in ((101, 1), (101, 10), (109, 10), (11, 10), (2, 1)):
        seen.clear()
        assert perplexity(Counts(), np.arange(words) % WORDS, CPU, streams) == 1.0
        assert sum(seen) == (words - 1) // streams * streams
    with pytest.raises(TrainError, match=r"^text: must have at least 11 words for 10 streams, not 10$"):
        perplexity(Counts(), np.arange(10) % WORDS, CPU, 10)


@pytest.mark.parametrize("cut", [{"train": 4}, {"valid": 10}, {"test": 1}])
def test_a_text_that_is_too_short_is_told(cut: dict[str, int]) -> None:
    corpus = small_corpus()
    short = dataclasses.replace(corpus, **{part: getattr(corpus, part)[:words] for part, words in cut.items()})
    sentence = rf"^text: parts must have at least 5, 11 and 2 words, not {next(iter(cut.values()))}$"
    with pytest.raises(TrainError, match=sentence):
        LanguageModelling(lambda *_: short, 5).open(None, None, 4, 0, CPU)


def test_an_epoch_reads_every_stream_in_order_and_carries_the_state() -> None:
    task = RECIPE.task.open(None, None, 4, 0, CPU)
    text = torch.from_numpy(small_corpus().train)
    assert task.steps == 799 // 4 // 5
    inputs, targets = zip(*(task.batch(0, step) for step in range(task.steps)), strict=True)
    assert task.fewest == len(inputs[0])
    assert torch.equal(torch.cat(inputs, 1)[1], text[199 : 199 + 5 * task.steps])
    assert torch.equal(torch.cat(targets, 1)[1], text[200 : 200 + 5 * task.steps])
    torch.manual_seed(0)
    net = small_net(Spec.parse("w2a2")).eval()
    for step in range(3):
        task.loss(net, *task.batch(0, step))
    _, whole = net(torch.cat(inputs[:3], 1))
    assert all(map(torch.equal, task.state()["state"], whole))
    task.batch(1, 0)
    assert task.state()["state"] is None


def test_a_diverged_loss_has_a_perplexity() -> None:
    task = RECIPE.task.open(None, None, 4, 0, CPU)
    figures = task.train_figures({"loss": 8000.0, "seen": 10.0})
    assert figures == {"train_loss": 800.0, "train_perplexity": math.inf}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "small", RECIPE)


@pytest.mark.usefixtures("small")
def test_a_run_learns_and_continues_bit_identically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("small", out=tmp_path / "whole", threads=1, every_steps=7)
    assert result["test_perplexity"] < 4.5  # of 7 words
    batch, calls = RECIPE.task.open, 0

    class KilledError(Exception):
        pass

    def killed(self: LanguageModelling, *arguments: object) -> object:
        task = batch(*arguments)
        inner = task.batch

        def stop(epoch: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            nonlocal calls
            calls += 1
            if calls == 160:
                raise KilledError
            return inner(epoch, step)

        task.batch = stop  # type: ignore[method-assign]
        return task

    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelling, "open", killed)
        with pytest.raises(KilledError):
            run("small", out=tmp_path / "killed", threads=1, every_steps=7)
    assert (
        run("small", out=tmp_path / "killed", threads=1, every_steps=7, resume=True)["test_perplexity"]
        == result["test_perplexity"]
    )
    nets = [load_checkpoint(tmp_path / name / "checkpoint.pt")["net"] for name in ("whole", "killed")]
    assert all(torch.equal(nets[0][key], nets[1][key]) for key in nets[0])


def test_the_catalog_s_recipes_read_penn_treebank() -> None:
    for name in ("lstm_ptb", "gru_ptb"):
        assert dataclasses.is_dataclass(RECIPES[name].task)
        assert RECIPES[name].task.example().dtype == torch.int64
