# SPDX-License-Identifier: Apache-2.0
"""What the papers' tables must show, and whether the measured rows show it.

A statement compares two rows, or a row with a number. Of rows with several seeds the mean counts; an ordering that falls
by no more than the spread over seeds is not resolved, however it falls. Where neither row has a second seed, the
largest spread of the table's other rows stands for it, of those of the same net where one has. Rows that were not
trained by one method, for as many epochs, are not compared, and neither are such seeds of one row: those of the newest
method count, and of these the longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from bitlens.results.trainings import TRAININGS

__all__ = ["STATEMENTS", "Seeds", "Statement", "Verdict", "judge", "newest", "seeds_of"]

MET, MISSED, UNRESOLVED, UNMEASURED, UNLIKE = "yes", "**no**", "not resolved", "not measured", "not comparable"


@dataclass(frozen=True)
class Statement:
    """A row is better than another, by a margin, or at least as good as a number.

    Args:
        better: name of a row.
        worse: name of another row, or a number that `better` is to reach, in the unit of the figure: a share of 1 of
            accuracies and mean IoU.
        margin: by which `better` must be better, in the same unit; negative where it may be worse by so much.
        source: whose statement it is.
    """

    better: str
    worse: str | float
    margin: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class Verdict:
    """A judged statement.

    Args:
        statement: which.
        gap: how much better the better row is, in the unit of the figure; None where a row is missing.
        spread: over seeds; None where no row of the table has a second seed.
        seeds: fewest of a compared row; 0 where a row is missing.
        borrowed: whether the spread is that of other rows, because no compared row has a second seed.
        found: "yes", "**no**", "not resolved", "not measured" or "not comparable".
    """

    statement: Statement
    gap: float | None
    spread: float | None
    seeds: int
    borrowed: bool
    found: str


class Seeds(NamedTuple):
    """What was measured of a row.

    Args:
        values: of its figure, one a seed; a share of 1, or a perplexity.
        method, epochs: of them all.
    """

    values: list[float]
    method: int
    epochs: int

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return sum(self.values) / len(self.values)

    @property
    def spread(self) -> float | None:
        """How far the values lie apart; None of one seed."""
        return max(self.values) - min(self.values) if len(self.values) > 1 else None


def newest(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of one row's lines those of the newest method, and of these of the longest training."""
    last = max((line["method"], line["epochs"]) for line in lines)
    return [line for line in lines if (line["method"], line["epochs"]) == last]


def seeds_of(rows: Sequence[dict[str, Any]], figure: str) -> dict[str, Seeds]:
    """Return by row the values of a figure, one a seed; where a row's program is not compiled, of the same in torch.

    Args:
        rows: of a table's file, see `bitlens.results.reproduce`.
        figure: a metric of theirs, such as "accuracy, integers on the engine".
    """
    found: dict[str, Seeds] = {}
    for name in dict.fromkeys(row["row"] for row in rows):
        kind = figure.partition(",")[0]
        own = [row for row in rows if row["row"] == name and row["metric"].startswith(f"{kind},")]
        whole = [row for row in own if row["metric"] == figure] or own
        if whole:
            alike = newest(whole)
            found[name] = Seeds(
                [float(row["measured"]) for row in alike], method=alike[0]["method"], epochs=alike[0]["epochs"]
            )
    return found


def judge(table: str, rows: Sequence[dict[str, Any]], figure: str, lower: bool) -> list[Verdict]:
    """Judge all statements of a table.

    Args:
        table: name out of `STATEMENTS`.
        rows: measured ones.
        figure: which is compared.
        lower: whether less is better.
    """
    measured = seeds_of(rows, figure)
    nets = {training.row: training.recipe for training in TRAININGS[table]}
    spreads = [(nets.get(name), row.spread) for name, row in measured.items() if row.spread is not None]

    def usual(statement: Statement) -> float | None:
        own = [spread for net, spread in spreads if net == nets.get(statement.better)]
        return max(own or [spread for _, spread in spreads], default=None)

    sign = -1.0 if lower else 1.0
    return [_judge(statement, measured, usual(statement), sign) for statement in STATEMENTS[table]]


