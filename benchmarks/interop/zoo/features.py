# SPDX-License-Identifier: Apache-2.0
"""One small net for each feature."""

from __future__ import annotations

from collections.abc import Callable

import brevitas.nn as qnn
import torch
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFloat,
    Int8Bias,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFixedPoint,
    Int16Bias,
    Int32Bias,
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
    TruncTo8bit,
    Uint8ActPerTensorFixedPoint,
    Uint8ActPerTensorFloat,
)
from torch import nn

from zoo.model import Model

__all__ = ["FEATURES"]

IMAGE = (3, 12, 12)


def image() -> nn.Module:
    """Bytes / 255 onto 8 bits."""
    return qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, bit_width=8, return_quant_tensor=True)


def weights(bits: int) -> dict[str, object]:
    """A layer's arguments for weights of this many bits."""
    if bits == 1:
        return {"weight_quant": SignedBinaryWeightPerTensorConst}
    return {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": bits}


def activation(bits: int) -> nn.Module:
    """ReLU and quantizer, or a sign."""
    if bits == 1:
        return qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=True)
    return qnn.QuantReLU(bit_width=bits, return_quant_tensor=True)


def block(inputs: int, outputs: int, w: int, a: int, kernel: int = 3, **more: object) -> list[nn.Module]:
    """Convolution, batch norm, activation."""
    more = {"padding": 0 if a == 1 else kernel // 2, **more}
    conv = qnn.QuantConv2d(inputs, outputs, kernel, bias=False, **weights(w), **more)
    return [conv, nn.BatchNorm2d(outputs), activation(a)]


def cnn(w: int, a: int) -> nn.Module:
    """Three convolutions, a pool, a classifier."""
    size = 16 * (2 * 2 if a == 1 else 6 * 6)
    return nn.Sequential(
        image(),
        *block(3, 8, 8, a),
        *block(8, 16, w, a),
        nn.MaxPool2d(2),
        *block(16, 16, w, a, kernel=3),
        nn.Flatten(),
        qnn.QuantLinear(size, 10, bias=True, weight_bit_width=8),
    )


class Residual(nn.Module):
    """Two branches, onto one grid or each onto its own, and their sum."""

    def __init__(self, shared: bool, signed: bool = False) -> None:
        super().__init__()
        self.head = nn.Sequential(image(), *block(3, 8, 4, 4))
        self.left = nn.Sequential(
            qnn.QuantConv2d(8, 8, 3, padding=1, bias=False, weight_bit_width=4), nn.BatchNorm2d(8)
        )
        self.right = nn.Sequential(qnn.QuantConv2d(8, 8, 1, bias=False, weight_bit_width=4), nn.BatchNorm2d(8))
        make = (lambda: qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)) if signed else (lambda: activation(4))
        self.first = make()
        self.second = self.first if shared else make()
        self.tail = nn.Sequential(
            activation(4), nn.Flatten(), qnn.QuantLinear(8 * 144, 10, bias=False, weight_bit_width=4)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.head(x)
        return self.tail(self.first(self.left(x)) + self.second(self.right(x)))


class Concat(nn.Module):
    """Two branches side by side, on one grid."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(image(), *block(3, 8, 4, 4))
        self.left = nn.Sequential(
            qnn.QuantConv2d(8, 8, 3, padding=1, bias=False, weight_bit_width=4), nn.BatchNorm2d(8)
        )
        self.right = nn.Sequential(qnn.QuantConv2d(8, 4, 1, bias=False, weight_bit_width=4), nn.BatchNorm2d(4))
        self.join = activation(4)
        self.tail = qnn.QuantConv2d(12, 5, 3, bias=True, weight_bit_width=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.head(x)
        return self.tail(torch.cat([self.join(self.left(x)), self.join(self.right(x))], dim=1))


def transposed(per_channel: bool, kernel: int = 2, **more: object) -> nn.Module:
    quantizer = {"weight_quant": Int8WeightPerChannelFloat} if per_channel else {}
    layer = qnn.QuantConvTranspose2d(8, 6, kernel, stride=2, bias=True, weight_bit_width=4, **quantizer, **more)
    return nn.Sequential(
        image(), *block(3, 8, 4, 4), layer, activation(4), qnn.QuantConv2d(6, 4, 3, padding=1, weight_bit_width=4)
    )


def between(*layers: nn.Module, channels: int = 8) -> nn.Module:
    """A convolution, the layers in question, another convolution."""
    return nn.Sequential(
        image(),
        qnn.QuantConv2d(3, 8, 3, padding=1, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(8),
        *layers,
        qnn.QuantConv2d(channels, 4, 1, bias=False, weight_bit_width=4),
    )


def pooled(pool: nn.Module, size: int) -> nn.Module:
    """A pool between an activation and a classifier."""
    return nn.Sequential(
        image(), *block(3, 8, 4, 4), pool, nn.Flatten(), qnn.QuantLinear(8 * size, 10, bias=True, weight_bit_width=4)
    )


def biased(quantizer: type | None, **more: object) -> nn.Module:
    layer = qnn.QuantConv2d(8, 8, 3, padding=1, bias=True, bias_quant=quantizer, weight_bit_width=4, **more)
    return nn.Sequential(
        image(),
        *block(3, 8, 4, 4),
        layer,
        activation(4),
        nn.Flatten(),
        qnn.QuantLinear(8 * 144, 10, bias=True, bias_quant=quantizer, weight_bit_width=4),
    )


def fixed_point() -> nn.Module:
    def conv(inputs: int, outputs: int) -> nn.Module:
        return qnn.QuantConv2d(
            inputs, outputs, 3, padding=1, bias=True, weight_quant=Int8WeightPerTensorFixedPoint, bias_quant=Int8Bias
        )

    return nn.Sequential(
        qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint, return_quant_tensor=True),
        conv(3, 8),
        qnn.QuantReLU(act_quant=Uint8ActPerTensorFixedPoint, return_quant_tensor=True),
        conv(8, 8),
        qnn.QuantReLU(act_quant=Uint8ActPerTensorFixedPoint, return_quant_tensor=True),
        nn.AvgPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(8 * 36, 10, bias=True, weight_quant=Int8WeightPerTensorFixedPoint),
    )


def sequence(transposed: bool = False) -> nn.Module:
    middle = (
        qnn.QuantConvTranspose1d(8, 8, 4, stride=2, padding=1, bias=False, weight_bit_width=4)
        if transposed
        else qnn.QuantConv1d(8, 8, 3, padding=2, dilation=2, bias=False, weight_bit_width=4)
    )
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8, return_quant_tensor=True),
        qnn.QuantConv1d(2, 8, 5, padding=2, bias=False, weight_bit_width=8),
        nn.BatchNorm1d(8),
        activation(4),
        nn.MaxPool1d(2),
        middle,
        nn.BatchNorm1d(8),
        activation(4),
        qnn.QuantConv1d(8, 4, 1, bias=True, weight_bit_width=4),
    )


class Recurrent(nn.Module):
    """A cell over a sequence (L, N, C)."""

    def __init__(self, cell: type) -> None:
        super().__init__()
        self.cell = cell(8, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x)[0]


def signed(bits: int) -> nn.Module:
    return qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True)


def _cnns() -> list[Model]:
    def one(w: int, a: int) -> Callable[[], nn.Module]:
        return lambda: cnn(w, a)

    pairs = [(1, 1), (1, 2), (2, 2), (3, 3), (4, 4), (5, 6), (8, 8)]
    return [Model(f"cnn_w{w}a{a}", f"convolutions, pool, linear: w{w}a{a}", one(w, a), IMAGE) for w, a in pairs]


FEATURES: list[Model] = [
    *_cnns(),
    Model(
        "depthwise",
        "depthwise and 1x1 convolutions",
        lambda: between(activation(4), *block(8, 8, 4, 4, groups=8), *block(8, 8, 4, 4, kernel=1)),
        IMAGE,
    ),
    Model(
        "grouped",
        "groups, stride, dilation",
        lambda: between(
            activation(4), *block(8, 8, 4, 4, groups=2, stride=2), *block(8, 8, 4, 4, dilation=2, padding=2)
        ),
        IMAGE,
    ),
    Model(
        "bipolar_padding",
        "signs with zero padding",
        lambda: between(activation(1), *block(8, 8, 1, 1, padding=1)),
        IMAGE,
    ),
    Model("residual", "residual sum, one shared quantizer", lambda: Residual(shared=True), IMAGE),
    Model("residual_signed", "residual sum, shared and signed", lambda: Residual(shared=True, signed=True), IMAGE),
    Model("residual_apart", "residual sum of unlike scales", lambda: Residual(shared=False), IMAGE),
    Model("concat", "concat on one grid", Concat, IMAGE),
    Model("transposed", "transposed convolution", lambda: transposed(per_channel=False), IMAGE),
    Model(
        "transposed_channel", "transposed convolution, scales per channel", lambda: transposed(per_channel=True), IMAGE
    ),
    Model(
        "transposed_overlap",
        "transposed convolution that overlaps",
        lambda: transposed(False, 3, padding=1, output_padding=1),
        IMAGE,
    ),
    Model(
        "upsample",
        "nearest upsampling",
        lambda: between(activation(4), qnn.QuantUpsample(scale_factor=2, mode="nearest")),
        IMAGE,
    ),
    Model("pixel_shuffle", "pixel shuffle", lambda: between(activation(4), nn.PixelShuffle(2), channels=2), IMAGE),
    Model(
        "channel_act",
        "activation scales per channel",
        lambda: between(
            qnn.QuantReLU(
                bit_width=4,
                max_val=6.0,
                scaling_per_output_channel=True,
                per_channel_broadcastable_shape=(1, 8, 1, 1),
                scaling_stats_permute_dims=(1, 0, 2, 3),
                return_quant_tensor=True,
            ),
            *block(8, 8, 4, 4, groups=8),
        ),
        IMAGE,
    ),
    Model("signed_act", "signed activations", lambda: between(signed(4)), IMAGE),
    Model("leaky", "leaky ReLU in front of the quantizer", lambda: between(nn.LeakyReLU(0.1), signed(4)), IMAGE),
    Model("prelu", "PReLU in front of the quantizer", lambda: between(nn.PReLU(8), signed(4)), IMAGE),
    Model("relu6", "ReLU6 in front of the quantizer", lambda: between(nn.ReLU6(), activation(4)), IMAGE),
    Model("silu", "SiLU in front of the quantizer", lambda: between(nn.SiLU(), signed(4)), IMAGE),
    Model("gelu", "GELU in front of the quantizer", lambda: between(nn.GELU(), signed(4)), IMAGE),
    Model("hardswish", "hard swish in front of the quantizer", lambda: between(nn.Hardswish(), signed(4)), IMAGE),
    Model("elu", "ELU in front of the quantizer", lambda: between(nn.ELU(), signed(4)), IMAGE),
    Model("softplus", "softplus in front of the quantizer", lambda: between(nn.Softplus(), activation(4)), IMAGE),
    Model(
        "hardtanh",
        "QuantHardTanh",
        lambda: between(qnn.QuantHardTanh(bit_width=4, min_val=-1.0, max_val=1.0, return_quant_tensor=True)),
        IMAGE,
    ),
    Model("tanh", "QuantTanh", lambda: between(qnn.QuantTanh(bit_width=6, return_quant_tensor=True)), IMAGE),
    Model("sigmoid", "QuantSigmoid", lambda: between(qnn.QuantSigmoid(bit_width=6, return_quant_tensor=True)), IMAGE),
    Model(
        "trunc_floor",
        "average pool, Trunc rounds down",
        lambda: pooled(qnn.TruncAvgPool2d(2, trunc_quant=TruncTo8bit, float_to_int_impl_type="FLOOR"), 36),
        IMAGE,
    ),
    Model(
        "trunc_round",
        "average pool, Trunc rounds",
        lambda: pooled(qnn.TruncAvgPool2d(2, trunc_quant=TruncTo8bit, float_to_int_impl_type="ROUND"), 36),
        IMAGE,
    ),
    Model(
        "trunc_4bit",
        "average pool, Trunc to 4 bits",
        lambda: pooled(qnn.TruncAvgPool2d(4, bit_width=4, float_to_int_impl_type="FLOOR"), 9),
        IMAGE,
    ),
    Model(
        "trunc_adaptive",
        "global average pool, Trunc",
        lambda: pooled(qnn.TruncAdaptiveAvgPool2d(1, bit_width=8, float_to_int_impl_type="ROUND"), 1),
        IMAGE,
    ),
    Model(
        "avgpool",
        "average pool, quantized again",
        lambda: pooled(nn.Sequential(nn.AvgPool2d(3), activation(4)), 16),
        IMAGE,
    ),
    Model("avgpool_raw", "average pool into a linear layer", lambda: pooled(nn.AvgPool2d(2), 36), IMAGE),
    Model("global_avgpool", "adaptive average pool", lambda: pooled(nn.AdaptiveAvgPool2d(1), 1), IMAGE),
    Model(
        "maxpool_overlap",
        "3x3 max pool with stride 2 and padding",
        lambda: between(activation(4), nn.MaxPool2d(3, 2, 1)),
        IMAGE,
    ),
    Model("zero_pad", "uneven zero padding", lambda: between(activation(4), nn.ZeroPad2d((1, 2, 0, 1))), IMAGE),
    Model("bias_float", "bias left in float", lambda: biased(None), IMAGE),
    Model("bias_int8", "8-bit bias", lambda: biased(Int8Bias), IMAGE),
    Model("bias_int16", "16-bit bias", lambda: biased(Int16Bias), IMAGE),
    Model("bias_int32", "32-bit bias", lambda: biased(Int32Bias), IMAGE),
    Model("fixed_point", "power-of-two scales, 8-bit bias, average pool", fixed_point, IMAGE, sample="normal"),
    Model("sequence", "1-D convolutions, dilated", sequence, (2, 32), sample="normal"),
    Model(
        "sequence_transposed", "1-D transposed convolution", lambda: sequence(transposed=True), (2, 32), sample="normal"
    ),
    Model("lstm", "QuantLSTM", lambda: Recurrent(qnn.QuantLSTM), (5, 8), sample="normal"),
    Model("rnn", "QuantRNN", lambda: Recurrent(qnn.QuantRNN), (5, 8), sample="normal"),
]
