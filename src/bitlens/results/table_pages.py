# SPDX-License-Identifier: Apache-2.0
"""The page of the papers' tables, its pictures and the README's summary, written from `docs/results/TABLE.json` alone.

python -m bitlens.results.table_pages       # from the root of the source, after `bitlens reproduce TABLE`
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitlens.core.files import write_atomically
from bitlens.results.face_figures import DASH, rows
from bitlens.results.orderings import (
    MET,
    MISSED,
    UNLIKE,
    UNMEASURED,
    UNRESOLVED,
    Statement,
    Verdict,
    judge,
    newest,
    seeds_of,
)
from bitlens.results.papers import ENGINE, ENTROPY, TORCH, figure_of
from bitlens.results.table_file import read_rows
from bitlens.results.table_run import ReproduceError
from bitlens.results.trainings import TRAININGS

__all__ = ["TITLES", "draw_table", "page_of", "read_tables", "renew_pages", "summary_of"]

Rows = dict[str, list[dict[str, Any]]]

TITLES = {
    "recurrent": (
        "Recurrent nets",
        "Penn Treebank, complete Mikolov split, one layer of 300 units; test perplexity. As trained is the paper's form, whose "
        "gates are float; what the engine runs is the fixed form, integers throughout. The entropy tells how many bits the "
        "codes of recurrent and softmax weights use. Unbalanced rows differ by the scale alone: the largest weight behind tanh. "
        "LSTM 2/2 uniform-max has no tanh, so nothing bounds its scale: it learned for two epochs, to 316 in training, and "
        "then unlearned. "
        "Rows read 60 streams at a rate of 0.008 and drop 0.15 of the codes.",
    ),
    "fcn": (
        "Bit fully convolutional nets",
        "CamVid, 11 classes, 233 test images of 360x480; mean IoU. With decay a net is float for 4 epochs, has 8 and 4 bits "
        "for 2 each and its own for 6; 8/8 and 4/4 are stages of that, so they have no rows with decay. A step takes 4 "
        "crops, which was chosen by the training loss and the mean IoU of test images after 3 epochs. The published column "
        "is of another data set (VOC 2012); the talk does not say whether with decay, and it stands beside the rows without. "
        "Complexity is W times A.",
    ),
    "dorefa": (
        "DoReFa-Net",
        "CIFAR-10, the paper's SVHN nets of sizes B and C, row W-A-G (bits of weights, activations, gradients); accuracy. The "
        "published column is of SVHN, an easier set: orderings and gaps compare, levels do not. First and last layers have 8 "
        "bits in weights and activations where a row does not say otherwise; those of the published table are float.",
    ),
    "balanced": (
        "Balanced Quantization",
        "CIFAR-10 (net C) and GoogLeNet of half width on 25 classes of Tiny-ImageNet; accuracy, and how many bits of the "
        "weights' codes are used (entropy).",
    ),
    "pretrained": (
        "Where to start from",
        "CIFAR-10, net C, 1-bit weights and 2-bit activations; accuracy. All rows train as many epochs in all. DoReFa-Net "
        "(arXiv 1606.06160, table 2) gains 2.1 points, from 47.7 % to 49.8 %, of AlexNet with such bits on ImageNet.",
    ),
    "joins": (
        "What integer sums cost",
        "CIFAR-10, ResNet-20 2/2; accuracy. Shared grid: what meets at a shortcut is quantized to one 8-bit grid, as the integer "
        "program needs it; float sums are what papers count.",
    ),
    "beyond": (
        "Beside the best published",
        "CIFAR-10; accuracy beside the best published uniform results, which are of hundreds of epochs. Rows take as many as "
        "there was time for. The rate of VGG-small was chosen on 2,000 of the test images.",
    ),
    "floatfree": (
        "Training without float",
        "CIFAR-10, net C; accuracy. Without float, forward, backward and update compute on integers of at most 32 bits; masters "
        "are the weights that updates are added to, rounded stochastically unless said otherwise. The rows with float train "
        "with Adam; those without take such steps with shifts for divisions, and took steps of momentum alone by method 1.",
    ),
}
_README = re.compile(r"(<!-- tables -->).*?(<!-- end -->)", re.DOTALL)


def page_of(tables: Rows) -> str:
    """Return the page of all tables that were measured.

    Args:
        tables: rows by the name of the table, as `reproduce` writes them.
    """
    parts = [
        "# The papers' tables\n\nMade by `python -m bitlens.results.table_pages` from `docs/results/TABLE.json`, which "
        "`bitlens reproduce TABLE --data DIR -o docs/results/TABLE.json` writes row by row: it trains a row's runs where that "
        "was not done yet, compiles them and counts what the integer program says on the engine, on the whole test set. "
        "`--jobs N` trains N rows at the same time. "
        "Logs and configurations of all runs lie beside the files. An ordering is *not resolved* where it holds or fails by no "
        "more than the spread over seeds; where neither of its rows has a second seed, the largest spread of the table's "
        "other rows stands for it (*of other rows*), of those of the same net where one has, and where no row has one, "
        "nothing does. Statements about a number compare means alone. Rows that differ in method or epochs are *not "
        "comparable*. What is found *of one seed* may fall otherwise with "
        "another, and on a GPU even two runs of one seed differ a little. "
        "Runs are short: a published level is one of far more epochs. Rows of method 2 are trained as `bitlens train` does now; "
        "those of method 1 while batch norms started with slope and intercept 1/2 (now 1/3 and 1/6) and steps of recurrent "
        "layers were not centred (see [recurrent nets](recurrent.md)), and learned slower; "
        "`python benchmarks/first_steps.py dorefa_cifar10_c --data cifar10 --bits w4a4 --start 0.5,0.5 --start 0.3333,0.1667` "
        "trains first steps by both.\n"
    ]
    parts += [_section(name, found) for name, found in tables.items()]
    return "\n".join(parts)


def summary_of(tables: Rows) -> str:
    """Return the README's table: a line a table."""
    body = []
    for name, found in tables.items():
        verdicts = _verdicts(name, found)
        counts = [sum(v.found == kind for v in verdicts) for kind in (MET, MISSED, UNRESOLVED, UNLIKE, UNMEASURED)]
        alone = sum(v.seeds == 1 and v.found in (MET, MISSED, UNRESOLVED) for v in verdicts)
        best = _best(name, found)
        body.append([f"[{TITLES[name][0]}](docs/tables.md#{_anchor(name)})", best, *map(str, (*counts, alone))])
    head = ["table", "one row of it", "statements that hold", "that do not", "not resolved"]
    return rows([*head, "rows not comparable", "not measured", "of the first three, of one seed"], body)


