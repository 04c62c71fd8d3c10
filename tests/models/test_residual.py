# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models.layers import Layers
from bitlens.models.residual import ResidualBlock, residual_stage
from bitlens.quant import Spec


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 8, 2), (4, 8, 1), (4, 4, 2)])
def test_the_stream_keeps_its_shape_or_is_projected(inputs: int, outputs: int, stride: int) -> None:
    block = ResidualBlock(Layers(Spec.parse("w2a2")), inputs, outputs, stride)
    assert block(torch.randn(2, inputs, 8, 6)).shape == (2, outputs, 8 // stride, 6 // stride)
    projected = inputs != outputs or stride != 1
    assert any(name.startswith("shortcut") for name, _ in block.named_parameters()) == projected


def test_the_stream_passes_with_its_sign_and_its_gradient() -> None:
    block = ResidualBlock(Layers(Spec.parse("w2a2")), 4, 4)
    with torch.no_grad():
        block.bn3.weight.zero_()  # silences the branch
    x = torch.linspace(-3, 3, 4 * 16).reshape(1, 4, 4, 4).requires_grad_()
    y = block(x)
    assert torch.equal(y, block.add.input_quantizer(x))
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_a_chain_of_blocks_stays_within_the_reach() -> None:
    torch.manual_seed(0)
    layers = Layers(Spec.parse("w1a1"))
    x = 0.5 * torch.randn(8, 16, 16, 16)
    for _ in range(3):
        x = ResidualBlock(layers, 16, 16)(x)
    reach = layers.add().input_quantizer.reach
    assert (x.abs() > reach).float().mean() < 1e-3


def test_a_stage_changes_shape_in_its_first_block_and_keeps_its_dilations() -> None:
    stage = residual_stage(Layers(Spec.parse("w2a2")), 4, 8, 2, (1, 2, 4))
    assert [block.conv2.dilation for block in stage] == [(1, 1), (2, 2), (4, 4)]
    assert [block.conv1.stride for block in stage] == [(2, 2), (1, 1), (1, 1)]
    assert stage(torch.randn(1, 4, 16, 16)).shape == (1, 8, 8, 8)
