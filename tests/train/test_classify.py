# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitlens.data import Dataset, Split
from bitlens.train import Classification, Task, evaluate, to_tensor
from bitlens.train.classify import _OnDevice, _Opened, accuracies

CPU = torch.device("cpu")


def test_images_become_unit_floats_in_channels_last_memory() -> None:
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    x = to_tensor(images, CPU)
    assert x.shape == (2, 3, 3, 4)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x[1, 2, 0, 3], torch.tensor(images[1, 0, 3, 2]).float() / 255)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_accuracy_counts_every_image(batch: int) -> None:
    class FirstPixel(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            return nn.functional.one_hot((x[:, 0, 1, 1] * 255).round().long(), 4).float()

    images = np.zeros((7, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = [0, 1, 2, 3, 0, 1, 2]
    net = FirstPixel()
    split = Split(images, np.array([0, 1, 2, 3, 0, 0, 0]))
    assert evaluate(net, split, 4, CPU, batch) == 5 / 7  # centred on 4x4: the pixel moves to (1, 1)
    assert net.training


def test_the_best_guesses_count() -> None:
    scores = torch.tensor([[1.0, 9.0, 5.0], [2.0, 2.0, 2.0], [0.0, 1.0, 2.0]])
    batches = [(scores[:2], torch.tensor([2, 0])), (scores[2:], torch.tensor([0]))]  # ranks 2, 1 (a tie), 3
    assert accuracies(nn.Identity(), batches, [1, 2, 3, 5]) == [1 / 3, 2 / 3, 1.0, 1.0]


def one_pixel_set(*arguments: object) -> Dataset:
    """Images of 4x4 with one bright pixel, all alike."""
    images = np.zeros((50, 4, 4, 1), np.uint8)
    images[:, 1, 2] = 255
    part = Split(images, np.arange(50) % 10)
    return Dataset(part, part, tuple("0123456789"))


def places(task: Task, epoch: int) -> list[list[int]]:
    return task.batch(epoch, 0)[0].nonzero()[:, 2:].tolist()


def test_a_margin_moves_images_over_the_edges() -> None:
    task = Classification(one_pixel_set, size=4, flip=False, channels=1, margin=1).open(None, None, 50, 0, CPU)
    found = places(task, 0)
    assert {tuple(place) for place in found} == {(y, x) for y in (0, 1, 2) for x in (1, 2, 3)}
    assert task.batch(0, 0)[0].shape == (50, 1, 4, 4)
    assert found == places(task, 0)
    assert found != places(task, 1)
    still = Classification(one_pixel_set, size=4, flip=False, channels=1).open(None, None, 50, 0, CPU)
    assert places(still, 0) == [[1, 2]] * 50
    flipped = Classification(one_pixel_set, size=4, flip=True, channels=1).open(None, None, 50, 0, CPU)
    assert {tuple(place) for place in places(flipped, 0)} == {(1, 1), (1, 2)}


@pytest.mark.parametrize(
    ("side", "size", "margin", "flip"), [((8, 8), 10, 0, True), ((8, 8), 8, 2, True), ((6, 7), 7, 1, False)]
)
def test_images_kept_on_a_device_are_the_same(side: tuple[int, int], size: int, margin: int, flip: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, *side, 3), np.uint8)
    part = Split(images, np.arange(90) % 10)
    setup = Classification(lambda *_: Dataset(part, part, tuple("0123456789")), size, flip, margin=margin)
    usual, kept = (kind(setup, setup.data(None, None), 40, 7, CPU) for kind in (_Opened, _OnDevice))
    for epoch in range(2):
        for step in range(2):
            for one, other in zip(usual.batch(epoch, step), kept.batch(epoch, step), strict=True):
                assert torch.equal(one, other)
                assert one.stride() == other.stride()
