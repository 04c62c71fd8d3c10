# SPDX-License-Identifier: Apache-2.0
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitlens.quant import DoReFaGradient
from bitlens.train import TrainError
from bitlens.train.checkpoint import (
    generators,
    load_checkpoint,
    process_seed,
    restore_generators,
    save_checkpoint,
    seed_noise,
)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.symlink_to("/dev/full")
    with pytest.raises(
        OSError, match=rf"^\[Errno 28\] disk must have room for 401,\d\d\d bytes, not be full: '{path}'$"
    ):
        save_checkpoint(path, {"x": torch.zeros(100_000)})


def test_every_generator_is_restored() -> None:
    net = nn.Sequential(nn.Linear(3, 3), DoReFaGradient(4, seed=1))

    def draw() -> list[object]:
        x = torch.randn(2, 3)
        layer = net[0]
        layer.weight.grad = None
        net(x).backward(torch.randn(2, 3))
        return [random.random(), np.random.rand(), x.tolist(), layer.weight.grad.tolist()]  # noqa: NPY002

    draw()
    state = generators(net)
    first = draw()
    assert draw() != first
    restore_generators(net, state)
    assert draw() == first


@pytest.mark.parametrize(
    "several",
    [
        [(0, 0, 0), (1, 0, 0), (77, 0, 0), (2**32 - 1, 0, 0)],
        [(5, 0, 0), (5, 1, 0), (5, 2, 0), (6, 1, 0)],
        [(5, 0, 0), (5, 0, 1), (5, 1, 1), (5, 0, 2)],
    ],
)
def test_seeds_processes_and_stages_draw_otherwise(several: list[tuple[int, int, int]]) -> None:
    """What is drawn, not states: torch's generator forgets the high half of a seed."""

    def drawn(seed: int, process: int, stage: int) -> tuple[float, ...]:
        net = nn.Sequential(DoReFaGradient(4, seed=1))
        seed_noise(net, seed, process, stage)
        x = torch.zeros(1, 64, requires_grad=True)
        net(x).backward(torch.linspace(-1, 1, 64)[None])
        assert x.grad is not None
        return tuple(x.grad.flatten().tolist())

    assert len({drawn(*three) for three in several}) == len(several)
    draws = {
        tuple(torch.rand(4, generator=torch.Generator().manual_seed(process_seed(seed, process))).tolist())
        for seed, process, _ in several
    }
    assert len(draws) == len({three[:2] for three in several})
    assert process_seed(several[0][0], 0) == several[0][0]


def test_missing_and_damaged_checkpoints_are_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(TrainError) as caught:
        load_checkpoint(path)
    assert str(caught.value) == f"{path}: must be a checkpoint, not missing"
    save_checkpoint(path, {"x": torch.arange(1000)})
    assert torch.equal(load_checkpoint(path)["x"], torch.arange(1000))
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(TrainError, match=rf"^{path}: must be a whole checkpoint, not damaged or foreign$"):
        load_checkpoint(path)
