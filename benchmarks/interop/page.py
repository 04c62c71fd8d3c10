# SPDX-License-Identifier: Apache-2.0
"""Write what make.py and check.py have found as results and as a page.

    .venv/bin/python benchmarks/interop/page.py OUT docs/results/interop/results.json docs/interop.md

The page keeps what stands above its first table; everything from the mark on is written anew.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

MARK = "<!-- from here on written by benchmarks/interop/page.py -->"
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    made = json.loads((options.out / "made.json").read_text())
    checked = json.loads((options.out / "checked.json").read_text())
    models = {name: _model(name, entry, checked) for name, entry in made.items()}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(models, indent=1) + "\n")
    above = options.page.read_text().split(MARK)[0]
    names = json.loads((options.out / "models.json").read_text())
    left = ", ".join(name for name in names if not models.get(name, {}).get("files"))
    lines = [
        *_totals(models),
        "",
        *_table(models),
        "",
        *_refusals(models),
        "",
        f"No file in this run of: {left or 'none'}.",
    ]
    options.page.write_text(f"{above}{MARK}\n\n" + "\n".join(lines) + "\n")


def _model(name: str, entry: Row, checked: dict[str, Row]) -> Row:
    """What is known of one model: what its own tools did, and each file's result."""
    files = {form: checked[f"{name}.{form}"] for form in entry["forms"] if f"{name}.{form}" in checked}
    not_made = {form: state for form, state in entry["forms"].items() if form not in files}
    return {"what": entry["what"], "files": files, "not_made": not_made, "states": entry["forms"]}


def _totals(models: dict[str, Row]) -> list[str]:
    forms: dict[str, Counter[str]] = {}
    for model in models.values():
        for form, result in model["files"].items():
            forms.setdefault(form, Counter())[result["state"]] += 1
    lines = ["| form | files | equal on every code | ties | refused | wrong |", "|---|---|---|---|---|---|"]
    rows = [*sorted(forms.items()), ("all", sum(forms.values(), Counter()))]
    for form, states in rows:
        exact = states["exact"] + states["unjudged"]
        numbers = (states.total(), exact, states["ties"] + states["apart"], states["refused"], states["wrong"])
        lines.append(f"| {form} | {' | '.join(map(str, numbers))} |")
    return lines


def _table(models: dict[str, Row]) -> list[str]:
    lines = [
        "| model | files | refused | codes of outputs | differ from our reference | from qonnx / ONNX Runtime | ties |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, model in models.items():
        run = [result for result in model["files"].values() if result["state"] != "refused"]
        refused = len(model["files"]) - len(run)
        codes = sum(result.get("codes", 0) for result in run)
        peers = [result["peer"] for result in run if result.get("peer") is not None]
        direct = sum(result.get("onnxruntime", 0) for result in run)
        reference = sum(result.get("reference", 0) for result in run)
        ties = sum(result.get("ties", 0) for result in run)
        peer = f"{sum(peers)} / {direct}" if peers else "not run there"
        what = model["what"] if name in model["what"] else f"{model['what']} (`{name}`)"
        if not model["files"]:
            lines.append(f"| {what} | 0 | | | not exported by its own tools | | |")
        elif not run:
            lines.append(f"| {what} | {len(model['files'])} | {refused} | | | | |")
        else:
            lines.append(f"| {what} | {len(model['files'])} | {refused} | {codes} | {reference} | {peer} | {ties} |")
    return lines


def _refusals(models: dict[str, Row]) -> list[str]:
    lines = ["## Refused", "", "| model | forms | sentence of the first |", "|---|---|---|"]
    for name, model in models.items():
        refused = {form: result["why"] for form, result in model["files"].items() if result["state"] == "refused"}
        if refused:
            sentence = next(iter(refused.values())).replace("|", "\\|")
            if all(model["states"][form].startswith("not run") for form in refused):
                sentence += " (its own tools cannot run it either)"
            lines.append(f"| `{name}` | {', '.join(refused)} | {sentence} |")
    lines += ["", "## Not made by their own tools", "", "| model | form | reason |", "|---|---|---|"]
    seen: dict[str, list[str]] = {}
    for name, model in models.items():
        for form, state in model["not_made"].items():
            seen.setdefault(f"{form} | {state[:120]}".replace("\n", " "), []).append(name)
    for reason, names in sorted(seen.items()):
        shown = ", ".join(f"`{name}`" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        lines.append(f"| {shown} | {reason} |")
    return lines


if __name__ == "__main__":
    main()
