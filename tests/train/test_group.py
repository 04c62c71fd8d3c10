# SPDX-License-Identifier: Apache-2.0
"""Runs of several processes, as `torchrun` starts them; gloo on this machine."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bitlens.quant import Spec
from bitlens.train import RECIPES, Task, TrainError, run
from bitlens.train.checkpoint import load_checkpoint
from bitlens.train.group import Group, process_count, process_number
from bitlens.train.loop import Trainer
from bitlens.train.schedule import plan_stages
from checkpoints import same

# What a process of the tests below does: several runs after one another in the same group, for starting torch is slow.
MEAN = """
import gc
import sys
from pathlib import Path
import torch
from torch import nn
from bitlens.train import run
from bitlens.train.group import joined

gc.disable()  # no thread may be left, whether or not cycles are collected in time
with joined(torch.device("cpu"), 2, 1) as group:
    group.spread(nn.Linear(1, 1))  # as the net of an earlier stage
    for wire_bits in (32, 4):
        run("digits", out=f"{sys.argv[1]}/wire{wire_bits}", bits="w1a2", epochs=3, batch=64, threads=1, wire_bits=wire_bits)
    # One gradient, many draws: what the hook makes of it is the mean, and a sum of rounded ones.
    net = nn.Linear(5, 3, bias=False)
    spread, exchange = group.spread(net), group.exchange
    x = torch.tensor([[1.0, -2.0, 0.5, 0.0, 3.0]]) * (1 + group.number)
    found = []
    for exchange.step in range(200):
        net.zero_grad()
        spread(x)[:, 1].sum().backward()
        found.append(net.weight.grad.clone())
    gathered = group.gathered(torch.stack(found))
    if group.leads:
        torch.save({"found": gathered, "sent": exchange.sent, "float": exchange.sent_float}, f"{sys.argv[1]}/hook.pt")
names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
Path(f"{sys.argv[1]}/threads{group.number}.txt").write_text(" ".join(names))
"""
DIES = """
import os, signal, sys
import torch
from bitlens.cli import main
from bitlens.train.group import joined
from bitlens.train.loop import Trainer

learn = Trainer._train_step

def dying(self, *batch):
    if self.group.number == 1 and (self.epoch, self.step) == (1, 6):
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(self, *batch)

whole, killed, *flags = sys.argv[1:]
with joined(torch.device("cpu"), 32, 0):
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        assert main([*flags, "--out", whole]) == 0
        Trainer._train_step = dying
    sys.exit(main([*flags, "--out", killed]))
