# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bitlens.cli import main
from bitlens.results import reproduce as module
from bitlens.results.reproduce import ReproduceError, reproduce


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path | None]]:
    """A table "faces" of the rows a, b and a broken c; what was measured."""
    made: list[tuple[str, Path | None]] = []

    def row(name: str, figures: Mapping[str, Any]) -> Callable[[Path | None], Mapping[str, Any]]:
        def measure(data: Path | None) -> Mapping[str, Any]:
            made.append((name, data))
            if not figures:
                raise RuntimeError("broken")
            return figures

        return measure

    rows = {"a": row("a", {"recall": 0.5, "faces": 3}), "b": row("b", {"recall": 0.25}), "c": row("c", {})}
    monkeypatch.setattr(module, "import_module", lambda name: SimpleNamespace(ROWS=rows))
    return made


def test_rows_are_measured_once_and_kept(tmp_path: Path, calls: list[Any]) -> None:
    out = tmp_path / "faces.json"
    assert [r["row"] for r in reproduce("faces", out, tmp_path, "b")] == ["b"]
    with pytest.raises(RuntimeError, match="broken"):
        reproduce("faces", out, tmp_path)
    assert calls == [("b", tmp_path), ("a", tmp_path), ("c", tmp_path)]
    rows = json.loads(out.read_text())  # what was measured before the fault is there, in the table's order
    assert [(r["row"], r["metric"], r["measured"]) for r in rows] == [
        ("a", "recall", 0.5),
        ("a", "faces", 3),
        ("b", "recall", 0.25),
    ]
    assert rows[0]["command"] == 'bitlens reproduce faces --data DIR --row "a"'
    assert {*rows[0]} == {"row", "metric", "measured", "command", "seconds", "machine", "date"}
    reproduce("faces", out, None, "a", again=True)
    assert calls[-1] == ("a", None)
    assert len(json.loads(out.read_text())) == 3


def test_the_command_prints_the_table(tmp_path: Path, calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "x.json")
    assert main(["reproduce", "faces", "-o", out, "--row", "a"]) == 0
    assert re.search(r"^a +recall +0.5$", capsys.readouterr().out, re.MULTILINE)
    assert main(["reproduce", "faces", "-o", out, "--row", "b", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_mistakes_are_told(tmp_path: Path, calls: list[Any]) -> None:
    out = tmp_path / "x.json"
    with pytest.raises(ReproduceError, match=r"^table: must be one of faces, recurrent, .*, not cats$"):
        reproduce("cats", out)
    with pytest.raises(ReproduceError, match=r"^row: must be one of a; b; c, not d$"):
        reproduce("faces", out, row="d")
    for text, told in {
        "{}": "no list of rows",
        "no": "Expecting value",
        "[1]": "row 1 is no object",
        '[{"row": 1}]': "row 1 has no row",
        '[{"row": "a"}]': "row 1 has no metric",
        '[{"row": "a", "metric": "recall"}]': "row 1 has no measured",
    }.items():
        out.write_text(text)
        with pytest.raises(
            ReproduceError, match=f"^{re.escape(str(out))}: must be a table of figures, not another file \\({told}"
        ):
            reproduce("faces", out)
        assert out.read_text() == text


def test_only_trained_rows_have_threads_a_device_and_a_cache(
    tmp_path: Path, calls: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = r"^faces: {} must be left out, because its rows are not trained$"
    for given in ({"threads": 1}, {"device": "cpu"}, {"cache": tmp_path}, {"jobs": 2, "record": True}):
        named = ", ".join(sorted(given, reverse=True))
        with pytest.raises(ReproduceError, match=sentence.format(named)):
            reproduce("faces", tmp_path / "x.json", **given)
    flags = ["--threads", "1", "--device", "cpu", "--cache", str(tmp_path), "--jobs", "2", "--record"]
    for at in range(0, len(flags), 2):
        assert main(["reproduce", "faces", "-o", str(tmp_path / "x.json"), *flags[at : at + 2]]) == 2
        assert re.search(sentence.format(r"\w+"), capsys.readouterr().err.strip())
    assert calls == []


def test_rows_that_another_process_measures_meanwhile_are_kept(
    tmp_path: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "faces.json"
    rows = module.import_module("").ROWS
    alone = rows["a"]

    def beside(data: Path | None) -> Mapping[str, Any]:
        reproduce("faces", out, row="b")
        figures: Mapping[str, Any] = alone(data)
        return figures

    monkeypatch.setitem(rows, "a", beside)
    reproduce("faces", out, row="a")
    assert [row["row"] for row in json.loads(out.read_text())] == ["a", "a", "b"]


PUTS = """
import sys
from pathlib import Path
from bitlens.results.table_file import put_rows

first = int(sys.argv[2])
for number in range(first, first + 50):
    name = f"row {number}"
    put_rows("faces", Path(sys.argv[1]), (name, None), [{"row": name, "metric": "m", "measured": 1}], lambda line: line["row"], [])
"""


def test_two_processes_lose_no_row_of_each_other(tmp_path: Path) -> None:
    out = tmp_path / "faces.json"
    both = [subprocess.Popen([sys.executable, "-c", PUTS, str(out), str(first)]) for first in (100, 150)]
    assert [process.wait() for process in both] == [0, 0]
    assert [row["row"] for row in json.loads(out.read_text())] == [f"row {number}" for number in range(100, 200)]


def test_where_no_table_can_be_is_told_before_a_row_is_measured(tmp_path: Path, calls: list[Any]) -> None:
    for place in (tmp_path, tmp_path / "none" / "faces.json"):
        with pytest.raises(OSError, match=re.escape(str(place))):
            reproduce("faces", place, row="a")
    assert calls == []


def test_a_pipe_is_given_all_rows(tmp_path: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(module.import_module("").ROWS, "c")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert [row["row"] for row in reproduce("faces", pipe)] == ["a", "a", "b"]
    assert os.read(reader, 1 << 16).decode().count('"row"') == 2 + 3  # after a and after b
    os.close(reader)
