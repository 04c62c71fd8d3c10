# SPDX-License-Identifier: Apache-2.0
import numpy as np
import torch

import bitlens
from bitlens.models import BitFCN
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.quant import Spec
from bitlens.results.exact import prove_exact
from bitlens.results.forms import open_form
from bitlens.results.line import to_batch
from bitlens.results.segment import program_iou
from bitlens.train.segment import confusion, iou


def test_a_programs_iou_is_its_nets(tmp_path) -> None:
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
