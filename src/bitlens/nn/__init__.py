# SPDX-License-Identifier: Apache-2.0
"""Layers that compute on integers (torch): the framework's layers plus quantizers."""

from bitlens.nn.conv import QuantConv1d, QuantConv2d
from bitlens.nn.conv_transpose import QuantConvTranspose2d, convolution_weight, zero_insertion
from bitlens.nn.crop import crop_like
from bitlens.nn.embedding import QuantEmbedding
from bitlens.nn.freeze import freeze
from bitlens.nn.gru import QuantGRU
from bitlens.nn.join import QuantAdd, QuantConcat
from bitlens.nn.layer import QuantLayer
from bitlens.nn.linear import QuantLinear
from bitlens.nn.lstm import QuantLSTM
from bitlens.nn.norm import BatchNorm2d
from bitlens.nn.pool import QuantGlobalAvgPool2d
from bitlens.nn.step import HasStep, RecurrentStep

__all__ = [
    "BatchNorm2d",
    "HasStep",
    "QuantAdd",
    "QuantConcat",
    "QuantConv1d",
    "QuantConv2d",
    "QuantConvTranspose2d",
    "QuantEmbedding",
    "QuantGRU",
    "QuantGlobalAvgPool2d",
    "QuantLSTM",
    "QuantLayer",
    "QuantLinear",
    "RecurrentStep",
    "convolution_weight",
    "crop_like",
    "freeze",
    "zero_insertion",
]
