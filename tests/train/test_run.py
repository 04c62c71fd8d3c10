# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from bitlens.data import DataError, Dataset, Split, digits
from bitlens.nn import freeze
from bitlens.quant import QuantError, Spec
from bitlens.train import RECIPES, Classification, TrainError, evaluate, load_run, pick_device, read_config, run
from bitlens.train.checkpoint import generators, load_checkpoint
from bitlens.train.classify import _Opened as OpenedClassification
from bitlens.train.loop import Trainer
from bitlens.train.schedule import plan_stages
from checkpoints import same

TRAIN = "import sys; from bitlens.train import run; run('digits', out=sys.argv[1], bits='w1a2g6', epochs=4, threads=1, resume=True, every_steps=5)"


def python(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_run_killed_in_the_middle_continues_bit_identically(tmp_path: Path) -> None:
    whole = python(TRAIN, str(tmp_path / "whole"))
    assert whole.communicate()[1] == b""
    assert whole.returncode == 0
    kills = 0
    for _ in range(20):
        out = tmp_path / "killed"
        process = python(TRAIN, str(out))
        checkpoint = out / "checkpoint.pt"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while process.poll() is None and kills < 3:
            written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            if written != before:
                time.sleep(0.03)
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        error = process.communicate()[1]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, error
    assert kills == 3
    assert not [*(tmp_path / "killed").glob(".*")]  # half-written files
    a, b = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "killed"))
    assert same(a, b)
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed")]
    assert results[0]["test_accuracy"] == results[1]["test_accuracy"]
    lines = list((tmp_path / "killed" / "metrics.jsonl").read_text().splitlines())
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_digits_train_to_96_percent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run("digits", out=tmp_path / "run", bits="w1a2", epochs=8, threads=1)
    assert result["test_accuracy"] >= 0.96
    assert capsys.readouterr().out.count("\n") == 8
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    net = load_run(tmp_path / "run")
    assert evaluate(net, digits().test, 8, torch.device("cpu")) == pytest.approx(result["test_accuracy"], abs=1e-6)
    frozen = freeze(net)
    assert evaluate(frozen, digits().test, 8, torch.device("cpu")) == pytest.approx(result["test_accuracy"], abs=1e-6)
    config = read_config(tmp_path / "run")
    assert config["bits"] == "w1a2g32,first=w8a8g32,last=w8a8g32,weight=dorefa,activation=clip"
    again = run("digits", out=tmp_path / "run", bits="w1a2", epochs=8, threads=1, resume=True)
    assert again["test_accuracy"] == result["test_accuracy"]  # nothing left to do


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe named digits on 64 images."""
    part = Split(digits().train.images[:64], digits().train.labels[:64])
    dataset = Dataset(part, part, tuple("0123456789"))
    task = Classification(lambda *_: dataset, size=8, flip=False, channels=1)
    monkeypatch.setitem(RECIPES, "digits", dataclasses.replace(RECIPES["digits"], task=task, epochs=1))


@pytest.mark.usefixtures("tiny")
def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("digits", out=out)

    def told(**arguments: Any) -> str:
        with pytest.raises((TrainError, QuantError, DataError)) as caught:
            run(**({"recipe": "digits", "out": out} | arguments))
        return str(caught.value)

    assert told() == f"{out}: must be empty for a new run, not hold one already (continue it with --resume)"
    assert told(resume=True, seed=3) == f"{out}: seed must be 0 to continue this run, not 3"
    assert told(resume=True, batch=8) == f"{out}: batch must be 32 to continue this run, not 8"
    assert told(resume=True, epochs=2) == f"{out}: epochs must be 1 to continue this run, not 2"
    assert told(out=tmp_path / "b", epochs=0) == "epochs: must be at least 1, not 0"
    assert told(out=tmp_path / "b", threads=0) == "threads: must be 1 to 1024, not 0"
    assert told(out=tmp_path / "b", threads=1 << 31) == "threads: must be 1 to 1024, not 2147483648"
    assert told(out=tmp_path / "b", seed=-1) == "seed: must be 0 to 4294967295, not -1"
    assert told(out=tmp_path / "b", seed=1 << 32) == "seed: must be 0 to 4294967295, not 4294967296"
    assert told(out=tmp_path / "b", batch=0) == "batch: must be at least 1, not 0"
    assert told(out=tmp_path / "b", rate=0.0) == "rate: must be a positive number, not 0.0"
    assert told(out=tmp_path / "b", rate=float("nan")) == "rate: must be a positive number, not nan"
    for masters, most in (("on", "0.1768"), ("masters=8", "1.414")):
        sentence = f"rate: must be less than {most} for these masters, not 10.0"
        assert told(out=tmp_path / "b", float_free=masters, rate=10.0) == sentence
    assert told(out=tmp_path / "b", every_steps=-1) == "every_steps: must be at least 0, not -1"
    for device in ("tpu", "meta", "cpu:zz", "cpu:1", "cuda:99"):
        sentence = f"device: must be one of auto, cpu, cuda and exist here, not {device}"
        assert told(out=tmp_path / "b", device=device) == sentence
    assert told(out=tmp_path / "b", bits="w0") == "bits: w must be 1 to 8 or 32, not 0"
    assert not (tmp_path / "b").exists()  # nothing is left behind by a mistake
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "run"):  # told before the data is looked for
        sentence = f"{place}: must be a writable folder (Not a directory)"
        assert told(recipe="mnist", data=tmp_path / "none", out=place) == sentence
    sentence = "lstm_ptb: gradient bits must be 32 (float), not 2"
    assert told(recipe="lstm_ptb", data=tmp_path / "none", out=tmp_path / "b", bits="w2a2g2") == sentence
    assert told(recipe="mnist", data=tmp_path / "none", out=tmp_path / "b").endswith("MNIST files, not missing")
    assert not (tmp_path / "b").exists()
    (out / "checkpoint.pt").rename(out / "kept.pt")
    assert told() == told(resume=True) == f"{out}: must be empty for a new run, not hold published weights"
    (out / "weights.npz").rename(out / "kept.npz")  # as logs are published
    assert told() == told(resume=True) == f"{out}: must be empty for a new run, not hold the result of one"
    (out / "checkpoint.pt").write_bytes(b"junk")
    assert told(resume=True) == f"{out / 'checkpoint.pt'}: must be a whole checkpoint, not damaged or foreign"


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_of_another_net_is_told(tmp_path: Path) -> None:
    run("digits", out=tmp_path / "a")
    checkpoint = load_checkpoint(tmp_path / "a" / "checkpoint.pt")
    del checkpoint["net"]["fc.weight"]
    torch.save(checkpoint, tmp_path / "a" / "checkpoint.pt")
    for action in (lambda: run("digits", out=tmp_path / "a", resume=True), lambda: load_run(tmp_path / "a")):
        with pytest.raises(TrainError, match=r"checkpoint.pt: must be a checkpoint of this net \("):
            action()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ([1], "must be a checkpoint of a run, not a list"),
        ({}, "must be a checkpoint of this net ('net')"),
        ({"stage": 7}, "must be a checkpoint of this net (tuple index out of range)"),
        (
            {"stage": 0, "net": 3},
            "must be a checkpoint of this net (Expected state_dict to be dict-like, got <class 'int'>.)",
        ),
    ],
)
def test_another_torch_file_is_no_checkpoint(tmp_path: Path, content: object, rule: str) -> None:
    run("digits", out=tmp_path)
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    with pytest.raises(TrainError) as caught:
        run("digits", out=tmp_path, resume=True)
    assert str(caught.value) == f"{path}: {rule}"
    with pytest.raises(TrainError, match=r"checkpoint\.pt: must be a checkpoint of "):
        load_run(tmp_path)


def test_stages_have_noise_of_their_own(tmp_path: Path) -> None:
    task = RECIPES["digits"].task.open(None, None, 16, 0, torch.device("cpu"))
    stages = plan_stages(Spec.parse("w1a2g4"), 2, "w8a8g4:1")
    trainer = Trainer(RECIPES["digits"], stages, task, tmp_path, torch.device("cpu"))
    first = generators(trainer.net)["gradient"]
    trainer._enter(1)
    second = generators(trainer.net)["gradient"]
    assert first.keys() == second.keys() != set()
    assert all(first[name] != second[name] for name in first)


def test_sums_of_an_epoch_go_on_as_they_are(tmp_path: Path) -> None:
    """Whole numbers beyond 2^24, as of an epoch's pixels, which float32 would round."""

    class Counted(OpenedClassification):
        def loss(self, net: Any, inputs: Any, targets: Any) -> Any:
            loss, figures = super().loss(net, inputs, targets)
            return loss, {**figures, "right": torch.tensor(196607), "seen": 196607}

    recipe = RECIPES["digits"]
    trainers = []
    for name in ("whole", "stopped"):
        task = recipe.task.open(None, None, 16, 0, torch.device("cpu"))
        task.__class__ = Counted
        torch.manual_seed(0)
        (tmp_path / name).mkdir()
        trainers.append(Trainer(recipe, plan_stages(Spec.parse("w1a2"), 1), task, tmp_path / name, torch.device("cpu")))
    whole, stopped = trainers
    for step in range(89):
        for trainer in trainers:
            trainer.step = step
            trainer._train_step(*trainer.task.batch(0, step))
        if step in (3, 85):
            stopped.save()
            stopped.sums = {}
            stopped.restore()
    assert same(whole.sums, stopped.sums)
    assert int(stopped.sums["right"]) == 89 * 196607 > 1 << 24


