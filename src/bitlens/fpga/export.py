# SPDX-License-Identifier: Apache-2.0
"""A project folder: all that a hardware engineer needs of a plan, whole or not at all.

export_project(plan(program, load_device("xc7z030")), program, "accelerator")
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitlens.core.files import write_atomically
from bitlens.fpga.driver_note import driver_note
from bitlens.fpga.network import FpgaError
from bitlens.fpga.page import report_page
from bitlens.fpga.plan import Plan
from bitlens.fpga.project import write_project
from bitlens.fpga.report import plan_report
from bitlens.fpga.testbench import write_testbench
from bitlens.fpga.tool_scripts import write_tool_scripts
from bitlens.graph.file import Program

__all__ = ["check_folder", "export_project", "random_images", "whole_folder"]

_STIMULUS_SEED = 1


def check_folder(folder: str | os.PathLike[str]) -> None:
    """See that a folder may be written, before a plan is made for it.

    Raises:
        FpgaError: it holds something else than a project of ours, or no folder can be made beside it.
    """
    root = Path(folder)
    ours = any((root / name).is_file() for name in ("network.json", "unit.json"))
    if root.exists() and not ours and (not root.is_dir() or any(root.iterdir())):
        raise FpgaError(
            f"{root}: folder must be new, empty or made by bitlens fpga, not hold other files; give another -o"
        )
    place = next(parent for parent in Path(os.path.realpath(root)).parents if parent.exists())
    try:
        os.rmdir(tempfile.mkdtemp(".partial", ".", place))
    except OSError as error:
        raise FpgaError(
            f"{root}: folder must be one that can be made, not in {place}: {error.strerror}; give another -o"
        ) from None


def export_project(
    plan: Plan,
    program: Program,
    folder: str | os.PathLike[str],
    *,
    stimulus: int = 2,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write the folder; an older project of ours is replaced when the new one is whole.

    Args:
        plan: of the program.
        program: with fixed sizes.
        folder: to write.
        stimulus: images of the testbench.
        progress: told the name of every step that begins.

    Returns:
        The folder.

    Raises:
        FpgaError: the folder holds something else.
        OSError: it cannot be written.
    """
    tell = progress or (lambda step: None)
    with whole_folder(folder) as partial:
        tell("circuit")
        write_project(plan.network, partial)
        write_atomically(partial / "program.bitlens", program.to_bytes())
        tell("scripts")
        write_tool_scripts(plan.device, plan.clock_mhz, partial)
        tell("testbench")
        images = random_images(program, stimulus, _STIMULUS_SEED)
        write_testbench(plan.network, images, program.run(images), partial)
        tell("report")
        report = plan_report(plan, program)
        write_atomically(partial / "report.json", json.dumps(report, indent=1).encode())
        write_atomically(partial / "report.html", report_page(report).encode())
        write_atomically(partial / "README.md", driver_note(plan, program).encode())
    return Path(folder)


@contextmanager
def whole_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder beside one, which takes its place when all is written; else nothing is left, of its parents neither.

    Raises:
        FpgaError: as of `check_folder`.
        OSError: it cannot be written; the error names the folder or a file in it.
    """
    check_folder(folder)
    root = Path(os.path.realpath(folder))
    made = [parent for parent in root.parents if not parent.exists()]
    partial = root.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        _replace(partial, root)
    except OSError as error:
        name = str(error.filename or root).replace(str(partial), str(folder))
        raise OSError(error.errno, error.strerror, name) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def _replace(new: Path, old: Path) -> None:
    """Let a folder take the place of another."""
    if not old.exists():
        new.rename(old)
        return
    away = new.with_suffix(".old")
    old.rename(away)
    try:
        new.rename(old)
    except OSError:
        away.rename(old)
        raise
    shutil.rmtree(away, ignore_errors=True)


def random_images(program: Program, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Images of a program's input with every integer of its grid equally likely, int64 (count, H, W, C)."""
    value = program.graph.value(program.graph.inputs[0])
    assert value.grid is not None
    shape = (count, *(size or 1 for size in value.shape or ()))
    return value.grid.decode(np.random.default_rng(seed).integers(0, value.grid.levels, shape))
