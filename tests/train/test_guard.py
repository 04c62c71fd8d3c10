# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor, nn

from bitlens.models import DigitsNet
from bitlens.quant import Spec
from bitlens.train import TrainError
from bitlens.train.guard import check_finite


def guarded(net: nn.Module, x: Tensor) -> None:
    scores = net(x)
    loss = scores.square().mean()
    loss.backward()
    check_finite(net, loss, lambda: net(x), "epoch 2, step 17")


def sentence(net: nn.Module, x: Tensor) -> str:
    with pytest.raises(TrainError) as caught:
        guarded(net, x)
    return str(caught.value)


def digits_net() -> DigitsNet:
    torch.manual_seed(0)
    return DigitsNet(Spec.parse("w1a2g4"))


X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_healthy_step_passes() -> None:
    guarded(digits_net(), X)


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_a_bad_parameter_is_named(value: float, word: str) -> None:
    net = digits_net()
    with torch.no_grad():
        net.bn1.weight[3] = value
    assert sentence(net, X) == f"bn1.weight: values must be finite, not {word} (epoch 2, step 17)"


def test_the_first_bad_layer_is_named() -> None:
    class Diverges(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.max_pool2d(x, 2) * float("nan")

    net = digits_net()
    net.pool1 = Diverges()
    assert sentence(net, X) == "pool1: output must be finite, not nan (epoch 2, step 17)"


def test_a_bad_gradient_is_named() -> None:
    class BadGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, *grads: Tensor) -> Tensor:
            return grads[0] * float("inf")

    class Layer(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return BadGradient.apply(super().forward(x))

    net = nn.Sequential(nn.Linear(3, 3), Layer(3, 3), nn.Linear(3, 1))
    assert sentence(net, torch.ones(2, 3)) == "1.bias: gradient must be finite, not inf (epoch 2, step 17)"


def test_a_bad_loss_alone_is_told() -> None:
    net = nn.Linear(2, 1)
    with pytest.raises(TrainError) as caught:
        check_finite(net, torch.tensor(float("nan")), lambda: net(torch.ones(1, 2)), "epoch 1, step 1")
    assert str(caught.value) == "loss: value must be finite, not nan (epoch 1, step 1)"
