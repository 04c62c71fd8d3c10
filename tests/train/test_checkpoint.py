# SPDX-License-Identifier: Apache-2.0
import random
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from torch import nn

from bitlens.quant import DoReFaGradient
from bitlens.train import TrainError
from bitlens.train.checkpoint import (
    generators,
    load_checkpoint,
    restore_generators,
    save_checkpoint,
    write_atomically,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, lambda stream: stream.write(b"old") and None)

    def full_disk(stream: BinaryIO) -> None:
        stream.write(b"ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(TrainError) as caught:
        write_atomically(path, full_disk)
    assert str(caught.value) == f"{path}: must be writable ([Errno 28] No space left on device)"
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_torch_on_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", lambda self, mode: open("/dev/full", mode))
    with pytest.raises(TrainError, match=r"checkpoint.pt: must be writable \("):
        save_checkpoint(tmp_path / "checkpoint.pt", {"x": torch.zeros(100_000)})


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


def test_missing_and_damaged_checkpoints_are_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(TrainError) as caught:
        load_checkpoint(path)
    assert str(caught.value) == f"{path}: must be a checkpoint, not missing"
    save_checkpoint(path, {"x": torch.arange(1000)})
    assert torch.equal(load_checkpoint(path)["x"], torch.arange(1000))
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(TrainError, match=rf"^{path}: must be a whole checkpoint \(\w+\)$"):
        load_checkpoint(path)
