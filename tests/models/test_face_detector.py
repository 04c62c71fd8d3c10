# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

import bitlens
from bitlens.models import FaceDetectorNet
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.quant import Spec


def test_has_at_most_80_000_parameters() -> None:
    assert sum(p.numel() for p in FaceDetectorNet(Spec.parse("w1a2")).parameters()) == 77071


@pytest.mark.parametrize("size", [(64, 64), (65, 33), (1, 1), (480, 640)])
def test_maps_of_any_size(size: tuple[int, int]) -> None:
    net = FaceDetectorNet(Spec.parse("w1a2"), width=8).eval()
    with torch.no_grad():
        maps = net(torch.rand(2, 1, *size))
    for stride in (8, 16, 32):
        assert maps[f"stride{stride}"].shape == (2, 15, *(-(-side // stride) for side in size))


def test_scales_share_their_filters_and_nothing_is_hot_at_first() -> None:
    net = FaceDetectorNet(Spec.parse("w32a32"))
    maps = net(torch.rand(2, 1, 64, 64))
    assert all((cells[:, 0].sigmoid() < 0.3).all() for cells in maps.values())
    names = {name for name, _ in net.named_parameters() if name.endswith(".weight") and "norm" not in name}
    assert {n.split(".")[0] for n in names} == {"conv0", "bn0", "conv1", "bn1", "down", "narrow", "looks", "head"}


@pytest.mark.parametrize("size", [(64, 96), (50, 75)])
def test_compiled_for_any_size_it_gives_the_trained_nets_maps(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = FaceDetectorNet(Spec.parse("w1a2"), width=8)
    net(torch.rand(4, 1, 64, 64))
    model = export(freeze(net.eval()), torch.zeros(1, 1, 64, 64), symbolic=True)
    program = bitlens.compile(model)
    luma = np.random.default_rng(0).integers(0, 256, (2, *size, 1)).astype(np.uint8)
    engine = bitlens.Session(program, size=size).run(luma, real=True)
    golden = program.run(luma)
    integers = bitlens.Session(program, size=size).run(luma)
    with torch.no_grad():
        trained = net(torch.from_numpy(luma.transpose(0, 3, 1, 2).astype(np.float32)) / 255)
    for name, cells in trained.items():
        np.testing.assert_array_equal(integers[name], golden[name])
        np.testing.assert_allclose(engine[name].transpose(0, 3, 1, 2), cells.numpy(), atol=1e-4)