def draw_table(table: str, found: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Draw the rows of a table as table_NAME.svg in a folder; return the path.

    Raises:
        PlotError: there is no row.
    """
    from bitlens.plots.canvas import save_figure
    from bitlens.plots.dots import draw_dots

    published = {row["row"]: float(row["published"]) for row in found if row.get("published") is not None}
    kind = _figure(table).partition(",")[0]
    folder.mkdir(parents=True, exist_ok=True)
    values = {row: own.values for row, own in seeds_of(found, _figure(table)).items()}
    return save_figure(draw_dots(values, published, TITLES[table][0], kind), folder / f"table_{table}.svg")


def renew_pages(root: Path) -> list[str]:
    """Write the page and the README's summary of a source tree; return the names of those that change.

    Raises:
        bitlens.results.reproduce.ReproduceError: it is none, or a table's file is another.
    """
    if not (root / "README.md").is_file():
        raise ReproduceError(f"{root.absolute()}: must be the root of the source, with README.md, not another folder")
    tables = read_tables(root)
    readme = (root / "README.md").read_text(encoding="utf-8")
    pages = {
        "docs/tables.md": page_of(tables),
        "README.md": _README.sub(lambda found: found[1] + summary_of(tables) + found[2], readme),
    }
    changed = []
    for name, text in pages.items():
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text.encode())
            changed.append(name)
    return changed


def read_tables(root: Path) -> Rows:
    """Return the rows of all tables that a source tree holds.

    Raises:
        bitlens.results.reproduce.ReproduceError: a file of them is another.
    """
    paths = {name: root / "docs/results" / f"{name}.json" for name in TITLES}
    found = {name: read_rows(name, path) for name, path in paths.items()}
    for name, lines in found.items():
        known = {run.row for run in TRAININGS[name]}
        for line in lines:
            if line["row"] not in known:
                raise ReproduceError(f"{paths[name]}: rows must be of the table {name}, not {line['row']}")
    return found


def _figure(table: str) -> str:
    return figure_of(TRAININGS[table][0])


def _verdicts(table: str, found: Sequence[dict[str, Any]]) -> list[Verdict]:
    return judge(table, found, _figure(table), lower="perplexity" in _figure(table))


def _section(name: str, found: Sequence[dict[str, Any]]) -> str:
    title, told = TITLES[name]
    head = f"## {title}\n\n    bitlens reproduce {name} --data DIR -o docs/results/{name}.json\n\n{told}"
    if not found:
        return f"{head} No row is measured.\n"
    machines = "; ".join(dict.fromkeys(str(row["trained_on"]) for row in found))
    dates = sorted({str(row["date"]) for row in found})
    engines = "; ".join(dict.fromkeys(str(row["machine"]) for row in found))
    measured = f"Trained on {machines}. Integers on {engines}, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}."
    picture = f"![{title}](figures/table_{name}.svg)\n"
    measured_rows = {line["row"] for line in found}
    missing = dict.fromkeys(run.row for run in TRAININGS[name] if run.row not in measured_rows)
    lacks = f"\nNot measured: {'; '.join(missing)}.\n" if missing else ""
    return (
        f"{head} {measured}\n\n{picture}\n{_rows(name, found).strip()}\n{lacks}\n{_statements(name, found).strip()}\n"
    )


def _rows(name: str, found: Sequence[dict[str, Any]]) -> str:
    kind = _figure(name).partition(",")[0]
    entropies = any(row["metric"] == ENTROPY for row in found)
    head = ["row", "as trained", "integers on the engine", "published", "epochs", "method", "seeds"]
    body = []
    for row in dict.fromkeys(line["row"] for line in found):
        own = newest([line for line in found if line["row"] == row])
        cells = [_mean(own, f"{kind}, {form}") for form in (TORCH, ENGINE)]
        published = next((line["published"] for line in own if line.get("published") is not None), None)
        counts = [str(own[0]["epochs"]), str(own[0]["method"]), str(len({line["seed"] for line in own}))]
        line = [row, *cells, DASH if published is None else _shown(published, kind), *counts]
        if name == "fcn":
            weights, activations = (int(bits) for bits in row.partition(",")[0].split("/"))
            line.insert(1, str(weights * activations))
        if entropies:
            line.append(_mean(own, ENTROPY))
        body.append(line)
    if name == "fcn":
        head.insert(1, "complexity")
    if entropies:
        head.append(ENTROPY)
    return rows(head, body)


def _mean(own: Sequence[dict[str, Any]], metric: str) -> str:
    values = [float(line["measured"]) for line in own if line["metric"] == metric]
    if not values:
        return DASH
    shown = _shown(sum(values) / len(values), metric.partition(",")[0])
    if len(values) == 1:
        return shown
    return f"{shown} ({' to '.join(_shown(v, metric.partition(',')[0], '') for v in (min(values), max(values)))})"


def _shown(value: float, kind: str, unit: str = " %") -> str:
    if kind == "perplexity":
        return f"{value:.1f}"
    if kind.startswith("entropy"):
        return f"{value:.2f}"
    return f"{100 * value:.2f}{unit}"


def _statements(name: str, found: Sequence[dict[str, Any]]) -> str:
    kind = _figure(name).partition(",")[0]
    unit = "" if kind == "perplexity" else " points"
    factor = 1.0 if kind == "perplexity" else 100.0

    def points(value: float | None) -> str:
        return DASH if value is None else f"{factor * value:+.2f}{unit}"

    def holds(verdict: Verdict) -> str:
        return f"{verdict.found}, of one seed" if verdict.seeds == 1 and verdict.found != UNLIKE else verdict.found

    def spread(verdict: Verdict) -> str:
        return points(verdict.spread).lstrip("+") + (" (of other rows)" if verdict.borrowed else "")

    body = [
        [_sentence(v.statement, kind), v.statement.source, points(v.gap), spread(v), holds(v)]
        for v in _verdicts(name, found)
    ]
    return rows(["statement", "whose", "better by", "spread over seeds", "holds"], body)


def _sentence(statement: Statement, kind: str) -> str:
    if not isinstance(statement.worse, str):
        return (
            f"{statement.better}: {'at most' if kind == 'perplexity' else 'at least'} {_shown(statement.worse, kind)}"
        )
    if statement.margin < 0:
        return f"{statement.better} within {_points(-statement.margin, kind)} of {statement.worse}"
    by = f" by {_points(statement.margin, kind)}" if statement.margin else ""
    return f"{statement.better} better than {statement.worse}{by}"


def _points(margin: float, kind: str) -> str:
    if kind == "perplexity":
        return f"{margin:g}"
    return f"{100 * margin:g} point{'' if round(100 * margin, 6) == 1 else 's'}"


def _best(name: str, found: Sequence[dict[str, Any]]) -> str:
    """The row that the README tells of a table, with what is published for it of the same data."""
    kind = _figure(name).partition(",")[0]
    values = seeds_of(found, _figure(name))
    if not values:
        return DASH
    row = next((wanted for wanted in _TOLD[name] if wanted in values), next(iter(values)))
    lines = [line for line in found if line["row"] == row and line.get("published") and name in _SAME_DATA]
    published = lines[0]["published"] if lines else None
    return f"{row}: {kind} {_shown(values[row].mean, kind)}" + (
        f" (published {_shown(published, kind)})" if published else ""
    )


_SAME_DATA = ("recurrent", "beyond")  # what is published is of the same data set
_TOLD = {
    "recurrent": ("LSTM 2/2 balanced",),
    "fcn": ("2/2, without decay",),
    "dorefa": ("C 1-2-4",),
    "balanced": ("GoogLeNet 4/4 balanced", "C 2/2 balanced"),
    "pretrained": ("C 1/2, from wider bits",),
    "joins": ("ResNet-20 2/2, shared grid",),
    "beyond": ("VGG-small 1/2", "ResNet-20 2/2"),
    "floatfree": ("C 1-2-4 without float, 12-bit masters",),
}


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", TITLES[name][0].lower().replace("'", "")).strip("-")


if __name__ == "__main__":
    try:
        print("\n".join(renew_pages(Path())))
        for measured, lines in read_tables(Path()).items():
            if lines:
                print(draw_table(measured, lines, Path("docs/figures")))
    except (ReproduceError, OSError) as error:
        sys.exit(str(error))
