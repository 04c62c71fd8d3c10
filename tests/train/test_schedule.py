# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bitlens.data import digits
from bitlens.quant import QuantError, Spec
from bitlens.train import RECIPES, TrainError, find_recipe, load_run, run
from bitlens.train.checkpoint import load_checkpoint
from bitlens.train.loop import Trainer
from bitlens.train.schedule import Stage, plan_stages
from bitlens.train.settings import settings_of

SPEC = Spec.parse("w2a2,weight=balanced,first=w4a8")
FLOAT, W4A4 = str(Spec.parse("w32a32")), str(Spec.parse("w4a4g6,first=w8a8,last=w8a8"))


def test_a_run_without_a_schedule_is_one_stage() -> None:
    assert plan_stages(SPEC, 7) == (Stage(SPEC, 7),)


def test_decay_goes_from_wide_to_narrow_and_keeps_the_other_keys() -> None:
    first, second, third = plan_stages(SPEC, 7, "w32a32:5, w4a4:3")
    assert str(first.spec) == str(Spec.parse("w32a32,weight=balanced"))
    assert (first.epochs, second.epochs) == (5, 3)
    assert str(second.spec) == str(Spec.parse("w4a4,weight=balanced,first=w4a8"))
    assert third == Stage(SPEC, 7)


@pytest.mark.parametrize(
    ("decay", "epochs", "counts"),
    [
        ("w32a32,w8a8,w4a4,w2a2", 12, [3, 3, 3, 3]),
        ("w32a32,w8a8,w4a4", 15, [3, 3, 3, 6]),
        ("w32a32:5,w8a8,w2a2", 7, [5, 3, 4]),
        ("w32a32,w8a8:4,w2a2:2", 7, [7, 4, 2]),
        ("w2a2:4", 7, [4]),
        ("w2a2,w4a4:1", 5, [2, 1, 3]),
    ],
)
def test_stages_that_name_no_epochs_share_them(decay: str, epochs: int, counts: list[int]) -> None:
    stages = plan_stages(SPEC, epochs, decay)
    assert [stage.epochs for stage in stages] == counts
    assert stages[-1].spec == SPEC


def test_delay_is_a_float_stage() -> None:
    assert plan_stages(SPEC, 7, delay=4) == plan_stages(SPEC, 7, "w32a32:4")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0, None, 0), "epochs: must be at least 1, not 0"),
        ((1, None, -1), "delay: must be at least 0 epochs, not -1"),
        ((1, "w8a8:1", 1), "delay: must be 0 beside a decay, not 1"),
        ((1, "w8a8", 0), "epochs: must be at least 2 for so many stages, not 1"),
        ((1, "w8a8:", 0), 'decay: every stage must look like w8a8:3 (bits:epochs) or w8a8, not "w8a8:"'),
        ((1, "w8a8:0", 0), 'decay: every stage must look like w8a8:3 (bits:epochs) or w8a8, not "w8a8:0"'),
        ((1, "w8a8:٣", 0), 'decay: every stage must look like w8a8:3 (bits:epochs) or w8a8, not "w8a8:٣"'),
        ((1, "8", 0), 'decay: every stage must look like w8a8:3 (bits:epochs) or w8a8, not "8"'),
        ((1, "w9a8:1", 0), "decay: w must be 1 to 8 or 32, not 9"),
    ],
)
def test_mistakes_are_told(arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises((TrainError, QuantError)) as caught:
        plan_stages(SPEC, *arguments)
    assert str(caught.value) == sentence


FLAGS: dict[str, Any] = {"recipe": "digits", "bits": "w1a2g6", "decay": "w32a32:1,w4a4:1", "epochs": 1, "threads": 1}


def test_every_stage_starts_from_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = []
    start = Trainer.start

    def watched(self: Trainer, weights: Mapping[str, torch.Tensor], source: str, bits: str) -> None:
        fresh = {name: value.clone() for name, value in self.net.state_dict().items()}
        start(self, weights, source, bits)
        now = self.net.state_dict()
        assert all(torch.equal(now[name], weights[name]) for name in weights)
        assert not torch.equal(fresh["fc.weight"], now["fc.weight"])
        entered.append((self.stage, self.epoch, source))

    monkeypatch.setattr(Trainer, "start", watched)
    result = run(out=tmp_path, **FLAGS)
    assert entered == [(1, 1, f"stage {FLOAT}"), (2, 2, f"stage {W4A4}")]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["bits"] for line in lines] == ["w32a32g32", "w4a4g6", "w1a2g6"]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    steps = len(digits().train) // RECIPES["digits"].batch
    last = RECIPES["digits"].rate_at(1 - 1 / steps)  # every stage takes it from full to almost 0
    assert [line["learning_rate"] for line in lines] == [last] * 3
    assert 0 < last < 0.01 * RECIPES["digits"].rate
    assert result["epochs"] == 3
    assert result["bits"] == str(Spec.parse("w1a2g6"))


