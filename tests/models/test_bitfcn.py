# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models import BitFCN
from bitlens.quant import Spec
from nets import assert_trains_a_step, weights


def test_size() -> None:
    net = BitFCN(Spec.parse("w2a2"))
    blocks = 9 * (2 * 32 * 32 + 32 * 64 + 3 * 64 * 64 + 64 * 128 + 5 * 128 * 128 + 2 * 64 * 64 + 2 * 32 * 32)
    ups = 9 * (128 * 64 + 64 * 32)
    ends = 9 * (3 * 32 + 32 * 11) + 32 * 64 + 64 * 128  # with the two shortcuts
    assert weights(net) == blocks + ups + ends


@pytest.mark.parametrize("size", [(8, 8), (24, 40), (1, 1), (9, 17), (22, 30), (45, 51)])
@pytest.mark.parametrize("bits", ["w2a2", "w32a32"])
def test_any_size_gives_classes_at_full_size(size: tuple[int, int], bits: str) -> None:
    net = BitFCN(Spec.parse(bits), classes=5, width=4).eval()
    assert net(torch.rand(2, 3, *size)).shape == (2, 5, *size)


def test_what_is_seen_depends_on_the_neighbourhood_alone() -> None:
    torch.manual_seed(0)
    net = BitFCN(Spec.parse("w2a2"), width=4).eval()
    image = torch.rand(1, 3, 480, 16)
    other = image.clone()
    other[:, :, 400:] = torch.rand(1, 3, 80, 16)
    same = (net(image) == net(other)).all(1)[0].all(1)  # (H,)
    reach = 400 - int(torch.nonzero(~same)[0])
    assert same[: 400 - reach].all()
    assert 60 < reach < 200  # dilated context


@pytest.mark.parametrize("bits", ["w1a2g6", "w2a2,weight=balanced", "w8a8g8", "w32a32"])
def test_every_spec_trains_a_step(bits: str) -> None:
    torch.manual_seed(0)
    assert_trains_a_step(BitFCN(Spec.parse(bits), width=4), torch.rand(2, 3, 32, 40))
