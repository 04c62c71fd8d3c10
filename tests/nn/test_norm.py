# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from torch import nn

from bitlens.nn import BatchNorm2d
from bitlens.quant import QuantError, exporting

f = np.float32


@pytest.mark.parametrize("affine", [True, False])
def test_evaluation_is_the_reference_arithmetic(affine: bool) -> None:
    torch.manual_seed(0)
    layer = BatchNorm2d(5, eps=1e-4, affine=affine)
    with torch.no_grad():
        for values in (layer.running_mean, layer.running_var.exp_(), *layer.parameters()):
            values.add_(torch.rand(5) * 3)
    layer.eval()
    x = torch.randn(7, 5, 11, 13) * 4
    gamma, beta = (layer.weight, layer.bias) if affine else (torch.ones(5), torch.zeros(5))
    mean, var, gamma, beta = (v.detach().numpy() for v in (layer.running_mean, layer.running_var, gamma, beta))
    a = gamma * (f(1) / np.sqrt(var + f(1e-4)))
    b = beta - mean * a
    shape = (1, 5, 1, 1)
    expected = x.numpy() * a.reshape(shape) + b.reshape(shape)  # numpy rounds product and sum by themselves
    assert np.array_equal(layer(x).detach().numpy(), expected)
    channels_last = layer(x.contiguous(memory_format=torch.channels_last))
    assert np.array_equal(channels_last.detach().numpy(), expected)


def test_training_and_export_are_the_frameworks() -> None:
    mine, theirs = BatchNorm2d(4), nn.BatchNorm2d(4)
    x = torch.randn(6, 4, 5, 5)
    assert torch.equal(mine(x), theirs(x))
    assert torch.equal(mine.running_var, theirs.running_var)
    mine.eval()
    theirs.eval()
    with exporting():
        assert torch.equal(mine(x), theirs(x))
    assert torch.allclose(mine(x), theirs(x), atol=1e-5)


def test_without_running_statistics_it_is_the_frameworks() -> None:
    mine, theirs = (kind(4, track_running_stats=False).eval() for kind in (BatchNorm2d, nn.BatchNorm2d))
    x = torch.randn(6, 4, 5, 5)
    assert torch.equal(mine(x), theirs(x))


def test_one_value_a_channel_is_no_batch() -> None:
    norm = BatchNorm2d(3)
    with pytest.raises(QuantError) as caught:
        norm(torch.rand(1, 3, 1, 1))
    assert str(caught.value) == (
        "BatchNorm2d: a batch must have at least 2 values a channel in training, not 1 as of (1, 3, 1, 1)"
    )
    norm(torch.rand(2, 3, 1, 1))
    norm.eval()(torch.rand(1, 3, 1, 1))
