# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.data import digits
from bitlens.train import Classification
from bitlens.train.task import part, rows_of

SETUP = Classification(lambda *_: digits(), size=8, flip=True, channels=1)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_processes_share_the_batch_of_one(count: int) -> None:
    whole = SETUP.open(None, None, 30, 0, torch.device("cpu")).batch(1, 4)
    tasks = [SETUP.open(None, None, 30, 0, torch.device("cpu")) for _ in range(count)]
    shares = [task.share(1, 4, number, count) for number, task in enumerate(tasks)]
    assert all(len(inputs) == len(targets) == 30 // count for inputs, targets in shares)
    for tensor, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert torch.equal(tensor, torch.cat(parts))


def test_parts_of_what_does_not_divide_are_as_equal_as_can_be() -> None:
    assert [rows_of(7, number, 3) for number in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 7)]
    inputs, targets = torch.arange(7), torch.arange(7) * 2
    assert [part((inputs, targets), number, 3)[1].tolist() for number in range(3)] == [[0, 2], [4, 6], [8, 10, 12]]
