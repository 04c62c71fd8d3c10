# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models import FaceClearness
from bitlens.quant import Spec
from nets import assert_trains_a_step, weights


def test_size_and_outputs() -> None:
    net = FaceClearness(Spec.parse("w2a2"))
    assert weights(net) == 25 * 24 + 9 * (24 * 32 + 32 * 48 + 48 * 64) + 2 * 64
    assert net(torch.rand(3, 1, 112, 112)).shape == (3, 2)


def test_where_a_patch_lies_does_not_matter() -> None:
    torch.manual_seed(0)
    net = FaceClearness(Spec.parse("w2a2"), width=6).eval()
    crop = torch.full((1, 1, 112, 112), 0.5)
    one, other = crop.clone(), crop.clone()
    patch = torch.rand(24, 24)
    one[0, 0, 32:56, 32:56] = patch
    other[0, 0, 48:72, 40:64] = patch  # moved by whole cells of the last map, 8 pixels
    assert torch.equal(net(one), net(other))
    assert not torch.equal(net(one), net(crop))


@pytest.mark.parametrize("bits", ["w1a2g6", "w2a2", "w32a32"])
def test_every_spec_trains_a_step(bits: str) -> None:
    torch.manual_seed(0)
    assert_trains_a_step(FaceClearness(Spec.parse(bits), width=6), torch.rand(2, 1, 48, 48))
