# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F

from bitlens.train import cross_entropy as module
from bitlens.train.cross_entropy import cross_entropy


@pytest.mark.parametrize("classes", [1, 2, 7, 64, 65])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 21])
def test_it_is_torchs_loss_and_gradient(monkeypatch: pytest.MonkeyPatch, rows: int, classes: int) -> None:
    monkeypatch.setattr(module, "_BLOCK", 64)  # blocks of 64 down to 1 rows
    torch.manual_seed(rows)
    logits = (torch.randn(rows, classes, dtype=torch.float64) * 9).requires_grad_()
    targets = torch.randint(classes, (rows,))
    found, wanted = cross_entropy(logits, targets), F.cross_entropy(logits, targets)
    torch.testing.assert_close(found, wanted)
    slopes = [torch.autograd.grad(3 * loss, logits)[0] for loss in (found, wanted)]
    torch.testing.assert_close(*slopes)


def test_logits_far_from_zero_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == 1e4
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.tensor([[0.0, 0.0], [-0.5, 0.5]]))
