# SPDX-License-Identifier: Apache-2.0
"""Recurrent programs on a text: every form reads it alike, and the perplexity is the trained net's."""

import json
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import bitlens
from bitlens.cli import main
from bitlens.graph.file import Program
from bitlens.graph.graph import GraphError
from bitlens.models import LanguageModel
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.quant import Spec
from bitlens.results import line
from bitlens.results.bench import bench_program
from bitlens.results.forms import ArrayError, open_form
from bitlens.results.sequence import program_perplexity, prove_exact_sequence, tokens_of
from bitlens.train import TrainError
from programs import chain_program

TEXTS = {"train": "a b c a b d a\n" * 9, "valid": "a b c\n" * 3, "test": "a b c d a b a\n" * 6}


@pytest.fixture(scope="module")
def net() -> LanguageModel:
    torch.manual_seed(0)
    return freeze(LanguageModel(Spec.parse("w2a2,weight=mean"), "gru", vocabulary=6, hidden=9))


@pytest.fixture(scope="module")
def model(net: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    proto = export(net.to_fixed(), torch.zeros(1, dtype=torch.int64))
    entry = proto.metadata_props.add()
    entry.key, entry.value = "recipe", "gru_ptb"
    path = tmp_path_factory.mktemp("gru") / "m.bitlens"
    bitlens.compile(proto).save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ptb")
    for part, text in TEXTS.items():
        (folder / f"ptb.{part}.txt").write_text(text)
    return folder


def test_perplexity_is_that_of_the_fixed_form_word_by_word(net: LanguageModel, model: Path, data: Path) -> None:
    tokens = tokens_of("gru_ptb", str(data))
    fixed, total = net.to_fixed().eval(), 0.0
    state = fixed.initial_state(1)
    for word, following in pairwise(tokens):
        scores, state = fixed.step(torch.tensor([word]), state)
        total -= float(torch.log_softmax(scores.detach().double(), 1)[0, following])
    wanted = math.exp(total / (len(tokens) - 1))
    for backend in ("engine", "golden"):
        assert program_perplexity(open_form(str(model), backend=backend), tokens) == pytest.approx(wanted, rel=1e-6)


def test_chunks_carry_the_state(model: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = tokens_of("gru_ptb", str(data))
    whole = program_perplexity(open_form(str(model)), tokens)
    monkeypatch.setattr("bitlens.results.sequence._CHUNK", 5)
    assert program_perplexity(open_form(str(model)), tokens) == pytest.approx(whole, rel=1e-12)


def test_every_form_is_exact_and_a_changed_net_is_found(
    net: LanguageModel, model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tokens_of("gru_ptb", str(data), 20)
    monkeypatch.setattr(line, "frozen_run", lambda run: net)
    report = prove_exact_sequence(str(model), tokens, "run")
    forms = [row["form"] for row in report["forms"]]
    assert (forms[0], forms[-1]) == ("portable", "trained net")
    assert all(row["codes"] == 20 * (6 + 9) and row["differing"] == 0 for row in report["forms"])
    torch.manual_seed(1)
    other = freeze(LanguageModel(Spec.parse("w2a2,weight=mean"), "gru", vocabulary=6, hidden=9))
    monkeypatch.setattr(line, "frozen_run", lambda run: other)
    report = prove_exact_sequence(str(model), tokens, "run")
    assert report["forms"][-1]["differing"] > 0
    assert all(row["differing"] == 0 for row in report["forms"][:-1])


def test_the_command_line_reads_a_text(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(model), "--data", str(data), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["words"] == 48
    assert report["recipe"] == "gru_ptb"
    assert main(["eval", str(model), "--data", str(data), "--exact"]) == 0
    assert capsys.readouterr().out.endswith("0 differing codes\n")
    assert main(["inspect", str(model)]) == 0
    assert "state: h_next is h of the next step, 1x1x9 unsigned 2, at first 2" in capsys.readouterr().out


def test_rows_of_an_array_are_steps(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = np.array([1, 0, 3, 2, 2])
    np.save(tmp_path / "words.npy", words)
    assert main(["run", str(model), "--input", str(tmp_path / "words.npy")]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    golden, _ = Program.load(model).run_sequence(words)
    assert np.array_equal(scores, golden["scores"])
    forms = [str(model), f"{model}:golden"]
    assert main(["diff", *forms, "--input", str(tmp_path / "words.npy")]) == 0
    assert "0 differing codes of 30" in capsys.readouterr().out
    assert main(["run", str(model), "--input", str(tmp_path / "words.npy"), "--keep"]) == 2
    assert capsys.readouterr().err.startswith("keep: must not be asked of a recurrent program")


def test_bench_takes_a_batch_as_steps(model: Path) -> None:
    (row,) = bench_program(str(model), batch=3, seconds=0.01)["rows"]
    assert row["images_per_second"] > 0


def test_states_are_told_at_compile_time(
    net: LanguageModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = export(net.to_fixed(), torch.zeros(1, dtype=torch.int64))
    told = [entry for entry in proto.metadata_props if entry.key != "bitlens.states"]
    del proto.metadata_props[:]
    proto.metadata_props.extend(told)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    words = ["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.bitlens")]
    assert main(words) == 0
    assert not Program.load(tmp_path / "m.bitlens").graph.states
    assert main([*words, "--state", "h=h_next:0.333"]) == 0
    (state,) = Program.load(tmp_path / "m.bitlens").graph.states
    assert (state.input, state.output, np.unique(state.initial).tolist()) == ("h", "h_next", [1])
    capsys.readouterr()
    for text, sentence in (
        ("h", "--state: must be IN=OUT or IN=OUT:X, not h"),
        ("h=", "--state: must be IN=OUT or IN=OUT:X, not h="),
        ("x=h_next", "x: a state's input must be one of tokens, h, not x"),
        ("h=c_next", "h: a state's output must be one of scores, h_next, not c_next"),
    ):
        assert main([*words, "--state", text]) == 2
        assert capsys.readouterr().err == sentence + "\n"


def test_refusals(tmp_path: Path, data: Path) -> None:
    with pytest.raises(TrainError, match=r"^digits: task must be language modelling, not Classification$"):
        tokens_of("digits", str(data))
    with pytest.raises(TrainError, match=r"^limit: must be at least 2 words, not 1$"):
        tokens_of("gru_ptb", str(data), 1)
    chain_program(0).save(tmp_path / "plain.bitlens")
    sentence = f"{tmp_path / 'plain.bitlens'}: program must have states to read a text, not none"
    with pytest.raises(GraphError, match=f"^{re.escape(sentence)}$"):
        prove_exact_sequence(str(tmp_path / "plain.bitlens"), np.arange(3))
    form = open_form(str(tmp_path / "plain.bitlens"))
    with pytest.raises((ValueError, ArrayError)):
        form.run(np.zeros((2, 3)))
