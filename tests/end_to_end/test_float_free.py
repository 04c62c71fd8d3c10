# SPDX-License-Identifier: Apache-2.0
"""A net trained without float, from the command to the integers of the engine."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bitlens
from bitlens.cli import main
from bitlens.data import digits
from bitlens.models.layers import Layers
from bitlens.quant import Spec
from bitlens.results.compare import compare_net
from bitlens.results.line import export_run, frozen_run
from bitlens.train import RECIPES, TrainError, find_recipe, load_run, run
from bitlens.train.checkpoint import load_checkpoint, save_checkpoint
from bitlens.train.float_free import Options
from bitlens.train.loop import Trainer
from bitlens.train.schedule import plan_stages


def test_a_run_without_float_compiles_bit_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    flags = ["--epochs", "2", "--threads", "1", "--device", "cpu", "--float-free", "masters=10", "--json"]
    assert main(["train", "digits", "--out", str(out), "--bits", "w1a2g4", *flags]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["test_accuracy"] > 0.85
    assert json.loads((out / "config.json").read_text())["float_free"] == "masters=10,norm=l1,rounding=stochastic"
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert lines[1]["train_loss"] < lines[0]["train_loss"]

    net = load_run(out)
    for name, parameter in net.named_parameters():
        whole = parameter.detach() * (2**9 if parameter.dim() > 1 else 2**12)
        assert torch.equal(whole, whole.round()), name
        assert whole.abs().max() < 2**15, name

    program = bitlens.compile(export_run(out))
    images = digits().test.images
    report = compare_net(frozen_run(out), program, images)
    assert report["codes"] > 0
    assert report["differing"] == 0
    found = {isa: next(iter(bitlens.Session(program, isa=isa).run(images).values())) for isa in (None, "portable")}
    assert np.array_equal(found[None], found["portable"])
    share = float((found[None].reshape(len(images), -1).argmax(1) == digits().test.labels).mean())
    assert round(share, 6) == result["test_accuracy"]


class Turned(nn.Module):
    """Batch norms defined in another order than called."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        layers = Layers(spec)
        self.conv0, self.conv1 = layers.first(1, 2, 3), layers.conv(2, 2, 3)
        self.bn1, self.bn0 = layers.norm(2), layers.norm(2)
        self.fc = layers.last(2 * 4 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.bn1(self.conv1(self.bn0(self.conv0(x)))).flatten(1))
        return scores


class Cut(Trainer):
    """A trainer that is stopped behind its second checkpoint."""

    saves = 0

    def save(self) -> None:
        super().save()
        self.saves += 1
        if self.saves == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("older", [False, True])
def test_a_run_without_float_continues_bit_identically(tmp_path: Path, older: bool) -> None:
    """Checkpoints of older versions hold the state of an optimizer that did nothing."""
    recipe = find_recipe("digits")
    cpu = torch.device("cpu")
    stages = plan_stages(Spec.parse("w1a2g4"), 1)

    def trainer(kind: type[Trainer], name: str) -> Trainer:
        (tmp_path / name).mkdir(exist_ok=True)
        torch.manual_seed(0)
        task = recipe.task.open(None, None, 32, 0, cpu)
        return kind(recipe, stages, task, tmp_path / name, cpu, every_steps=10, float_free=Options(8))

    whole = trainer(Trainer, "whole")
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        trainer(Cut, "cut").run()
    path = tmp_path / "cut" / "checkpoint.pt"
    checkpoint = load_checkpoint(path)
    assert checkpoint["optimizer"] is None
    if older:
        checkpoint["optimizer"] = recipe.optimizer_of(recipe.fresh(stages[0].spec)).state_dict()
        save_checkpoint(path, checkpoint)
    torch.manual_seed(123)
    continued = trainer(Trainer, "cut")
    continued.restore()
    assert (continued.epoch, continued.step) == (0, 20)
    continued.run()
    assert whole.free is not None
    assert continued.free is not None
    assert torch.equal(whole.free.masters.value, continued.free.masters.value)
    assert torch.equal(whole.free.masters.momentum, continued.free.masters.momentum)
    assert torch.equal(whole.free.masters.magnitude, continued.free.masters.magnitude)
    for a, b in zip(whole.net.state_dict().values(), continued.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_run_by_steps_of_momentum_alone_is_not_continued(tmp_path: Path) -> None:
    flags: dict[str, Any] = {
        "out": tmp_path / "run",
        "epochs": 1,
        "bits": "w1a2g4",
        "threads": 1,
        "batch": 512,
        "float_free": "masters=8",
    }
    run("digits", **flags)
    path = tmp_path / "run" / "checkpoint.pt"
    checkpoint = load_checkpoint(path)
    del checkpoint["float_free"]["magnitudes"]
    save_checkpoint(path, checkpoint)
    why = "its steps were of momentum alone, as they are no longer; start anew"
    with pytest.raises(TrainError, match=f"^{re.escape(f'{path}: must be a checkpoint of this net ({why})')}$"):
        run("digits", resume=True, **flags)


def test_a_run_is_not_continued_with_floats(tmp_path: Path) -> None:
    flags = {"out": tmp_path / "run", "epochs": 1, "bits": "w1a2g4", "threads": 1, "batch": 512}
    run("digits", float_free="masters=8", **flags)  # type: ignore[arg-type]
    with pytest.raises(TrainError, match=r"float_free must be masters=8,norm=l1,rounding=stochastic to continue"):
        run("digits", resume=True, **flags)  # type: ignore[arg-type]


def test_it_starts_from_the_weights_of_a_float_net(tmp_path: Path) -> None:
    flags = {"epochs": 1, "bits": "w1a2g4", "threads": 1}
    run("digits", out=tmp_path / "float", **flags)  # type: ignore[arg-type]
    before = load_run(tmp_path / "float")
    run("digits", out=tmp_path / "run", init=tmp_path / "float", rate=1e-9, float_free="on", **flags)  # type: ignore[arg-type]
    for name, after in load_run(tmp_path / "run").named_parameters():
        assert (after - before.get_parameter(name)).abs().max() <= 2.0**-12, name


@pytest.mark.parametrize(
    ("recipe", "bits", "decay", "sentence"),
    [
        ("lstm_ptb", "w2a2", "", "lstm_ptb: must classify images to train without float; train without --float-free"),
        (
            "digits",
            "w4a4",
            "",
            "conv1: weights must be of 1 bit (weight=dorefa or bipolar), uniform (weight=uniform), or 2 to 8 bits at the ends",
        ),
        (
            "digits",
            "w4a4",
            "w1a2:1",
            "conv1: weights must be of 1 bit (weight=dorefa or bipolar), uniform (weight=uniform), or 2 to 8 bits",
        ),
        (
            "turned",
            "w1a2",
            "",
            "net: must be convolutions, each with a batch norm, and a classifier, defined in the order",
        ),
    ],
)
def test_what_cannot_be_trained_so_leaves_nothing(
    recipe: str, bits: str, decay: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "turned", dataclasses.replace(RECIPES["digits"], net=Turned))
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}"):
        run(recipe, out=tmp_path / "run", bits=bits, decay=decay, epochs=1, float_free="on")
    assert [*tmp_path.iterdir()] == []