def _judge(statement: Statement, measured: dict[str, Seeds], usual: float | None, sign: float) -> Verdict:
    wanted = [name for name in (statement.better, statement.worse) if isinstance(name, str)]
    if any(name not in measured for name in wanted):
        return Verdict(statement, None, None, 0, False, UNMEASURED)
    own = [measured[name] for name in wanted]
    spreads = [row.spread for row in own if row.spread is not None]
    spread = max(spreads) if spreads else usual
    seeds, borrowed = min(len(row.values) for row in own), not spreads and spread is not None
    other = own[1].mean if len(own) > 1 else float(statement.worse)
    gap = sign * (own[0].mean - other)
    beyond = gap - statement.margin
    found = MET if beyond >= 0 else MISSED
    if len(own) > 1 and spread is not None and abs(beyond) <= spread:
        found = UNRESOLVED
    if len({(row.method, row.epochs) for row in own}) > 1:
        found = UNLIKE
    return Verdict(statement, gap, spread, seeds, borrowed, found)


def _chain(names: Sequence[str], source: str) -> Iterator[Statement]:
    return (Statement(first, second, source=source) for first, second in pairwise(names))


def _levels(table: str) -> Iterator[Statement]:
    """Each row reaches what is published for it, of the same data."""
    for training in TRAININGS[table]:
        if training.published is not None and training.seed == 0:
            yield Statement(training.row, training.published, source=training.source)


_TALK, _DOREFA, _MORE, _GOAL = "the authors' talk", "DoReFa-Net, table 1", "more bits", "goal"

_XU = "Balanced Quantization, by Xu et al."