"""
FLAGS = "train digits --bits w1a2g6 --epochs 2 --batch 192 --threads 1 --every-steps 5 --wire-bits 4 --accumulate 2 --resume"


def torchrun(*arguments: str, restarts: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--max-restarts", str(restarts)]
    command += (
        ["--monitor-interval", "5"] if restarts else []
    )  # time for the survivor to say what happened, on any machine
    return subprocess.run(
        [*command, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},  # docs/train.md
        capture_output=True,
        text=True,
        timeout=240,
    )


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_learn_what_one_does_and_send_an_eighth(tmp_path: Path) -> None:
    (tmp_path / "mean.py").write_text(MEAN)
    done = torchrun(str(tmp_path / "mean.py"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch") == 6  # the second process is silent
    alone = []
    for seed in range(2):
        run("digits", out=tmp_path / f"alone{seed}", bits="w1a2", epochs=3, batch=64, threads=1, seed=seed)
        alone.append(metrics(tmp_path / f"alone{seed}")[-1]["train_loss"])
    whole, coded = (metrics(tmp_path / name)[-1] for name in ("wire32", "wire4"))
    for line in (whole, coded):
        # Seeds end within 0.04 of each other; to the nearest of 2 bits, which is biased, the loss is 0.09 above.
        assert line["train_loss"] == pytest.approx(sum(alone) / 2, abs=0.05), (alone, line)
        assert line["test_accuracy"] > 0.9
    parameters = [p for p in load_checkpoint(tmp_path / "wire4" / "checkpoint.pt")["net"].items() if is_learned(p[0])]
    values, steps = sum(value.numel() for _, value in parameters), 1437 // 64
    assert whole["wire_bytes"] == whole["wire_bytes_float"] == coded["wire_bytes_float"] == 2 * steps * 4 * values
    message = 4 * len(parameters) + math.ceil(values / 2)  # float32 scales and packed codes
    assert coded["wire_bytes"] == 2 * steps * message
    assert coded["wire_bytes_float"] / coded["wire_bytes"] > 7.97  # not 8: a scale is 8 codes long, the net small
    config = json.loads((tmp_path / "wire4" / "config.json").read_text())
    assert (config["processes"], config["accumulate"], config["wire_bits"]) == (2, 1, 4)

    hook = torch.load(tmp_path / "hook.pt")
    found = hook["found"][0]
    assert torch.equal(found, hook["found"][1])  # both processes go on from the same gradients
    x = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])
    levels = {(a + 2 * b) / 2 for a in (-3, -1, 1, 3) for b in (-3, -1, 1, 3)}  # scales 3 and 6, 2 bits
    assert {round(value, 4) for value in found.flatten().tolist()} <= levels
    expected = torch.stack([0 * x, 1.5 * x, 0 * x])
    assert (found.mean(0) - expected).abs().max() < 5 * 1.25**0.5 / 200**0.5  # five standard errors at most
    assert hook["float"] == 200 * 4 * 15
    assert hook["sent"] == 200 * (4 + 4)
    # A thread of gloo that is left at the end may abort its process: now and then, on a busy machine.
    for number in range(2):
        names = (tmp_path / f"threads{number}.txt").read_text()
        assert "python" in names
        assert "gloo" not in names


def is_learned(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def test_a_run_whose_worker_was_killed_continues_bit_identically(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    places = [str(tmp_path / name) for name in ("whole", "killed")]
    done = torchrun(str(tmp_path / "dies.py"), *places, *FLAGS.split(), restarts=1)
    assert done.returncode == 0, done.stderr
    assert "processes: all must live, not lose one; run the same command with --resume (" in done.stderr
    a, b = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "killed"))
    assert len(a["others"]) == 1
    first, second = (state["generators"] for state in (a, a["others"][0]))
    drawn = []
    for state in (first, second):  # each process has noise of its own
        generator = torch.Generator()
        generator.set_state(state["torch"])
        drawn.append(torch.rand(4, generator=generator))
    assert not torch.equal(*drawn)
    for name, (seed, _) in first["gradient"].items():
        assert (seed - second["gradient"][name][0]) % 2**32 != 0  # of which torch's generator takes no more
    assert same(a, b)
    with pytest.raises(TrainError) as caught:
        run("digits", out=tmp_path / "whole", bits="w1a2g6", epochs=2, batch=192, threads=1, accumulate=2, resume=True)
    assert str(caught.value) == f"{tmp_path / 'whole'}: processes must be 2 to continue this run, not 1"


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a net without batch norms, which would look at one part at a time."""
    plain = dataclasses.replace(RECIPES["digits"], net=lambda spec: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    monkeypatch.setitem(RECIPES, "digits", plain)
    losses = []
    for accumulate in (1, 4):
        out = tmp_path / str(accumulate)
        run("digits", out=out, bits="w1a2", epochs=2, threads=1, accumulate=accumulate)
        losses.append(metrics(out)[-1]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


class Spots(Task):
    """Batches of which samples weigh otherwise: the mean over positive targets."""

    def loss(
        self, net: nn.Module, inputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        errors = (net(inputs)[:, 0] - targets).square() * (targets > 0)
        return errors.sum() / self.weight(targets), {"steps": 1}

    def weight(self, targets: torch.Tensor) -> torch.Tensor:
        return (targets > 0).sum().clamp(min=1)

    steps, fewest, batch, train_figures, evaluate = 1, 3, None, None, None  # type: ignore[assignment]


@pytest.mark.parametrize("accumulate", [2, 3, 4, 7])
def test_parts_count_by_their_weight(accumulate: int, tmp_path: Path) -> None:
    """Parts of unequal size, an empty one among them, and samples of no weight."""
    x, targets = torch.randn(5, 3), torch.tensor([1.0, 0, 2, 3, 0])
    recipe = dataclasses.replace(RECIPES["digits"], net=lambda spec: nn.Linear(3, 1), rate=1e-3)
    found = []
    for parts in (1, accumulate):
        torch.manual_seed(0)
        stages = plan_stages(Spec.parse("w32a32"), 1)
        trainer = Trainer(recipe, stages, Spots(), tmp_path, torch.device("cpu"), accumulate=parts)
        loss, _ = trainer._learn(x, targets)
        found.append([loss, *(parameter.grad for parameter in trainer.net.parameters())])
    for whole, summed in zip(*found, strict=True):
        torch.testing.assert_close(whole, summed)


FEW = """
import dataclasses
import sys
from bitlens.train import RECIPES, run
from bitlens.train.classify import Classifying

Classifying.fewest = property(lambda self: 1)  # as the large scenes of a face detector's small batch
run("digits", out=sys.argv[1], bits="w1a2", epochs=1, threads=1)
"""


def test_a_process_without_a_sample_is_told_before_there_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "few.py").write_text(FEW)
    done = torchrun(str(tmp_path / "few.py"), str(tmp_path / "run"))
    assert done.returncode != 0
    sentence = "processes: must be at most 1, the samples of the smallest step of digits, not 2"
    assert done.stderr.count(f"TrainError: {sentence}") == 2
    assert not (tmp_path / "run").exists()


def test_alone_there_is_nobody_to_tell() -> None:
    group = Group()
    assert (process_count(), process_number(), group.leads) == (1, 0, True)
    assert group.told(lambda: 3) == 3
    assert group.gathered("own") == ["own"]
    assert group.take_sent() == {}


@pytest.mark.parametrize(
    ("flags", "processes", "sentence"),
    [
        ({"accumulate": 0}, 1, "accumulate: must be at least 1, not 0"),
        ({"accumulate": 5}, 1, "batch: must be a multiple of 5 (processes times parts, 1 x 5), not 32"),
        ({}, 3, "batch: must be a multiple of 3 (processes times parts, 3 x 1), not 32"),
        ({"wire_bits": 3}, 2, "wire_bits: must be one of 1, 2, 4, 8, 32, not 3"),
        ({"float_free": "on"}, 2, "float_free: must be off for 2 processes; train without --float-free"),
        ({"float_free": "on", "accumulate": 4}, 1, "accumulate: must be 1 to train without float, not 4"),
        ({"wire_bits": 4}, 1, "wire_bits: must be 32 for one process, which sends nothing, not 4"),
        (
            {"wire_bits": 4},
            16,
            "wire_bits: must be one of 1, 2, 32 for 16 processes, each of which sends its codes to all others, not 4",
        ),
        (
            {"wire_bits": 8, "batch": 96},
            12,
            "wire_bits: must be one of 1, 2, 4, 32 for 12 processes, each of which sends its codes to all others, not 8",
        ),
    ],
)
def test_mistakes_are_told_before_processes_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], processes: int, sentence: str
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    with pytest.raises(TrainError) as caught:
        run("digits", out=tmp_path / "run", **flags)
    assert str(caught.value) == sentence
    assert not (tmp_path / "run").exists()
