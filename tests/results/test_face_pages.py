# SPDX-License-Identifier: Apache-2.0
"""What pages and cards say of the face nets is what `docs/results/faces.json` holds, and that is of the nets that are shipped."""

import json
from pathlib import Path

import pytest

from bitlens.results.face_blocks import BLOCKS
from bitlens.results.face_figures import DASH, Table, plain, told
from bitlens.results.face_goals import goals
from bitlens.results.face_pages import PAGES, blocks_of, renew_pages, renewed
from bitlens.results.faces import PROGRAMS, ROWS, shipped_source
from bitlens.vision import FaceDetector

ROOT = Path(__file__).parents[2]
LINES = json.loads((ROOT / "docs/results/faces.json").read_text())
TABLE = Table(LINES)
OURS = "detector, w1a2, integers on the engine"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_was_measured(page: str) -> None:
    text = (ROOT / page).read_text()
    assert blocks_of(text)
    assert text == renewed(text, TABLE), "figures have changed: python -m bitlens.results.face_pages"


def test_every_block_stands_in_a_page() -> None:
    assert {name for page in PAGES for name in blocks_of((ROOT / page).read_text())} == {*BLOCKS}


def test_every_row_is_of_the_table_and_of_the_shipped_programs() -> None:
    assert {line["row"] for line in LINES} <= {*ROWS}
    stated = [line["measured"] for line in LINES if line["metric"] == PROGRAMS]
    assert stated
    for programs in stated:
        assert programs == {name: shipped_source(name) for name in programs}, "new weights: measure the rows again"


def test_the_own_threshold_is_that_of_the_program() -> None:
    assert TABLE.value(OURS, "own threshold") == FaceDetector(threads=1).sure


def _line(row: str, metric: str, measured: object) -> dict[str, object]:
    return {"row": row, "metric": metric, "measured": measured, "machine": "one"}


def test_pages_are_written_again(tmp_path: Path) -> None:
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text("before <!-- faces: line short -->old\n<!-- end --> after\n")
    (tmp_path / "docs/results").mkdir()
    speed = _line("whole line, crowd clip of 800x450", "frames a second of processor time", 61.25)
    (tmp_path / "docs/results/faces.json").write_text(json.dumps([speed]))
    assert renew_pages(tmp_path) == [*PAGES]
    expected = "before <!-- faces: line short -->61.2 frames a second of processor time<!-- end --> after\n"
    assert (tmp_path / "README.md").read_text() == expected
    assert renew_pages(tmp_path) == []


def test_a_block_that_is_none_is_an_error() -> None:
    with pytest.raises(KeyError, match="lines"):
        renewed("<!-- faces: lines --><!-- end -->", TABLE)


@pytest.mark.parametrize("name", BLOCKS)
def test_what_was_not_measured_is_a_dash(name: str) -> None:
    block = BLOCKS[name](Table([]))
    assert DASH in block or name == "detector speed"
    assert "nan" not in block
    assert "None" not in block


def test_figures_are_written_with_their_interval() -> None:
    table = Table([_line("a", "b", [0.9497, 0.9267, 0.9698]), _line("a", "c", 3)])
    assert told(table.get("a", "b"), 1, 100, " %") == "95.0 % (92.7 to 97.0)"
    assert (table.value("a", "b"), plain(table.value("a", "c"), 1)) == (0.9497, "3.0")
    assert told(table.get("a", "d"), 1) == plain(table.value("a", "d"), 1) == DASH
    assert table.metrics("a") == ["b", "c"]


@pytest.mark.parametrize(
    ("share", "alarms", "verdict"), [(0.95, 2, "met"), (0.9499, 2, "missed"), (0.99, 3, "missed"), (None, 2, DASH)]
)
def test_a_recall_counts_only_with_few_false_alarms(share: float | None, alarms: int, verdict: str) -> None:
    found = None if share is None else [share, 0.9, 1.0]
    lines = [
        _line(OURS, "recall, ytfaces, own threshold", found),
        _line(OURS, "false alarms in them, own threshold", alarms),
        _line(OURS, "test photographs without faces", 105),
    ]
    (row,) = [line for line in goals(Table(lines)).splitlines() if "`ytfaces` 95 %" in line]
    assert row.endswith(f"| {verdict} |")
