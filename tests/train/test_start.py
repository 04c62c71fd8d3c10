# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor, nn

from bitlens.core.grid import Grid
from bitlens.models import DigitsNet
from bitlens.nn import QuantLinear
from bitlens.quant import Quantizer, Spec
from bitlens.train import TrainError
from bitlens.train.start import start_from


class Learned(Quantizer):
    """A quantizer with a learned scale."""

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.step = nn.Parameter(torch.tensor(1.0 / bits))

    @property
    def grid(self) -> Grid:
        return Grid.narrow(self.bits)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x / self.step).round(), self.step


def learned_net(bits: int | None) -> nn.Module:
    torch.manual_seed(bits or 0)
    quantizer = None if bits is None else Learned(bits)
    return nn.Sequential(QuantLinear(3, 2, weight_quantizer=quantizer))


def sentence(net: nn.Module, weights: dict[str, Tensor]) -> str:
    with pytest.raises(TrainError) as caught:
        start_from(net, weights, "runs/a", same_bits=False)
    return str(caught.value)


@pytest.mark.parametrize("bits", ["w1a1", "w2a2,weight=balanced", "w8a8", "w1a2g6,activation=cabs"])
def test_float_weights_start_every_net(bits: str) -> None:
    weights = DigitsNet(Spec.parse("w32a32")).state_dict()
    net = DigitsNet(Spec.parse(bits))
    start_from(net, weights, "float", same_bits=False)
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_learned_parameters_belong_to_their_bits() -> None:
    float_net, wide, narrow, twin = (learned_net(bits) for bits in (None, 4, 2, 4))
    start_from(wide, float_net.state_dict(), "float", same_bits=False)
    assert wide[0].weight_quantizer.step.item() == 0.25
    with torch.no_grad():
        wide[0].weight_quantizer.step.fill_(0.7)
    start_from(narrow, wide.state_dict(), "wide", same_bits=False)
    assert torch.equal(narrow[0].weight, float_net[0].weight)
    assert narrow[0].weight_quantizer.step.item() == 0.5
    start_from(twin, wide.state_dict(), "wide", same_bits=True)
    assert twin[0].weight_quantizer.step.item() == pytest.approx(0.7)
    start_from(float_net, narrow.state_dict(), "narrow", same_bits=False)


def test_what_does_not_fit_is_named() -> None:
    net = DigitsNet(Spec.parse("w1a2"))
    weights = net.state_dict()
    assert sentence(net, {}) == (
        "runs/a: weights must hold conv0.weight, bn0.weight, bn0.bias, bn0.running_mean and 16 more, not lack them"
    )
    kept = {name: value for name, value in weights.items() if name not in ("fc.bias", "bn1.bias")}
    assert sentence(net, kept) == "runs/a: weights must hold bn1.bias, fc.bias, not lack them"
    more = weights | {"fc2.weight": torch.zeros(1)}
    assert sentence(net, more) == "runs/a: weights must be those of this net, not also fc2.weight"
    other = weights | {"fc.weight": torch.zeros(3, 3)}
    assert sentence(net, other) == "runs/a: fc.weight must have shape (10, 256), not (3, 3)"
    with pytest.raises(TrainError, match=r"not also 0\.weight_quantizer\.step$"):
        start_from(learned_net(None), learned_net(2).state_dict(), "runs/a", same_bits=True)
