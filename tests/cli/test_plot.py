# SPDX-License-Identifier: Apache-2.0
"""`bitlens plot` on a real run of the digits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bitlens.cli import main
from bitlens.cli.plot import PICTURES
from bitlens.quant import BalancedWeight
from bitlens.results.pictures import filters_of, histograms_of
from bitlens.train import load_run, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "w1a2"
    run("digits", out=folder, epochs=2, threads=1)
    return folder


def _fails(words: Sequence[object], capsys: pytest.CaptureFixture[str], sentence: str) -> None:
    assert main([str(word) for word in words]) == 2
    assert capsys.readouterr().err == sentence + "\n"


@pytest.mark.parametrize("picture", ["filters", "histograms", "curves"])
def test_a_picture_is_written_and_named(
    trained: Path, tmp_path: Path, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.png"
    capsys.readouterr()
    assert main(["plot", picture, str(trained), "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("of", ["weights", "activations", "gradients"])
def test_quantizers_need_no_run(tmp_path: Path, of: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.png"
    assert main(["plot", "quantizers", "--of", of, "--bits", "3", "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_entropy_prints_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.png"
    assert main(["plot", "entropy", "-o", str(path)]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    assert last == str(path)
    assert [line.split(",")[0] for line in table[:3]] == ["entropy of the codes", "dorefa", "uniform"]
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_run_may_stand_behind_the_flags(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", "filters", "-o", str(tmp_path / "p.png"), str(trained)]) == 0


@pytest.mark.parametrize("picture", PICTURES)
def test_every_picture_has_help_with_an_example(picture: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        main(["plot", picture, "--help"])
    assert leave.value.code == 0
    assert f"example: bitlens plot {picture} " in " ".join(capsys.readouterr().out.split())


def test_filters_are_the_layer_s_integers(trained: Path) -> None:
    name, filters = filters_of(trained, None)
    weight = load_run(trained).get_submodule(name).weight
    assert np.array_equal(filters, np.where(weight.detach().numpy() >= 0, 1, -1))


def test_equalized_weights_keep_their_order_and_fill_the_bins(trained: Path) -> None:
    name, panels = histograms_of(trained, None, 2)
    w, equalized = panels["float"].reshape(-1), panels["equalized"].reshape(-1)
    order = np.argsort(w, kind="stable")
    assert (np.diff(equalized[order]) >= 0).all()
    assert equalized.min() == 0
    assert equalized.max() == pytest.approx(1)
    codes = BalancedWeight(2).codes(torch.from_numpy(w))[0].numpy()
    assert np.array_equal(panels["balanced, 2 bits"].reshape(-1), codes)
    assert name in dict(load_run(trained).named_modules())


def test_a_float_net_shows_what_bits_would_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("digits", out=tmp_path, bits="w32a32", epochs=1, threads=1)
    capsys.readouterr()
    out = ["-o", tmp_path / "p.png"]
    _fails(["plot", "histograms", tmp_path, *out], capsys, "conv0: bits must be given for a float layer (--bits 2)")
    _fails(["plot", "filters", tmp_path, *out], capsys, f"{tmp_path}: net must have a layer for this picture, not none")
    assert len(np.unique(histograms_of(tmp_path, None, 2)[1]["balanced, 2 bits"])) == 4


def test_users_mistakes_are_one_line(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name, layer in load_run(trained).named_modules() if getattr(layer, "weight_quantizer", None)]
    filters = [name for name in names if load_run(trained).get_submodule(name).weight.dim() == 4]
    out = ["-o", tmp_path / "p.png"]
    _fails(
        ["plot", "filters", trained, "--layer", "no", *out],
        capsys,
        f"{trained}: layer must be one of {', '.join(filters)}, not no",
    )
    _fails(["plot", "filters", trained, trained, *out], capsys, "plot: filters must have one run, not 2")
    _fails(
        ["plot", "curves", tmp_path, *out],
        capsys,
        f"{tmp_path}: must be a run's folder with metrics.jsonl, not without",
    )
    metrics = tmp_path / "metrics.jsonl"
    for text, found in (("", "nothing"), ("1\n", "others")):
        metrics.write_text(text)
        sentence = f"{metrics}: must hold one JSON object an epoch, not {found}"
        _fails(["plot", "curves", tmp_path, *out], capsys, sentence)
    metrics.unlink()
    _fails(
        ["plot", "curves", trained, "-o", tmp_path / "no" / "p.png"],
        capsys,
        f"{tmp_path}/no/p.png: folder must exist, not be missing",
    )
    _fails(
        ["plot", "segments", trained, "--images", "a", *out],
        capsys,
        'plot: images must be numbers like 0,40,90, not "a"',
    )
    _fails(["plot", "quantizers", "--bits", 1, *out], capsys, "plot: bits must be 2 to 8, not 1")
    _fails(["plot", "segments", trained, *out], capsys, f"{trained}: task must be segmentation, not Classification")
    assert [file.name for file in tmp_path.iterdir()] == []
