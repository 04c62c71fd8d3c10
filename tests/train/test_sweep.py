# SPDX-License-Identifier: Apache-2.0
import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bitlens.compiler import compile
from bitlens.data import Dataset, Split, digits
from bitlens.data.ptb import Corpus
from bitlens.models import DigitsNet, LanguageModel
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.quant import Bits, QuantError, Spec
from bitlens.results.compare import compare_net, compare_runs
from bitlens.results.forms import open_form
from bitlens.results.inspect import inspect_program
from bitlens.results.line import export_run, frozen_run
from bitlens.train import RECIPES, Classification, LanguageModelling, TrainError, run
from bitlens.train.checkpoint import load_checkpoint
from bitlens.train.sweep import assign, choose, layer_sizes, limit_of, sweep


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Any:
    """A recipe named digits on 200 images."""
    part = Split(digits().train.images[:200], digits().train.labels[:200])
    dataset = Dataset(part, part, tuple("0123456789"))
    task = Classification(lambda *_: dataset, size=8, flip=False, channels=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "digits", dataclasses.replace(RECIPES["digits"], task=task, epochs=2))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "w8a8"
    run("digits", out=folder, bits="w8a8g6", threads=1)
    return folder


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "w1a2"
    run("digits", out=folder, bits="w1a2", epochs=6, threads=1)
    return folder


@given(st.data(), st.integers(1, 5), st.integers(2, 4))
def test_every_step_costs_the_least_loss_for_what_it_saves(data: st.DataObject, layers: int, levels: int) -> None:
    number = st.floats(0.1, 100, allow_nan=False)
    costs = [sorted(data.draw(st.sets(number, min_size=levels, max_size=levels)), reverse=True) for _ in range(layers)]
    losses = [data.draw(st.lists(number, min_size=levels, max_size=levels)) for _ in range(layers)]
    path = assign(costs, losses)
    assert path[0] == (0,) * layers
    assert path[-1] == (levels - 1,) * layers
    assert len(path) == layers * (levels - 1) + 1
    for before, after in itertools.pairwise(path):
        (moved,) = [i for i in range(layers) if before[i] != after[i]]
        assert after[moved] == before[moved] + 1

        def ratio(i: int, at: tuple[int, ...] = before) -> float:
            return (losses[i][at[i] + 1] - losses[i][at[i]]) / (costs[i][at[i]] - costs[i][at[i] + 1])

        assert ratio(moved) == min(ratio(i) for i in range(layers) if before[i] + 1 < levels)


def test_products_and_weights_of_every_layer() -> None:
    middle, ends = layer_sizes(RECIPES["digits"], Spec.parse("w2a2"))
    assert middle == {"conv1": (64 * 32 * 9 * 16, 32 * 9 * 16), "conv2": (16 * 64 * 9 * 32, 64 * 9 * 32)}
    assert ends == [((64 * 16 * 9, 16 * 9), Bits(8, 8)), ((256 * 10, 256 * 10), Bits(8, 8))]
    middle, _ = layer_sizes(RECIPES["bitfcn_camvid"], Spec.parse("w2a2"))  # transposed ones among them
    assert middle["up4.conv"] == (48 * 64 * 73_728, 73_728)  # with the zeros that are inserted


@pytest.mark.parametrize(
    "name", ["face_detector", "resnet20_cifar10"]
)  # with layers that are called three times; with joins
def test_bit_operations_are_those_of_the_program(name: str) -> None:
    recipe, spec = RECIPES[name], Spec.parse("w2a2")
    net = recipe.fresh(spec)
    middle, ends = layer_sizes(recipe, spec)
    counted = sum(4 * products for products, _ in middle.values())
    counted += sum(products * bits.weight * bits.activation for (products, _), bits in ends)
    program = compile(export(freeze(net.eval()), recipe.task.example()))
    assert counted == inspect_program(program, recipe.task.example().shape[-2:])["bit_operations"]


def test_a_sweep_chooses_within_its_budget(trained: Path) -> None:
    report = sweep(trained, budget="30%", candidates="w8a8,w4a4,w1a2", batches=2, threads=1)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    ends = 64 * (64 * 16 * 9 + 256 * 10)
    most = ends + 64 * 2 * 64 * 32 * 9 * 16
    assert report["budget"] == pytest.approx(0.3 * most)
    assert report["path"][0]["cost"] == report["uniform"][0]["cost"] == most
    assert [point["layers"] for point in report["uniform"]] == ["w8a8/w8a8", "w4a4/w4a4", "w1a2/w1a2"]
    costs = [point["cost"] for point in report["path"]]
    assert costs == sorted(costs, reverse=True)
    assert report["chosen"]["cost"] <= report["budget"]
    spec = Spec.parse(report["bits"])
    assert spec.middle == Bits(8, 8, 6)
    assert all(bits.gradient == 6 for bits in spec.layers)
    assert "/".join(f"w{bits.weight}a{bits.activation}" for bits in spec.layers) == report["chosen"]["layers"]
    for layer in report["layers"]:
        assert layer["loss"]["w8a8"] == pytest.approx(report["path"][0]["loss"], abs=1e-6)
        assert layer["loss"]["w1a2"] > layer["loss"]["w8a8"]
    again = sweep(trained, budget="30%", candidates="w8a8,w4a4,w1a2", batches=2, threads=1)
    assert again == report


