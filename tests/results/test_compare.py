# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import pytest

from bitlens.results.compare import CompareError, compare_runs, render
from bitlens.results.forms import open_form
from programs import chain_program, random_inputs


class Changed:
    """A form with one code of one layer turned."""

    recurrent = False

    def __init__(self, form: object) -> None:
        self.form = form
        self.metadata: dict[str, str] = {}

    def run(self, x: np.ndarray, *, keep: bool = False, real: bool = False) -> dict[str, np.ndarray]:
        outputs = self.form.run(x, keep=keep, real=real)  # type: ignore[attr-defined]
        if len(x) == 3:  # the last batch of 103
            outputs["steps3"][2, 1, 4, 0] += 1
        return outputs


@pytest.fixture
def golden(tmp_path_factory: pytest.TempPathFactory) -> object:
    path = tmp_path_factory.mktemp("m") / "m.bitlens"
    chain_program(0).save(path)
    return open_form(str(path), backend="golden")


def test_equal_forms(golden: object) -> None:
    images = random_inputs(chain_program(0), 103, 0)["image"]
    report = compare_runs(golden, golden, images)  # type: ignore[arg-type]
    assert report["differing"] == 0
    assert len(report["layers"]) == 10
    assert render(report).endswith(f"0 differing codes of {report['codes']:,}")


def test_the_first_difference_is_found(golden: object) -> None:
    images = random_inputs(chain_program(0), 103, 0)["image"]
    report = compare_runs(golden, Changed(golden), images)  # type: ignore[arg-type]
    assert report["differing"] == 1
    first = next(layer for layer in report["layers"] if layer["differing"])
    assert first["name"] == "steps3"
    assert first["first"]["at"] == [102, 1, 4, 0]
    assert first["first"]["other"] == first["first"]["one"] + 1
    assert "first difference: steps3" in render(report)


def test_nothing_in_common(golden: object) -> None:
    class Other:
        metadata: dict[str, str] = {}  # noqa: RUF012
        recurrent = False

        def run(self, x: np.ndarray, *, keep: bool = False, real: bool = False) -> dict[str, np.ndarray]:
            return {"else": x}

    with pytest.raises(CompareError, match=f"^{re.escape('diff: the two forms must have a layer in common')}$"):
        compare_runs(golden, Other(), random_inputs(chain_program(0), 1, 0)["image"])  # type: ignore[arg-type]