@pytest.mark.usefixtures("tiny")
def test_a_nan_stops_the_run_with_the_layers_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._train_step

    def poisoned(self: Trainer, x: torch.Tensor, y: torch.Tensor) -> float:
        if self.step == 1:
            with torch.no_grad():
                self.net.bn1.running_var.fill_(1)
                self.net.conv1.weight[0, 0, 0, 0] = float("nan")
        return step(self, x, y)

    monkeypatch.setattr(Trainer, "_train_step", poisoned)
    with pytest.raises(TrainError) as caught:
        run("digits", out=tmp_path / "run")
    assert str(caught.value) == "conv1.weight: values must be finite, not nan (epoch 1, step 2)"


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs look for what is not finite at an epoch's end only, as on CUDA."""
    enter = Trainer._enter

    def patched(self: Trainer, stage: int) -> None:
        enter(self, stage)
        self.waits = self.guarded = False

    monkeypatch.setattr(Trainer, "_enter", patched)


@pytest.mark.usefixtures("tiny", "unguarded")
@pytest.mark.parametrize("where", [(0, 1), (1, 0)])
def test_a_nan_found_late_is_traced_to_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[int, int]
) -> None:
    learn = Trainer._learn

    def poisoned(self: Trainer, x: torch.Tensor, y: torch.Tensor) -> object:
        if (self.epoch, self.step) == where:
            with torch.no_grad():
                self.net.conv1.weight[0, 0, 0, 0] = float("nan")
        return learn(self, x, y)

    monkeypatch.setattr(Trainer, "_learn", poisoned)
    with pytest.raises(TrainError) as caught:
        run("digits", out=tmp_path / "run", epochs=3, every_steps=2)
    epoch, step = where
    assert str(caught.value) == f"conv1.weight: values must be finite, not nan (epoch {epoch + 1}, step {step + 1})"