@pytest.mark.parametrize("budget", ["20%", "60%", "100%"])
def test_the_choice_has_the_least_loss_of_the_path_and_the_uniform_points(
    trained: Path, narrow: Path, budget: str
) -> None:
    for folder in (trained, narrow):
        report = sweep(folder, budget=budget, candidates="w8a8,w4a4,w1a2", batches=2, threads=1)
        within = [point for point in report["path"] + report["uniform"] if point["cost"] <= report["budget"]]
        assert report["chosen"] in within
        for point in within:
            assert (report["chosen"]["loss"], report["chosen"]["cost"]) <= (point["loss"], point["cost"])
        assert Spec.parse(report["bits"]).layers == tuple(
            Bits.parse("layers", part + ("g6" if folder == trained else "g32"))
            for part in report["chosen"]["layers"].split("/")
        )
    assert report["chosen"]["layers"] == "w1a2/w1a2"  # at which it was trained
    assert report["chosen"]["loss"] < report["path"][0]["loss"]


def test_the_least_loss_within_the_budget_is_chosen_then_the_cheaper() -> None:
    points = {
        (0, 0): {"cost": 100.0, "loss": 0.1},
        (0, 1): {"cost": 70.0, "loss": 0.3},
        (1, 0): {"cost": 60.0, "loss": 0.3},
        (1, 1): {"cost": 50.0, "loss": 0.2},
        (2, 2): {"cost": 40.0, "loss": 0.4},
    }
    assert [choose(points, limit) for limit in (100, 99, 60, 49)] == [(0, 0), (1, 1), (1, 1), (2, 2)]
    del points[1, 1]
    assert choose(points, 99) == (1, 0)  # of two equal losses
    assert choose(dict(reversed(points.items())), 99) == (1, 0)


@pytest.mark.parametrize("most", [29, 38502400])
def test_the_whole_of_the_widest_is_a_budget(most: int) -> None:
    """100 times a hundredth of 29 is a little less than 29."""
    assert limit_of("100%", most, 1) == most


@pytest.mark.parametrize("layers", ["w8a8/w8a8", "w1a2/w8a8", "w1a2/w1a2"])
def test_a_points_loss_is_that_of_the_net_with_these_bits(trained: Path, layers: str) -> None:
    report = sweep(trained, candidates="w8a8,w4a4,w1a2", batches=3, threads=1)
    measured = {point["layers"]: point["loss"] for point in (*report["path"], *report["uniform"])}
    measured |= {f"{bits}/w8a8": loss for bits, loss in report["layers"][0]["loss"].items()}
    net = DigitsNet(Spec.parse(f"w8a8,layers={layers}"))
    net.load_state_dict(load_checkpoint(trained / "checkpoint.pt")["net"])
    task = RECIPES["digits"].task.open(None, None, 32, 0, torch.device("cpu"))
    losses = []
    for step in range(3):
        images, labels = task.batch(0, step)
        with torch.no_grad():
            losses.append(nn.functional.cross_entropy(net.train()(images), labels).item())  # of a batch's statistics
    assert measured[layers] == pytest.approx(np.mean(losses), abs=1e-4)  # in another layout of memory


def test_a_mixed_net_trains_compiles_and_equals_the_engine(trained: Path, tmp_path: Path) -> None:
    bits = "w8a8,layers=w4a3/w1a2"
    run("digits", out=tmp_path / "mixed", bits=bits, epochs=1, init=trained, threads=1)
    assert json.loads((tmp_path / "mixed" / "config.json").read_text())["bits"].endswith(",layers=w4a3/w1a2")
    (tmp_path / "m.onnx").write_bytes(export_run(tmp_path / "mixed").SerializeToString())
    program = compile(str(tmp_path / "m.onnx"))
    program.save(tmp_path / "m.bitlens")
    grids = [str(node.attrs["weight_grid"]) for node in program.graph if node.op == "conv"]
    assert grids[1:3] == ["odd 4", "bipolar"]
    images = digits().test.images[:50]
    layers = compare_net(frozen_run(tmp_path / "mixed"), program, images)
    assert layers["differing"] == layers["ties"]
    path = str(tmp_path / "m.bitlens")
    assert compare_runs(open_form(path, backend="golden"), open_form(path), images)["differing"] == 0


