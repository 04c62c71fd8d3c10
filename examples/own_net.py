# SPDX-License-Identifier: Apache-2.0
"""A net of your own with a residual sum: quantized layers are torch's plus quantizers, joins share one grid."""

import numpy as np
import torch
from torch import Tensor, nn

import bitlens
from bitlens.nn import BatchNorm2d, QuantAdd, QuantConv2d, freeze
from bitlens.qonnx.export import export
from bitlens.quant import DoReFaActivation, DoReFaWeight, JoinActivation, NarrowWeight, UnsignedInput


def low_bit(channels: int) -> QuantConv2d:
    return QuantConv2d(
        channels, channels, 3, padding=1, bias=False,
        input_quantizer=DoReFaActivation(2), weight_quantizer=DoReFaWeight(1),
    )  # fmt: skip


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = QuantConv2d(
            3, 16, 3, padding=1, bias=False, input_quantizer=UnsignedInput(8), weight_quantizer=NarrowWeight(8)
        )
        self.bn0, self.conv, self.bn1 = BatchNorm2d(16), low_bit(16), BatchNorm2d(16)
        self.add = QuantAdd(input_quantizer=JoinActivation(8))
        self.last = low_bit(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn0(self.first(x))
        x = self.add(x, self.bn1(self.conv(x)))
        return self.last(x)


def main() -> int:
    torch.manual_seed(0)
    net = Net()
    net(torch.rand(64, 3, 8, 8))  # batch norm sees some data; train here
    program = bitlens.compile(export(freeze(net), torch.zeros(1, 3, 8, 8)))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    (engine,) = bitlens.Session(program).run(images).values()
    (golden,) = program.run(images).values()
    differing = int((engine != golden).sum())
    print(f"{differing} of {golden.size} integers differ between engine and golden")
    return differing


if __name__ == "__main__":
    main()