@pytest.mark.parametrize("save", [1, 2, 4, 5])  # in the float stage, after its last epoch, in the next, after that
def test_a_run_killed_in_any_stage_continues_bit_identically(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: int, whole: Path
) -> None:
    original, calls = Trainer.save, []

    def killed(self: Trainer) -> None:
        original(self)
        calls.append(None)
        if len(calls) == save + 1:
            raise KeyboardInterrupt

    out = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            run(out=out, every_steps=20, **FLAGS)
    stage = find_recipe("digits").net(Spec.parse(load_checkpoint(out / "checkpoint.pt")["bits"]))
    assert str(load_run(out)) == str(stage.eval())  # the net of the stage in which the run is
    run(out=out, every_steps=20, resume=True, **FLAGS)
    a, b = (load_checkpoint(folder / "checkpoint.pt") for folder in (whole, out))
    assert all(torch.equal(a["net"][name], b["net"][name]) for name in a["net"])
    without = [[{k: v for k, v in line.items() if k != "seconds"} for line in x["metrics"]] for x in (a, b)]
    assert without[0] == without[1]
    with np.load(whole / "weights.npz") as one, np.load(out / "weights.npz") as other:
        assert all(np.array_equal(one[name], other[name]) for name in one.files)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has killed."""
    out = tmp_path_factory.mktemp("whole")
    run(out=out, every_steps=20, **FLAGS)
    return out


def test_another_schedule_does_not_continue_a_run(whole: Path) -> None:
    with pytest.raises(TrainError) as caught:
        run(out=whole, resume=True, **(FLAGS | {"decay": "w4a4:2"}))
    assert str(caught.value) == f"{whole}: decay must be w32a32g32:1,w4a4g6:1 to continue this run, not w4a4g6:2"


def test_a_run_starts_from_another_run_or_a_file(tmp_path: Path) -> None:
    run("digits", out=tmp_path / "float", bits="w32a32", epochs=3, threads=1)
    torch.save(load_run(tmp_path / "float").state_dict(), tmp_path / "float.pt")
    flags: dict[str, Any] = {"recipe": "digits", "bits": "w4a4", "epochs": 1, "threads": 1}
    fresh = run(out=tmp_path / "fresh", **flags)
    tuned = [run(out=tmp_path / name, init=tmp_path / name[1:], **flags) for name in ("_float", "_float.pt")]
    assert tuned[0]["test_accuracy"] > fresh["test_accuracy"]
    assert tuned[0]["test_accuracy"] == tuned[1]["test_accuracy"]
    (tmp_path / "float" / "checkpoint.pt").unlink()  # a published float net is no less a start
    assert run(out=tmp_path / "again", init=tmp_path / "float", **flags)["test_accuracy"] == tuned[0]["test_accuracy"]
    (tmp_path / "fresh" / "checkpoint.pt").unlink()
    torch.save({"fc.weight": torch.zeros(3, 3)}, tmp_path / "other.pt")
    torch.save([1], tmp_path / "list.pt")
    torch.save({"fc.weight": torch.tensor([1.0, float("nan")])}, tmp_path / "nan.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    for init, sentence in (
        ("fresh", "weights must be float to start from, not integers as those of conv0"),
        (
            "other.pt",
            "weights must hold conv0.weight, bn0.weight, bn0.bias, bn0.running_mean and 15 more, not lack them",
        ),
        ("nan.pt", "fc.weight must be finite to start from, not nan or inf"),
        ("list.pt", "must be a state dict of tensors, not other objects"),
        (
            "junk.pt",
            "must be a state dict of tensors as torch.save writes it, or a run's folder, not damaged or foreign",
        ),
        ("none", "must be a run's folder with config.json, not without"),
    ):
        with pytest.raises(TrainError) as caught:
            run(out=tmp_path / "no", init=tmp_path / init, **flags)
        assert str(caught.value) == f"{tmp_path / init}: {sentence}"
        assert not (tmp_path / "no").exists()


def test_a_stage_that_names_no_bits_of_gradients_has_those_of_the_run() -> None:
    spec = Spec.parse("w1a2g6")
    stages = plan_stages(spec, 15, "w32a32:5,w8a8:3,w4a4g8,w1a2")
    assert [str(stage.spec.middle) for stage in stages] == ["w32a32g32", "w8a8g6", "w4a4g8", "w1a2g6"]
    assert [stage.epochs for stage in stages] == [5, 3, 7, 8]


def test_epochs_that_no_stage_takes_are_refused() -> None:
    sentence = "epochs: must be left out where every stage of the decay names its own, not 10"
    with pytest.raises(TrainError, match=f"^{sentence}$"):
        settings_of("digits", bits="w2a2", decay="w32a32:4,w2a2:3", epochs=10)
    assert [stage.epochs for stage in settings_of("digits", bits="w2a2", decay="w32a32:4,w2a2:3").stages] == [4, 3]
