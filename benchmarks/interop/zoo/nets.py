# SPDX-License-Identifier: Apache-2.0
"""Nets of well-known public designs, written in Brevitas."""

from __future__ import annotations

from itertools import pairwise

import brevitas.nn as qnn
import torch
from brevitas.quant import Int8ActPerTensorFixedPoint, Int8WeightPerChannelFloat, Uint8ActPerTensorFloat
from torch import nn

from zoo.model import Model

__all__ = ["NETS"]


def radio_vgg10(bits: int = 8) -> nn.Module:
    """VGG10 on I/Q samples of RadioML 2018: seven 1-D convolutions with pools, three linear layers."""
    layers: list[nn.Module] = [qnn.QuantHardTanh(bit_width=bits, min_val=-2.0, max_val=2.0, return_quant_tensor=True)]
    channels = 2
    for _ in range(7):
        layers += [
            qnn.QuantConv1d(channels, 64, 3, padding=1, bias=False, weight_bit_width=bits),
            nn.BatchNorm1d(64),
            qnn.QuantReLU(bit_width=bits, return_quant_tensor=True),
            nn.MaxPool1d(2),
        ]
        channels = 64
    layers.append(nn.Flatten())
    for inputs, outputs in ((128, 128), (128, 128)):
        layers += [
            qnn.QuantLinear(inputs, outputs, bias=False, weight_bit_width=bits),
            nn.BatchNorm1d(outputs),
            qnn.QuantReLU(bit_width=bits, return_quant_tensor=True),
        ]
    return nn.Sequential(*layers, qnn.QuantLinear(128, 24, bias=True, weight_bit_width=bits))


def keyword_mlp() -> nn.Module:
    """Keyword spotting on 10x49 MFCC features, 3-bit hidden layers."""
    layers: list[nn.Module] = [
        nn.Flatten(),
        qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint, bit_width=8, return_quant_tensor=True),
    ]
    inputs = 490
    for _ in range(3):
        layers += [
            qnn.QuantLinear(inputs, 256, bias=False, weight_bit_width=3),
            nn.BatchNorm1d(256),
            qnn.QuantReLU(bit_width=3, return_quant_tensor=True),
        ]
        inputs = 256
    return nn.Sequential(*layers, qnn.QuantLinear(256, 12, bias=True, weight_bit_width=3))


def jet_mlp(bits: int = 6) -> nn.Module:
    """Jet tagging: 16 features, 64, 32, 32, 5 classes, softmax."""
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=bits, return_quant_tensor=True)]
    inputs = 16
    for outputs in (64, 32, 32):
        layers += [
            qnn.QuantLinear(inputs, outputs, bias=True, weight_bit_width=bits),
            qnn.QuantReLU(bit_width=bits, return_quant_tensor=True),
        ]
        inputs = outputs
    return nn.Sequential(*layers, qnn.QuantLinear(32, 5, bias=True, weight_bit_width=bits), nn.Softmax(dim=1))


class Block(nn.Module):
    """A basic block whose branches meet on one grid."""

    def __init__(self, inputs: int, outputs: int, stride: int, bits: int, shared: nn.Module) -> None:
        super().__init__()
        conv = {"bias": False, "weight_bit_width": bits, "weight_quant": Int8WeightPerChannelFloat}
        self.body = nn.Sequential(
            qnn.QuantConv2d(inputs, outputs, 3, stride=stride, padding=1, **conv),
            nn.BatchNorm2d(outputs),
            qnn.QuantReLU(bit_width=bits, return_quant_tensor=True),
            qnn.QuantConv2d(outputs, outputs, 3, padding=1, **conv),
            nn.BatchNorm2d(outputs),
        )
        self.way = nn.Sequential(qnn.QuantConv2d(inputs, outputs, 1, stride=stride, **conv)) if stride > 1 else None
        self.join = shared if self.way is None else qnn.QuantIdentity(bit_width=bits, return_quant_tensor=True)
        self.end = qnn.QuantReLU(bit_width=bits, return_quant_tensor=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        other = self.join(x if self.way is None else self.way(x))
        return self.end(self.join(self.body(x)) + other)


def resnet8(bits: int = 8) -> nn.Module:
    """MLPerf Tiny's image classifier: three blocks of 16, 32, 64 channels on 32x32 images."""
    shared = qnn.QuantIdentity(bit_width=bits, return_quant_tensor=True)
    return nn.Sequential(
        qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True),
        qnn.QuantConv2d(3, 16, 3, padding=1, bias=False, weight_bit_width=bits),
        nn.BatchNorm2d(16),
        qnn.QuantReLU(bit_width=bits, return_quant_tensor=True),
        Block(16, 16, 1, bits, shared),
        Block(16, 32, 2, bits, shared),
        Block(32, 64, 2, bits, shared),
        qnn.TruncAvgPool2d(8, bit_width=8, float_to_int_impl_type="FLOOR"),
        nn.Flatten(),
        qnn.QuantLinear(64, 10, bias=True, weight_bit_width=bits),
    )