_RECURRENT = (
    *_levels("recurrent"),
    Statement("LSTM 2/2 balanced", 126.0, source=_XU),
    Statement("LSTM 2/3 balanced", 123.0, source=_XU),
    Statement("LSTM 2/3 unbalanced", 220.0, source="Hubara et al., by Xu et al."),
    *(Statement(f"LSTM {bits} balanced", f"LSTM {bits} unbalanced", source=_TALK) for bits in ("2/2", "2/3", "4/4")),
    Statement("LSTM 2/3 balanced", "LSTM 2/2 balanced", source=_TALK),
    Statement("LSTM 4/4 balanced", "LSTM 2/3 balanced", source=_XU),
    *(Statement("LSTM float", f"LSTM {bits} balanced", source=_XU) for bits in ("2/2", "2/3", "4/4")),
    Statement("GRU 4/4 balanced", "GRU 2/2 balanced", source=_XU),
    *(Statement("GRU float", f"GRU {bits} balanced", source=_XU) for bits in ("2/2", "4/4")),
)
_FCN = (
    *_chain([f"{pair}, without decay" for pair in ("4/4", "3/3", "2/2", "1/4", "1/2")], _TALK),
    Statement("8/8, without decay", "4/4, without decay", source=_TALK),
    Statement("8/8, without decay", "32/32, without decay", margin=-0.01, source=f"{_TALK}: 8/8 equal to float"),
    Statement("1/2, without decay", "4/1, without decay", source=f"{_TALK}: 4/1 diverges"),
    *(
        Statement(f"{pair}, with decay", f"{pair}, without decay", source="BitFCN, bit-width decay")
        for pair in ("3/3", "2/2", "1/4", "4/1", "1/2")
    ),
)
_DOREFA_STATEMENTS = (
    *(Statement(f"C 1-2-{g}", f"C 1-1-{g}", source=_DOREFA) for g in ("4", "8", "32")),
    Statement("C 1-4-4", "C 1-2-4", source=_DOREFA),
    Statement("C 1-4-32", "C 1-2-32", source=_MORE),
    Statement("C 1-4-32", "C 1-4-4", source=_MORE),
    *_chain(["C 1-1-32", "C 1-1-4", "C 1-1-2"], _DOREFA),
    Statement("C 1-1-32", "C 1-1-8", source=_DOREFA),
    Statement("C 8-8-8", "C 1-4-32", source=_MORE),
    Statement("C 32-32-32", "C 1-4-32", source=_MORE),
    Statement("C 32-32-32", "C 8-8-8", source=_DOREFA),
    *_chain(["C 1-2-32", "C 1-2-8", "C 1-2-4", "C 1-2-2"], _DOREFA),
    Statement("C 1-2-6", "C 1-2-32", margin=-0.01, source=f"{_GOAL}: 6-bit gradients within 1 point of 32"),
    *(
        Statement(f"C 1-2-{g}", f"C 1-2-{g}, without noise", margin=0.02, source=f"{_GOAL}: a clear loss without noise")
        for g in ("2", "4")
    ),
    *(
        Statement("C 1-2-4, float ends", f"C 1-2-4, {which}", source="DoReFa-Net, table 3")
        for which in ("first too", "last too", "first and last too")
    ),
    Statement("B 1-2-32", "B 1-1-32", source=_DOREFA),
    Statement("B 32-32-32", "B 1-2-32", source=_DOREFA),
)
_BALANCED = (
    *(
        Statement(f"{net} {bits} balanced", f"{net} {bits} uniform-max", source="Balanced Quantization")
        for net in ("C", "GoogLeNet")
        for bits in ("2/2", "4/4")
    ),
    *(
        Statement(f"{net} 4/4 balanced", f"{net} float", margin=-0.015, source=f"{_GOAL}: within 1.5 points")
        for net in ("C", "GoogLeNet")
    ),
)
_PRETRAINED = (
    Statement("C 1/2, from float", "C 1/2, from scratch, as long in all", source="DoReFa-Net, table 2"),
    Statement("C 1/2, from wider bits", "C 1/2, from scratch, as long in all", source="BitFCN, bit-width decay"),
)
_JOINS = (
    Statement(
        "ResNet-20 2/2, shared grid",
        "ResNet-20 2/2, float sums",
        margin=-0.01,
        source="integer sums cost at most 1 point",
    ),
)
_BEYOND = (
    *_levels("beyond"),
    Statement("VGG-small 1/2", 0.925, source="HWGQ"),
    *_chain([f"ResNet-20 {bits}" for bits in ("float", "4/4", "2/2", "1/2", "1/1")], "LQ-Nets"),
)
_WITHOUT = "C 1-2-4 without float"
_FLOAT_FREE = (
    *(
        Statement(
            f"{_WITHOUT}, {which}",
            "C 1-2-4, float batch norm and masters",
            margin=-0.01,
            source=f"{_GOAL}: within 1 point of float",
        )
        for which in (
            "16-bit masters",
            "12-bit masters",
            "10-bit masters",
            "8-bit masters",
            "12-bit masters, range norm",
        )
    ),
    *(
        Statement(
            f"{_WITHOUT}, {bits}-bit masters",
            f"{_WITHOUT}, {bits}-bit masters, rounded to the nearest",
            margin=0.02,
            source=f"{_GOAL}: the nearest stalls or learns less",
        )
        for bits in (10, 8)
    ),
    Statement(
        "C 1-2-8 without float, 12-bit masters",
        "C 1-2-8, float batch norm and masters",
        margin=-0.01,
        source=f"{_GOAL}: within 1 point of float",
    ),
)

STATEMENTS: dict[str, tuple[Statement, ...]] = {
    "recurrent": _RECURRENT,
    "fcn": _FCN,
    "dorefa": _DOREFA_STATEMENTS,
    "balanced": _BALANCED,
    "pretrained": _PRETRAINED,
    "joins": _JOINS,
    "beyond": _BEYOND,
    "floatfree": _FLOAT_FREE,
}
