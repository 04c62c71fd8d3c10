# SPDX-License-Identifier: Apache-2.0
"""The float forms of a net in other runtimes agree with each other, whatever the batch."""

from pathlib import Path

import numpy as np
import onnx
import torch

from bitlens.models import DigitsNet
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.quant import Spec
from bitlens.results import bench
from bitlens.results.peers import PEERS


def test_the_float_form_is_the_same_in_both(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = freeze(DigitsNet(Spec.parse("w2a2")).eval())
    path, images = str(tmp_path / "m.onnx"), np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
    onnx.save(export(net, torch.zeros(1, 1, 8, 8)), path)
    named = {name: run for opened in PEERS.values() for name, run in opened(path, images, 1).items()}
    floats = [run for name, run in named.items() if name.endswith("float32")]
    assert len(named) == 3
    assert len(floats) == 2
    for batch in (images, images[:2]):
        (one,), (other,) = (run(batch) for run in floats)
        assert one.shape[0] == len(batch)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(one).max())


def test_the_command_knows_the_peers() -> None:
    assert (*PEERS,) == bench._PEERS
