# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor

from bitlens.nn import QuantLinear, QuantLSTM
from bitlens.nn.recurrent_matrix import Matrix
from bitlens.quant import BalancedWeight, Quantizer, UnitActivation


class LearnedScale(Quantizer):
    """Bipolar weights whose scale is a parameter, one for all or one a row."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__(1)
        self.scale = torch.nn.Parameter(torch.rand(size) + 0.5)

    @property
    def grid(self):
        return BalancedWeight(1).grid

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.sign() + x - x.detach(), self.scale


@pytest.mark.parametrize("quantizer", [BalancedWeight(2), LearnedScale(()), LearnedScale((7,))])
def test_product_is_the_layers_with_its_gradients(quantizer: Quantizer) -> None:
    torch.manual_seed(0)
    layer = QuantLinear(5, 7, input_quantizer=UnitActivation(2), weight_quantizer=quantizer)
    x = layer.input_quantizer(torch.rand(9, 5)).requires_grad_()
    wanted = [x, *layer.parameters()]
    slow = layer(x)
    fast = Matrix.of(layer).product(layer.input_quantizer.codes(x)[0])
    assert torch.equal(fast, slow)
    g = torch.randn(9, 7)
    for a, b in zip(torch.autograd.grad(fast, wanted, g), torch.autograd.grad(slow, wanted, g), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_parts_of_the_sum_are_the_sum() -> None:
    layer = QuantLinear(5, 7, input_quantizer=UnitActivation(2), weight_quantizer=BalancedWeight(2)).eval()
    xh = layer.input_quantizer(torch.rand(3, 5))
    codes, _ = layer.input_quantizer.codes(xh)
    matrix = Matrix.of(layer)
    total = matrix.inputs(codes[None, :, :2])
    assert torch.equal(matrix.outputs(total[0], codes[:, 2:]), layer(xh))


@pytest.mark.parametrize("size", [(), (12,)])
def test_a_learned_scale_learns_in_a_sequence(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = QuantLSTM(4, 3, state_quantizer=UnitActivation(2), weight_quantizer=LearnedScale(size))
    x = layer.state_quantizer(torch.rand(2, 1, 4))
    wanted = list(layer.parameters())
    fast = torch.autograd.grad(layer(x)[0].sum(), wanted)
    slow = torch.autograd.grad(layer.step(x[:, 0], layer.initial_state(2))[0].sum(), wanted)
    for a, b in zip(fast, slow, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)
