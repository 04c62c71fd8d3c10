# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitlens.models import DigitsNet
from bitlens.models.language import LanguageModel
from bitlens.nn import freeze
from bitlens.quant import Spec
from bitlens.results.line import export_run
from bitlens.train import TrainError, load_run, run
from bitlens.train.weights import load_weights, save_weights


def images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(1)) / 255


@pytest.mark.parametrize(
    "bits", ["w1a1", "w1a2,weight=balanced", "w2a2,weight=mean", "w8a8", "w32a32", "w4a32", "w32a2"]
)
def test_a_published_net_computes_what_the_trained_one_does(tmp_path: Path, bits: str) -> None:
    torch.manual_seed(0)
    net = DigitsNet(Spec.parse(bits)).train()
    net(images(16))
    save_weights(net, tmp_path / "weights.npz")
    other = DigitsNet(Spec.parse(bits))
    load_weights(other, tmp_path / "weights.npz")
    assert torch.equal(other(images(5)), net.eval()(images(5)))
    assert torch.equal(freeze(other)(images(5)), net(images(5)))  # freezing again changes nothing


def test_a_published_language_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, other = (LanguageModel(Spec.parse("w2a2,weight=mean"), vocabulary=50, hidden=8) for _ in range(2))
    save_weights(net, tmp_path / "weights.npz")
    load_weights(other, tmp_path / "weights.npz")
    tokens = torch.randint(0, 50, (3, 9), generator=torch.Generator().manual_seed(1))
    assert torch.equal(other(tokens)[0], net(tokens)[0])
    with np.load(tmp_path / "weights.npz") as file:
        assert file["embedding.weight_codes"].dtype == np.int8
        assert set(np.unique(file["embedding.weight_codes"])) <= {0, 1, 2, 3}


def test_a_run_s_weights_are_small_and_export_to_the_same_model(tmp_path: Path) -> None:
    run("digits", out=tmp_path, epochs=1, threads=1)
    whole, model = load_run(tmp_path), export_run(tmp_path)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes["weights.npz"] * 20 < sizes["checkpoint.pt"]
    (tmp_path / "checkpoint.pt").unlink()
    published = load_run(tmp_path)
    assert torch.equal(published(images(5)), freeze(whole)(images(5)))
    assert export_run(tmp_path).SerializeToString() == model.SerializeToString()


def test_damaged_and_foreign_weights_are_told(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    net = DigitsNet(Spec.parse("w1a2"))
    save_weights(net, path)
    with pytest.raises(TrainError, match=f"^{path}: must be weights of this net \\("):
        load_weights(DigitsNet(Spec.parse("w32a32")), path)
    with pytest.raises(TrainError, match=f"^{path}: must be weights of this net \\("):
        load_weights(nn.Linear(3, 3), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TrainError) as caught:
        load_weights(net, path)
    assert str(caught.value) == f"{path}: must be whole weights, not damaged or foreign"
