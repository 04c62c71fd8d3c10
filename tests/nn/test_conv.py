# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from bitlens.nn import QuantConv1d, QuantConv2d, freeze
from bitlens.quant import DoReFaActivation, DoReFaWeight

FLAT = ("stride", "padding", "dilation")


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2, "padding": 1},
        {"dilation": 2},
        {"groups": 4},
        {"groups": 8, "bias": False},
        {"padding": (0, 1), "stride": (2, 1)},
    ],
)
def test_every_option_of_the_framework_works(options: dict[str, object]) -> None:
    layer = QuantConv2d(8, 8, 3, weight_quantizer=DoReFaWeight(2), input_quantizer=DoReFaActivation(2), **options)
    reference = nn.Conv2d(8, 8, 3, **options)
    reference.weight.data = layer.weight_quantizer(layer.weight).detach()
    if layer.bias is not None:
        reference.bias.data = layer.bias.data
    x = torch.rand(2, 8, 9, 9)
    assert torch.allclose(layer(x), reference(layer.input_quantizer(x)), atol=1e-5)


@pytest.mark.parametrize("options", [{"stride": 2, "padding": 1}, {"dilation": 2}, {"groups": 8, "bias": False}])
def test_one_dimension_is_a_map_of_height_one(options: dict[str, object]) -> None:
    layer = QuantConv1d(8, 8, 3, weight_quantizer=DoReFaWeight(2), input_quantizer=DoReFaActivation(2), **options)
    flat = {key: (0, value) if key == "padding" else (1, value) for key, value in options.items() if key in FLAT}
    other = {key: value for key, value in options.items() if key not in FLAT}
    twin = QuantConv2d(
        8, 8, (1, 3), weight_quantizer=DoReFaWeight(2), input_quantizer=DoReFaActivation(2), **flat, **other
    )
    twin.load_state_dict(
        {key: value.unsqueeze(2) if value.dim() == 3 else value for key, value in layer.state_dict().items()}
    )
    x = torch.rand(2, 8, 9)
    assert torch.equal(layer(x), twin(x.unsqueeze(2)).squeeze(2))
    assert torch.equal(freeze(layer)(x), freeze(twin)(x.unsqueeze(2)).squeeze(2))


def test_a_float_checkpoint_loads_with_no_missing_key() -> None:
    layer = QuantConv2d(3, 4, 3, weight_quantizer=DoReFaWeight(1), input_quantizer=DoReFaActivation(2))
    keys = layer.load_state_dict(nn.Conv2d(3, 4, 3).state_dict())
    assert not keys.missing_keys
    assert not keys.unexpected_keys


def test_padding_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^QuantConv2d: padding_mode must be zeros, not reflect$"):
        QuantConv2d(3, 4, 3, padding=1, padding_mode="reflect")
