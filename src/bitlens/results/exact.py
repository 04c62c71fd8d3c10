# SPDX-License-Identifier: Apache-2.0
"""Every integer of every layer, golden beside the engine on each instruction set and thread count, and beside the trained net."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.file import Program

__all__ = ["prove_exact", "render"]

Report = dict[str, Any]
_BATCH = 250
_PIXELS = 400_000  # of a batch, so that every tensor of it fits the memory
_THREADS = (1, 2)


def prove_exact(model: str, images: npt.NDArray[np.uint8], run: str | None = None) -> Report:
    """Compare all forms of a program on images.

    Args:
        model: path of a `.bitlens` file.
        images: uint8 (N, H, W, C).
        run: folder of the run it was compiled from; its frozen net is compared layer by layer, fed golden's integers.

    Returns:
        {"images", "of": "images", "forms": [{"form", "tensors", "codes", "differing", "ties"}]}; instruction sets this
        machine lacks are not listed.
    """
    program = Program.load(model)
    sessions = dict(_sessions(program, (images.shape[1], images.shape[2])))
    step = max(1, min(_BATCH, _PIXELS // (images.shape[1] * images.shape[2])))
    rows: dict[str, Report] = {
        form: {"form": form, "tensors": 0, "codes": 0, "differing": 0, "ties": 0} for form in sessions
    }
    for begin in range(0, len(images), step):
        batch = images[begin : begin + step]
        golden = program.run(batch, keep=True)
        for form, session in sessions.items():
            outputs = session.run(batch, keep=True)
            shared = [name for name in outputs if name in golden]
            rows[form]["tensors"] = len(shared)
            rows[form]["codes"] += sum(outputs[name].size for name in shared)
            rows[form]["differing"] += sum(int((outputs[name] != golden[name]).sum()) for name in shared)
        if sys.stderr.isatty():
            print(f"\rexact: {begin + len(batch)}/{len(images)} images", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    forms: list[Report] = [*rows.values()]
    if run is not None:
        from bitlens.results.compare import compare_net
        from bitlens.results.line import frozen_run

        report = compare_net(frozen_run(run), program, images)
        totals = {key: report[key] for key in ("codes", "differing", "ties")}
        forms.append({"form": "trained net", "tensors": len(report["layers"]), **totals})
    return {"images": len(images), "of": "images", "forms": forms}


def _sessions(program: Program, size: tuple[int, int]) -> Iterator[tuple[str, Any]]:
    from bitlens.runtime import Session, SessionError

    for isa in ("portable", "avx2", "avx512", "neon"):
        for threads in _THREADS:
            try:
                yield (
                    f"{isa}, {threads} thread{'s' * (threads > 1)}",
                    Session(program, isa=isa, threads=threads, size=size),
                )
            except SessionError:
                if isa == "portable":
                    raise
                break  # not this machine's


def render(report: Report) -> str:
    """The report as text, one line a form."""
    lines = [f"golden against each form, {report['images']:,} {report['of']}, every integer of every layer boundary"]
    for row in report["forms"]:
        ties = f", {row['ties']:,} of them ties" if row["ties"] else ""
        lines.append(
            f"{row['form']:22} {row['codes']:15,} codes of {row['tensors']} tensors, {row['differing']:,} differing{ties}"
        )
    differing = sum(row["differing"] - row["ties"] for row in report["forms"])
    lines.append(f"{differing} differing codes")
    return "\n".join(lines)