@pytest.mark.usefixtures("tiny", "unguarded")
def test_an_epoch_that_is_finite_the_second_time_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn, spoilt = Trainer._learn, 0

    def poisoned(self: Trainer, x: torch.Tensor, y: torch.Tensor) -> object:
        nonlocal spoilt
        if (self.epoch, self.step) == (1, 1) and not spoilt:
            spoilt += 1
            with torch.no_grad():
                self.net.conv1.weight[0, 0, 0, 0] = float("nan")
        return learn(self, x, y)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_learn", poisoned)
        run("digits", out=tmp_path / "spoilt", epochs=3)
    assert spoilt
    run("digits", out=tmp_path / "whole", epochs=3)
    nets = [load_checkpoint(tmp_path / name / "checkpoint.pt")["net"] for name in ("spoilt", "whole")]
    assert all(torch.equal(nets[0][key], nets[1][key]) for key in nets[0])


@pytest.mark.usefixtures("tiny")
def test_evaluations_may_be_rare(tmp_path: Path) -> None:
    run("digits", out=tmp_path / "run", epochs=5, evaluate_every=2)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "test_accuracy" in line] == [2, 4, 5]
    with pytest.raises(TrainError, match=r"^evaluate_every: must be at least 1, not 0$"):
        run("digits", out=tmp_path / "other", evaluate_every=0)


def test_products_in_bfloat16_are_part_of_the_run(tmp_path: Path) -> None:
    run("digits", out=tmp_path, epochs=1, bf16=True, threads=1)
    assert json.loads((tmp_path / "config.json").read_text())["bf16"] is True
    with pytest.raises(TrainError, match=r": bf16 must be on to continue this run, not off$"):
        run("digits", out=tmp_path, epochs=1, resume=True, threads=1)
    with pytest.raises(TrainError, match=r": decay must be left out to continue this run, not w8a8g32:1$"):
        run("digits", out=tmp_path, epochs=1, resume=True, threads=1, bf16=True, decay="w8a8:1")
    message = "bf16: must be off to train without float, whose products are exact; train without --bf16"
    with pytest.raises(TrainError, match=f"^{message}$"):
        run("digits", out=tmp_path / "other", epochs=1, bf16=True, float_free="on")


def test_a_step_is_recorded_on_cuda_only(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"^record: device must be cuda, not cpu; train without --record$"):
        run("digits", out=tmp_path, device="cpu", record=True)


def test_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda")
    if not torch.cuda.is_available():
        with pytest.raises(TrainError):
            pick_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_cuda(tmp_path: Path) -> None:
    assert run("digits", out=tmp_path / "run", epochs=5, device="cuda")["test_accuracy"] > 0.9
    load_run(tmp_path / "run")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("bits", ["w1a2g4", "w2a2,weight=balanced", "w32a32"])
def test_a_recorded_step_learns_the_same(tmp_path: Path, bits: str) -> None:
    """Two epochs are some steps beyond the recording; rounding may differ, the course of the loss must not."""
    losses = []
    for record in (False, True):
        out = tmp_path / str(record)
        run("digits", out=out, bits=bits, epochs=2, device="cuda", record=record)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses.append([line["train_loss"] for line in lines])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    run("digits", out=tmp_path / "True", bits=bits, epochs=2, device="cuda", resume=True, record=True)