def test_mistakes_are_told_in_one_line(trained: Path, tmp_path: Path) -> None:
    def told(**arguments: Any) -> str:
        with pytest.raises((TrainError, QuantError)) as caught:
            sweep(**({"run": trained, "candidates": "w8a8,w4a4"} | arguments))
        return str(caught.value)

    assert told(cost="watts") == "cost: must be one of bit-operations, bytes, not watts"
    assert told(batches=0) == "batches: must be at least 1, not 0"
    for threads in (0, 1 << 31):
        assert told(threads=threads) == f"threads: must be 1 to 1024, not {threads}"
    assert told(budget="half") == "budget: must be a number or a share such as 40%, not half"
    for budget in ("nan", "inf", "-inf%"):
        assert told(budget=budget) == f"budget: must be a number or a share such as 40%, not {budget}"
    assert told(budget="1") == ("budget: must be at least 10190848 (26.5%), every layer at its narrowest, not 1")
    assert (
        told(candidates="w8a8")
        == "candidates: must be at least two, each of less bit-operations than the one before, not w8a8"
    )
    assert told(candidates="w4a2,w2a4").startswith("candidates: must be at least two, each of less bit-operations")
    assert told(candidates="w4a4,w4a2", cost="bytes").startswith("candidates: must be at least two, each of less bytes")
    assert told(candidates="w32a32,w4a4") == (
        "candidates: must be bits of weights and activations such as w4a4, not w32a32,w4a4"
    )
    assert told(candidates="w9a4,w4a4") == "candidates: w must be 1 to 8 or 32, not 9"
    assert told(run=tmp_path) == f"{tmp_path}: must be a run's folder with config.json, not without"
    with pytest.raises(QuantError) as caught:
        run("digits", out=tmp_path / "run", bits="w2a2,layers=w2a2/w2a2/w1a2")
    assert str(caught.value) == "layers: bits must be as many as the middle layers of digits, 2, not 3"
    with pytest.raises(QuantError) as caught:
        run("digits", out=tmp_path / "run", bits="w2a2,layers=w2a2")
    assert str(caught.value) == "layers: must name the bits of every middle layer of the net, not of 1 only"
    for decay in ("w8a8:1", "w1a2:1"):
        with pytest.raises(QuantError):  # a stage before it, or the run's own after a wide one
            run("digits", out=tmp_path / "run", bits="w2a2,layers=w2a2", decay=decay)
    with pytest.raises(QuantError, match="LSQWeight"):
        run("digits", out=tmp_path / "run", bits="w2a2,weight=lsq", decay="w32a32:1,w1a2:1")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("share", ["", "%"])
@given(st.floats(1, 1e12), st.floats(0.001, 1))
def test_the_budget_that_a_refusal_names_will_do(share: str, most: float, part: float) -> None:
    least = max(1.0, most * part)
    with pytest.raises(TrainError) as caught:
        limit_of("0" + share, max(most, least), least)
    number, percent = re.fullmatch(r".* at least (\d+) \(([\d.]+%)\), .*", str(caught.value)).groups()  # type: ignore[union-attr]
    for told in (number, percent):
        assert limit_of(told, max(most, least), least) >= least


def test_a_text_has_no_bits_to_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus(*(np.arange(200) % 7 for _ in range(3)), tuple("abcdefg"))
    task = LanguageModelling(lambda *_: corpus, unroll=5)
    recipe = dataclasses.replace(RECIPES["lstm_ptb"], task=task, net=lambda spec: LanguageModel(spec, "lstm", 7, 4))
    monkeypatch.setitem(RECIPES, "lstm_ptb", recipe)
    run("lstm_ptb", out=tmp_path / "run", epochs=1, batch=4, threads=1)
    with pytest.raises(TrainError, match=r"^lstm_ptb: must have no state that is carried to choose bits, as texts do$"):
        sweep(tmp_path / "run")


@pytest.mark.parametrize(("first", "last"), [("w32a32", "w2a4"), ("w8a8", "w32a32"), ("w32a32", "w32a32")])
def test_an_end_that_is_float_has_8_bits_in_the_program(trained: Path, first: str, last: str, tmp_path: Path) -> None:
    bits = f"w8a8,first={first},last={last}"
    run("digits", out=tmp_path / "run", bits=bits, init=trained, epochs=1, threads=1)
    found = Spec.parse(sweep(tmp_path / "run", candidates="w8a8,w4a4", batches=1, threads=1)["bits"])
    wanted = [Bits(8, 8) if end == "w32a32" else Bits(2, 4) if end == "w2a4" else Bits(8, 8) for end in (first, last)]
    assert [found.first, found.last] == wanted
