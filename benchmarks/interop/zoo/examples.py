# SPDX-License-Identifier: Apache-2.0
"""Every model that comes inside the brevitas package and computes on integers, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from configparser import ConfigParser
from functools import partial
from pathlib import Path

import brevitas_examples
import torch
from torch import nn

from zoo.model import Model

__all__ = ["EXAMPLES"]

ROOT = Path(brevitas_examples.__file__).parent
SPEECH = ("perchannelscaling_4b", "perchannelscaling_8b", "pertensorscaling_8b")
SUPER_RESOLUTION = (
    "w8a8_base",
    "w8a8_a2q_32b",
    "w8a8_a2q_16b",
    "w4a4_base",
    "w4a4_a2q_32b",
    "w4a4_a2q_13b",
    "w4a4_a2q_plus_13b",
    "w8a8_a2q_plus_16b",
)


def bnn(name: str) -> nn.Module:
    from brevitas_examples.bnn_pynq import models

    return models.model_with_cfg(name, pretrained=False)[0]


def imagenet(name: str) -> nn.Module:
    """MobileNet and ProxylessNAS; their last pool is made for 224x224 images, so it gets as small as the images are."""
    from brevitas_examples.imagenet_classification import models

    net, _ = models.model_with_cfg(name, bit_width=8 if name == "quant_mobilenet_v1" else None)
    net.final_pool.kernel_size = 2
    return net


def vgg(name: str) -> nn.Module:
    """The last pool is 7x7, for 224x224 images; here the map is 1x1, and the first matrix as small as that."""
    import brevitas.nn as qnn
    from brevitas_examples.imagenet_classification.models import vgg as models
    from brevitas_examples.imagenet_classification.models.common import CommonIntWeightPerChannelQuant

    net = getattr(models, name)(bit_width=4)
    net.avgpool.kernel_size = 1
    net.classifier = nn.Sequential(
        qnn.QuantLinear(512, 64, bias=True, weight_quant=CommonIntWeightPerChannelQuant, weight_bit_width=4),
        *[*net.classifier][1:3],
        qnn.QuantLinear(64, 10, bias=False, weight_quant=CommonIntWeightPerChannelQuant, weight_bit_width=4),
    )
    return net


def a2q_resnet18() -> nn.Module:
    from brevitas_examples.imagenet_classification.a2q.resnet import quant_resnet18

    return quant_resnet18(act_bit_width=4, weight_bit_width=4)


def espcn(name: str) -> nn.Module:
    from brevitas_examples.super_resolution.models import get_model_by_name

    return get_model_by_name(name)


class Encoder(nn.Module):
    """QuartzNet without the search for the best letters."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = net.encoder, net.decoder

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(encoder_output=self.encoder(x))


def quartznet(name: str) -> nn.Module:
    from brevitas_examples.speech_to_text.quartznet.quartznet import quartznet
    from ruamel.yaml import YAML

    folder = ROOT / "speech_to_text" / "cfg"
    config = ConfigParser()
    config.read(folder / f"quant_quartznet_{name}.ini")
    topology = YAML(typ="safe").load((folder / "topology" / "quartznet15x5.yaml").read_text())
    return Encoder(quartznet(config, topology, export_mode=True))


def melgan() -> nn.Module:
    from brevitas_examples.text_to_speech.melgan.melgan import melgan

    config = ConfigParser()
    config.read(ROOT / "text_to_speech" / "cfg" / "quant_melgan_8b.ini")
    net = melgan(config)
    net.remove_weight_norm()
    return net


def _many(
    build: Callable[[str], nn.Module], names: list[str], what: str, shape: tuple[int, ...], **more: object
) -> list[Model]:
    return [Model(name, f"{what}: {name}", partial(build, name), shape, **more) for name in names]


EXAMPLES: list[Model] = [
    *_many(
        bnn, [f"{net}_{bits}" for net in ("tfc", "sfc") for bits in ("1w1a", "1w2a", "2w2a")], "bnn_pynq", (1, 28, 28)
    ),
    *_many(bnn, ["lfc_1w1a", "lfc_1w2a"], "bnn_pynq", (1, 28, 28)),
    *_many(bnn, ["cnv_1w1a", "cnv_1w2a", "cnv_2w2a"], "bnn_pynq", (3, 32, 32)),
    *_many(bnn, ["resnet18_4w4a"], "bnn_pynq", (3, 32, 32), sample="bytes", large=True, bytes_in=True),
    *_many(
        imagenet,
        ["quant_mobilenet_v1", "quant_mobilenet_v1_4b", "quant_mobilenet_v1_4b_round_avgpool"],
        "imagenet",
        (3, 64, 64),
        sample="bytes",
        large=True,
        bytes_in=True,
    ),
    *_many(
        imagenet,
        [f"quant_proxylessnas_mobile14_{kind}" for kind in ("4b", "4b5b", "4b_round_avgpool", "hadamard_4b")],
        "imagenet",
        (3, 64, 64),
        sample="bytes",
        large=True,
        bytes_in=True,
    ),
    *_many(vgg, ["quant_vgg11", "quant_vgg16_bn"], "imagenet", (3, 32, 32), sample="bytes", large=True, bytes_in=True),
    Model("a2q_resnet18", "imagenet: a2q resnet18 w4a4", a2q_resnet18, (3, 32, 32), "bytes", large=True, bytes_in=True),
    *_many(espcn, [f"quant_espcn_x2_{kind}" for kind in SUPER_RESOLUTION], "super resolution", (3, 16, 16)),
    *(
        Model(f"quartznet_{name}", f"speech to text: {name}", partial(quartznet, name), (64, 64), "normal", large=True)
        for name in SPEECH
    ),
    Model("melgan_8b", "text to speech: MelGAN", melgan, (80, 8), "normal", large=True),
]
