# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bitlens
from bitlens.models import BitFCN
from bitlens.nn import freeze
from bitlens.plots.canvas import PlotError
from bitlens.qonnx.export import export
from bitlens.quant import Spec
from bitlens.results.exact import prove_exact
from bitlens.results.forms import open_form
from bitlens.results.line import to_batch
from bitlens.results.segment import program_iou, segments_of
from bitlens.train import find_recipe
from bitlens.train.segment import confusion, iou
from bitlens.train.weights import save_weights


def test_a_programs_iou_is_its_nets(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = freeze(BitFCN(Spec.parse("w2a2"), width=4))
    path = tmp_path / "m.bitlens"
    bitlens.compile(export(net, torch.zeros(1, 3, 16, 16), symbolic=True)).save(path)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 14, 21, 3)).astype(np.uint8)
    masks = rng.integers(0, 12, (3, 14, 21))  # 11 is no class
    with torch.no_grad():
        results = net(to_batch(images)).argmax(1).numpy()
    wanted = float(np.nanmean(iou(confusion(masks.astype(np.uint8), results, 11))))
    for backend in ("engine", "golden"):
        assert program_iou(open_form(str(path), backend=backend), images, masks) == wanted
    report = prove_exact(str(path), images)
    assert report["forms"][0]["codes"] > 0
    assert all(row["differing"] == 0 for row in report["forms"])


def publish(run: Path, recipe: str, bits: str) -> None:
    """A run's folder with fresh weights."""
    run.mkdir()
    save_weights(find_recipe(recipe).fresh(Spec.parse(bits)), run / "weights.npz")
    told = {"epochs": 1, "seed": 0, "batch": 1, "rate": 0.1, "device": "cpu", "threads": 1}
    (run / "config.json").write_text(json.dumps({"recipe": recipe, "bits": bits, **told}))


def test_results_of_several_runs_stand_by_their_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        for folder, shape in ((part, (2, 16, 16, 3)), (f"{part}annot", (2, 16, 16))):
            (tmp_path / "data" / folder).mkdir(parents=True)
            for i, picture in enumerate(rng.integers(0, 12, shape, dtype=np.uint8)):
                Image.fromarray(picture).save(tmp_path / "data" / folder / f"{i}.png")
    for name, bits in (("a", "w2a2"), ("b", "w1a2"), ("c", "w2a2,weight=balanced")):
        publish(tmp_path / name, "bitfcn_camvid", bits)
    publish(tmp_path / "other", "digits", "w1a2")
    told = (tmp_path / "data", [1], tmp_path / "cache")
    images, truths, results, classes = segments_of([tmp_path / "a", tmp_path / "b"], *told)
    assert images.shape == (1, 16, 16, 3)
    assert list(results) == ["w2a2", "w1a2"]
    assert all(found.shape == truths.shape and found.max() < len(classes) for found in results.values())
    assert list(segments_of([tmp_path / "a", tmp_path / "c"], *told)[2]) == ["a", "c"]
    with pytest.raises(PlotError) as caught:
        segments_of([tmp_path / "a", tmp_path / "other"], *told)
    assert str(caught.value) == "plot: runs must be of one recipe, not bitfcn_camvid, digits"
