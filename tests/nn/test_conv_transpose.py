# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from torch import nn

from bitlens.nn import QuantConv2d, QuantConvTranspose2d, convolution_weight, zero_insertion
from bitlens.nn.freeze import freeze
from bitlens.qonnx.export import export
from bitlens.quant import DoReFaActivation, DoReFaWeight, exporting


def whole(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randint(-9, 10, shape, generator=generator).float()


@pytest.mark.parametrize(("stride", "tail"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 2)])
def test_zeros_are_inserted(stride: int, tail: int) -> None:
    x = torch.randn(2, 3, 4, 5)
    y = zero_insertion(x, stride, tail)
    expected = torch.zeros(2, 3, 3 * stride + 1 + tail, 4 * stride + 1 + tail)
    expected[:, :, : 3 * stride + 1 : stride, : 4 * stride + 1 : stride] = x
    assert torch.equal(y, expected)


@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 2),
    st.sampled_from([1, 2, 4]),
    st.data(),
)
@settings(deadline=None, max_examples=40)
def test_whole_numbers_give_torchs_numbers(
    kernel: int, stride: int, dilation: int, groups: int, data: st.DataObject
) -> None:
    padding = data.draw(st.integers(0, dilation * (kernel - 1)))
    output_padding = data.draw(st.integers(0, stride - 1))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1 << 30)))
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": output_padding,
        "dilation": dilation,
        "groups": groups,
    }
    layer, theirs = QuantConvTranspose2d(4, 8, kernel, **options), nn.ConvTranspose2d(4, 8, kernel, **options)
    with torch.no_grad():
        theirs.weight.copy_(whole(generator, *theirs.weight.shape))
        theirs.bias.copy_(whole(generator, 8))
        layer.weight.copy_(convolution_weight(theirs.weight, groups))
        layer.bias.copy_(theirs.bias)
    assert torch.equal(convolution_weight(layer.weight, groups), theirs.weight)
    x = whole(generator, 2, 4, 9, 10)
    assert torch.equal(layer(x), theirs(x))
    with exporting():  # zero insertion and a convolution
        assert torch.equal(layer(x), theirs(x))


@pytest.mark.parametrize("training", [True, False])
def test_it_is_zero_insertion_and_a_convolution(training: bool) -> None:
    quantizers = {"weight_quantizer": DoReFaWeight(2), "input_quantizer": DoReFaActivation(2)}
    up = QuantConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, bias=False, **quantizers).train(training)
    conv = QuantConv2d(4, 6, 3, padding=1, bias=False, **quantizers).train(training)
    conv.load_state_dict(up.state_dict())
    x = torch.randn(2, 4, 5, 7)
    assert up(x).shape == (2, 6, 10, 14)
    expected = conv(zero_insertion(x, 2, 1))
    assert torch.equal(up(x), expected)
    freeze(up)
    with exporting():
        assert torch.allclose(up(x), expected, atol=1e-5)


def test_an_exported_layer_is_one_zero_insertion_and_a_conv() -> None:
    quantizers = {"weight_quantizer": DoReFaWeight(2), "input_quantizer": DoReFaActivation(2)}
    layer = QuantConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, bias=False, **quantizers)
    model = export(freeze(layer), torch.zeros(1, 4, 5, 7))
    assert sorted(node.op_type for node in model.graph.node) == ["Clip", "Conv", "ConvTranspose", "Quant", "Quant"]
    insertion, conv = (next(n for n in model.graph.node if n.op_type == op) for op in ("ConvTranspose", "Conv"))
    assert conv.input[0] == insertion.output[0]
    (ones,) = (numpy_helper.to_array(item) for item in model.graph.initializer if item.name == insertion.input[1])
    assert ones.tolist() == [[[[1]]]] * 4
    attributes = {item.name: list(item.ints) or item.i for item in insertion.attribute}
    assert attributes["strides"] == [2, 2]
    assert attributes["output_padding"] == [1, 1]
    assert attributes["group"] == 4
    assert {item.name: list(item.ints) for item in conv.attribute}["pads"] == [1, 1, 1, 1]


def test_gradients_are_torchs() -> None:
    layer = QuantConvTranspose2d(4, 6, 3, stride=2, padding=1)
    theirs = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1)
    with torch.no_grad():
        layer.weight.copy_(convolution_weight(theirs.weight))
        layer.bias.copy_(theirs.bias)
    x = torch.randn(2, 4, 5, 5)
    layer(x).square().sum().backward()
    theirs(x).square().sum().backward()
    assert torch.allclose(layer.weight.grad, convolution_weight(theirs.weight.grad), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"padding": 3}, "padding must be 0 to 2, not 3"),
        ({"output_padding": 2}, "output_padding must be 0 to 1, not 2"),
    ],
)
def test_what_no_convolution_gives_is_refused(options: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"^QuantConvTranspose2d: {sentence}$"):
        QuantConvTranspose2d(4, 6, 3, stride=2, **options)
