# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest

from bitlens.cli import main
from bitlens.data.ptb import Corpus
from bitlens.models.language import LanguageModel
from bitlens.results.trained import evaluate_run
from bitlens.train import RECIPES, LanguageModelling, Recipe, run


def test_a_run_s_figure_is_that_of_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run("digits", out=tmp_path, epochs=1, threads=1)
    assert evaluate_run(tmp_path, None)["test_accuracy"] == result["test_accuracy"]
    capsys.readouterr()
    assert main(["eval", str(tmp_path)]) == 0
    assert (
        capsys.readouterr().out
        == f"{tmp_path}: test accuracy {result['test_accuracy']:.4f} (digits {result['bits']})\n"
    )


@pytest.mark.parametrize(("bits", "forms"), [("w4a4,weight=mean", 2), ("w32a32", 1)])
def test_a_language_model_is_measured_in_both_forms(
    tmp_path: Path, bits: str, forms: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = np.cumsum(np.random.default_rng(0).choice([1, 1, 2], 600)) % 7
    corpus = Corpus(words[:400], words[400:500], words[500:], tuple("abcdefg"))
    task = LanguageModelling(lambda _: corpus, 5)
    recipe = Recipe("small", task, lambda spec: LanguageModel(spec, vocabulary=7, hidden=8), bits, 1, 4, 1e-2)
    monkeypatch.setitem(RECIPES, "small", recipe)
    result = run("small", out=tmp_path, threads=1)
    capsys.readouterr()
    assert main(["eval", str(tmp_path), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["test_perplexity"] == result["test_perplexity"]
    assert sum(key.endswith("test_perplexity") for key in figures) == forms
    if forms == 2:
        assert figures["fixed_test_perplexity"] == pytest.approx(figures["test_perplexity"], rel=0.05)
