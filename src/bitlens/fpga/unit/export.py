# SPDX-License-Identifier: Apache-2.0
"""The project folder of a unit: sources, memory image, scripts, report and driver note, whole or not at all.

export_unit(schedule(program, smallest_unit(program, target="xc7")), program, load_device("xc7z020"), 200, "circuit")
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bitlens.core.files import write_atomically
from bitlens.fpga.devices import Device
from bitlens.fpga.export import whole_folder
from bitlens.fpga.network import FpgaError
from bitlens.fpga.seal import damaged, read_sealed
from bitlens.fpga.tool_scripts import write_tool_scripts
from bitlens.fpga.unit.fit import check_fits
from bitlens.fpga.unit.memory import to_bytes
from bitlens.fpga.unit.note import unit_note
from bitlens.fpga.unit.project import write_unit
from bitlens.fpga.unit.report import Report, unit_report
from bitlens.fpga.unit.schedule import Schedule, schedule
from bitlens.fpga.unit.size import UnitSize
from bitlens.graph.file import Program

__all__ = ["export_unit", "read_schedule"]


def export_unit(
    found: Schedule,
    program: Program,
    device: Device,
    clock_mhz: float,
    folder: str | os.PathLike[str],
    *,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Write the folder; an older project of ours is replaced when the new one is whole.

    Args:
        found: of the program.
        program: with fixed sizes.
        device: whose scripts are written.
        clock_mhz: assumed.
        folder: to write.
        progress: told the name of every step that begins.

    Returns:
        What is in `report.json`.

    Raises:
        FpgaError: the unit does not fit the device, or the folder holds something else.
        OSError: it cannot be written.
    """
    check_fits(program, found.size, device)
    tell = progress or (lambda step: None)
    with whole_folder(folder) as partial:
        tell("circuit")
        write_unit(found, partial)
        write_atomically(partial / "program.bitlens", program.to_bytes())
        tell("scripts")
        write_tool_scripts(device, clock_mhz, partial)
        tell("report")
        report = unit_report(found, program, device, clock_mhz)
        write_atomically(partial / "report.json", json.dumps(report, indent=1).encode())
        write_atomically(partial / "README.md", unit_note(found, report).encode())
    return report


def read_schedule(folder: str | os.PathLike[str]) -> tuple[Schedule, Program]:
    """The schedule and the program of a folder that `export_unit` has written.

    Raises:
        FpgaError: the folder holds a damaged project, or one of another version.
        GraphError: its program is damaged.
        OSError: a file cannot be read.
    """
    root = Path(folder)
    size = read_sealed(root / "unit.json")["size"]
    program = Program.load(root / "program.bitlens")
    try:
        found = schedule(program, UnitSize(**size))
    except (FpgaError, TypeError):  # of another version
        raise damaged(root) from None
    held = np.frombuffer((root / "memory.bin").read_bytes(), np.uint8)
    if not np.array_equal(held, to_bytes(found.constants).ravel()):
        raise FpgaError(
            f"{root / 'memory.bin'}: must hold what bitlens fpga schedules, not others; make the project again"
        )
    return found, program
