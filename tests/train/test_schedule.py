# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bitlens.models import DigitsNet
from bitlens.quant import QuantError, Spec
from bitlens.train import TrainError, run
from bitlens.train.checkpoint import load_checkpoint
from bitlens.train.loop import Trainer
from bitlens.train.schedule import Stage, plan_stages

SPEC = Spec.parse("w2a2,weight=balanced,first=w4a8")


def test_a_run_without_a_schedule_is_one_stage() -> None:
    assert plan_stages(SPEC, 7) == (Stage(SPEC, 7),)


def test_decay_goes_from_wide_to_narrow_and_keeps_the_other_keys() -> None:
    first, second, third = plan_stages(SPEC, 7, "w32a32:5, w4a4:3")
    assert str(first.spec) == str(Spec.parse("w32a32,weight=balanced"))
    assert (first.epochs, second.epochs) == (5, 3)
    assert str(second.spec) == str(Spec.parse("w4a4,weight=balanced,first=w4a8"))
    assert third == Stage(SPEC, 7)


def test_delay_is_a_float_stage() -> None:
    assert plan_stages(SPEC, 7, delay=4) == plan_stages(SPEC, 7, "w32a32:4")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0, None, 0), "epochs: must be at least 1, not 0"),
        ((1, None, -1), "delay: must be at least 0 epochs, not -1"),
        ((1, "w8a8:1", 1), "delay: must be 0 beside a decay, not 1"),
        ((1, "w8a8", 0), 'decay: every stage must look like w8a8:3 (bits:epochs), not "w8a8"'),
        ((1, "w8a8:0", 0), 'decay: every stage must look like w8a8:3 (bits:epochs), not "w8a8:0"'),
        ((1, "w9a8:1", 0), "decay: w must be 1 to 8 or 32, not 9"),
    ],
)
def test_mistakes_are_told(arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises((TrainError, QuantError)) as caught:
        plan_stages(SPEC, *arguments)
    assert str(caught.value) == sentence


def test_a_stage_starts_from_the_one_before_and_a_killed_run_continues_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags: dict[str, Any] = {
        "recipe": "digits",
        "bits": "w1a2g6",
        "epochs": 1,
        "decay": "w32a32:1,w4a4:1",
        "threads": 1,
    }
    entered = []
    enter = Trainer._enter

    def watched(self: Trainer, stage: int, weights: dict[str, Any] | None) -> None:
        enter(self, stage, weights)
        same = weights is not None and all(
            torch.equal(value, weights[key]) for key, value in self.net.state_dict().items()
        )
        entered.append((stage, same))

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_enter", watched)
        whole = run(out=tmp_path / "whole", **flags)
    assert entered == [(0, False), (1, True), (2, True)]
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [line["bits"] for line in lines] == ["w32a32g32", "w4a4g32", "w1a2g6"]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert whole["epochs"] == 3

    for end in (1, 2):  # killed right before the checkpoint of a stage's middle, and after a stage's last epoch
        out = tmp_path / f"killed{end}"
        save = Trainer.save

        def killed(self: Trainer, end: int = end, save: Any = save) -> None:
            save(self)
            if self.epoch == end:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "save", killed)
            with pytest.raises(KeyboardInterrupt):
                run(out=out, **flags)
        assert run(out=out, resume=True, **flags)["test_accuracy"] == whole["test_accuracy"]
        a, b = (load_checkpoint(folder / "checkpoint.pt")["net"] for folder in (tmp_path / "whole", out))
        assert all(torch.equal(a[key], b[key]) for key in a)
    with pytest.raises(TrainError) as caught:
        run(out=out, resume=True, **(flags | {"decay": "w4a4:2"}))
    assert str(caught.value) == f"{out}: decay must be w32a32g32:1,w4a4g32:1 to continue this run, not w4a4g32:2"


def test_a_run_starts_from_another_run_s_weights(tmp_path: Path) -> None:
    run("digits", out=tmp_path / "float", bits="w32a32", epochs=3, threads=1)
    fresh = run("digits", out=tmp_path / "fresh", bits="w4a4", epochs=1, threads=1)
    tuned = run("digits", out=tmp_path / "tuned", bits="w4a4", epochs=1, threads=1, init=tmp_path / "float")
    assert tuned["test_accuracy"] > fresh["test_accuracy"]
    with pytest.raises(TrainError) as caught:
        run("digits", out=tmp_path / "no", init=tmp_path)
    assert str(caught.value) == f"{tmp_path}/checkpoint.pt: must be a checkpoint, not missing"
    checkpoint = load_checkpoint(tmp_path / "float" / "checkpoint.pt")
    checkpoint["net"]["fc.weight"] = torch.zeros(3, 3)
    (tmp_path / "other").mkdir()
    torch.save(checkpoint, tmp_path / "other" / "checkpoint.pt")
    with pytest.raises(TrainError, match=r"^weights: must be those of this net \(size mismatch for fc.weight"):
        run("digits", out=tmp_path / "no", init=tmp_path / "other")
    assert not (tmp_path / "no").exists()


def test_float_weights_load_into_every_spec_with_no_key_missing() -> None:
    weights = DigitsNet(Spec.parse("w32a32")).state_dict()
    for bits in ("w1a1", "w2a2,weight=balanced", "w8a8,weight=mean", "w4a4,weight=uniform", "w1a2g6,activation=cabs"):
        DigitsNet(Spec.parse(bits)).load_state_dict(weights)