def ds_cnn(bits: int = 4) -> nn.Module:
    """MLPerf Tiny's keyword net: a 10x4 convolution and four depthwise separable blocks."""
    layers: list[nn.Module] = [
        qnn.QuantIdentity(bit_width=8, return_quant_tensor=True),
        qnn.QuantConv2d(1, 64, (10, 4), stride=2, padding=(5, 1), bias=False, weight_bit_width=8),
        nn.BatchNorm2d(64),
        qnn.QuantReLU(bit_width=bits, return_quant_tensor=True),
    ]
    for _ in range(4):
        for groups, kernel in ((64, 3), (1, 1)):
            layers += [
                qnn.QuantConv2d(64, 64, kernel, padding=kernel // 2, groups=groups, bias=False, weight_bit_width=bits),
                nn.BatchNorm2d(64),
                qnn.QuantReLU(bit_width=bits, return_quant_tensor=True),
            ]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), qnn.QuantLinear(64, 12, bias=True, weight_bit_width=bits)
    )


def autoencoder(bits: int = 8) -> nn.Module:
    """MLPerf Tiny's anomaly detector: 640, 128 x 4, 8, 128 x 4, 640."""
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=8, return_quant_tensor=True)]
    sizes = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128]
    for inputs, outputs in pairwise(sizes):
        layers += [
            qnn.QuantLinear(inputs, outputs, bias=True, weight_bit_width=bits),
            nn.BatchNorm1d(outputs),
            qnn.QuantReLU(bit_width=bits, return_quant_tensor=True),
        ]
    return nn.Sequential(*layers, qnn.QuantLinear(128, 640, bias=True, weight_bit_width=bits))


class UNet(nn.Module):
    """Two levels down and up again by transposed convolutions; skips are concatenated on one grid a level."""

    def __init__(self, bits: int = 4) -> None:
        super().__init__()
        conv = {"padding": 1, "bias": False, "weight_bit_width": bits}

        def block(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(qnn.QuantConv2d(inputs, outputs, 3, **conv), nn.BatchNorm2d(outputs))

        def up(inputs: int, outputs: int) -> nn.Module:
            return qnn.QuantConvTranspose2d(inputs, outputs, 2, stride=2, bias=False, weight_bit_width=bits)

        self.image = qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True)
        self.down1, self.down2, self.middle = block(3, 8), block(8, 16), block(16, 32)
        self.up2, self.merge2, self.up1, self.merge1 = up(32, 16), block(32, 16), up(16, 8), block(16, 8)
        acts = [qnn.QuantReLU(bit_width=bits, return_quant_tensor=True) for _ in range(5)]
        self.act1, self.act2, self.act3, self.act4, self.act5 = acts
        self.pool = nn.MaxPool2d(2)
        self.classes = qnn.QuantConv2d(8, 4, 1, bias=True, weight_bit_width=bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.act1(self.down1(self.image(x)))
        second = self.act2(self.down2(self.pool(first)))
        x = self.act3(self.middle(self.pool(second)))
        x = self.act4(self.merge2(torch.cat([self.act2(self.up2(x)), second], 1)))
        x = self.act5(self.merge1(torch.cat([self.act1(self.up1(x)), first], 1)))
        return self.classes(x)


NETS: list[Model] = [
    Model("radio_vgg10_w8a8", "RadioML VGG10, 1-D, w8a8", radio_vgg10, (2, 256), "normal"),
    Model("radio_vgg10_w4a4", "RadioML VGG10, 1-D, w4a4", lambda: radio_vgg10(4), (2, 256), "normal"),
    Model("keyword_mlp", "keyword spotting MLP w3a3", keyword_mlp, (1, 10, 49), "normal"),
    Model("jet_mlp", "jet tagging MLP w6a6, softmax", jet_mlp, (16,), "normal"),
    Model("resnet8_w8a8", "ResNet-8 of MLPerf Tiny, w8a8", resnet8, (3, 32, 32)),
    Model("resnet8_w4a4", "ResNet-8 of MLPerf Tiny, w4a4", lambda: resnet8(4), (3, 32, 32)),
    Model("ds_cnn_w4a4", "DS-CNN of MLPerf Tiny, w4a4", ds_cnn, (1, 49, 10), "normal"),
    Model("autoencoder_w8a8", "autoencoder of MLPerf Tiny, w8a8", autoencoder, (640,), "normal"),
    Model("unet_w4a4", "U-Net: transposed convolutions, concat, w4a4", UNet, (3, 32, 32)),
]
