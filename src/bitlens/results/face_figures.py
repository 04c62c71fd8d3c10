# SPDX-License-Identifier: Apache-2.0
"""Measured rows by name, and how their figures are written in a page; one that was not measured is a dash."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["DASH", "Table", "percent", "plain", "rows", "told", "whole"]

DASH = "–"


class Table:
    """Measured rows, one for each figure, as `reproduce` writes them."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self._measured = {(row["row"], row["metric"]): row["measured"] for row in rows}
        self._machines = {row["row"]: row["machine"] for row in rows}

    def get(self, row: str, metric: str) -> Any:
        """A figure; None where it was not measured."""
        return self._measured.get((row, metric))

    def value(self, row: str, metric: str) -> float:
        """A figure without its interval; NaN where it was not measured."""
        found = self.get(row, metric)
        found = found[0] if isinstance(found, list) else found
        return math.nan if found is None else float(found)

    def metrics(self, row: str) -> list[str]:
        """The figures of a row."""
        return [metric for name, metric in self._measured if name == row]

    def machine(self, row: str) -> str:
        """What a row was measured on."""
        return str(self._machines.get(row, DASH))


def plain(value: float, digits: int) -> str:
    """Return a number of so many digits after the point."""
    return DASH if math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float, digits: int = 1) -> str:
    """Return a share as percent."""
    return DASH if math.isnan(value) else f"{100 * value:.{digits}f} %"


def told(found: Any, digits: int, factor: float = 1.0, unit: str = "") -> str:
    """Return [value, low, high], times a factor, as "value (low to high)"."""
    if not isinstance(found, list):
        return DASH
    value, low, high = (f"{factor * number:.{digits}f}" for number in found)
    return f"{value}{unit} ({low} to {high})"


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a table of a head and a body, on lines of its own."""
    lines = [head, ["---"] * len(head), *body]
    return "\n" + "".join("| " + " | ".join(line) + " |\n" for line in lines).replace("| --- ", "|---").replace(
        "|--- |", "|---|"
    )


def whole(table: Table, row: str, metric: str) -> str:
    """Return a figure as a whole number."""
    return plain(table.value(row, metric), 0)
