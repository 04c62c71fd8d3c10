# SPDX-License-Identifier: Apache-2.0
"""The float forms of a net in other runtimes agree with each other, whatever the batch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bitlens.models import DigitsNet
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.quant import Spec
from bitlens.results import bench
from bitlens.results.peers import PEERS, _runner


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


def test_images_are_converted_once_and_never_taken_for_others() -> None:
    calls = []

    def infer(images: np.ndarray) -> float:
        calls.append(images)
        return float(images.mean())

    run = _runner(infer)
    assert [run(np.full((1, 2, 2, 3), value, np.uint8)) for value in (0, 255, 51)] == pytest.approx([0, 1, 0.2])
    images = np.zeros((1, 2, 2, 3), np.uint8)
    run(images)
    run(images)
    assert calls[-1] is calls[-2]
