# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models import FacePose
from bitlens.quant import Spec
from nets import assert_trains_a_step, weights


def test_size_and_outputs() -> None:
    net = FacePose(Spec.parse("w2a2"))
    assert weights(net) == 9 * (24 + 24 * 48 + 48 * 48 + 48 * 72 + 72 * 72) + 16 * 72 * 3
    assert sum(parameter.numel() for parameter in net.parameters()) <= 200_000
    assert net(torch.rand(3, 1, 64, 64)).shape == (3, 3)


@pytest.mark.parametrize("bits", ["w1a2g6", "w2a2", "w32a32"])
def test_every_spec_trains_a_step(bits: str) -> None:
    torch.manual_seed(0)
    assert_trains_a_step(FacePose(Spec.parse(bits), width=4), torch.rand(2, 1, 64, 64))
