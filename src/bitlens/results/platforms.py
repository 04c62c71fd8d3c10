# SPDX-License-Identifier: Apache-2.0
"""A model on platforms: the table of the talk on smart embedded vision, our plan for its FPGA, and the processor here.

    frames/s <= operations a second / (2 * products an image),   energy a frame >= power / frames/s

The bounds take every operation of a platform as used; where its table counts products of 2x2 bits, a wider product takes
several of them and the 8-bit ends are left out. Both only make the bound higher.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitlens.core.grid import Grid
from bitlens.core.processor import processor_name
from bitlens.fpga.devices import load_device
from bitlens.fpga.network import FpgaError
from bitlens.fpga.plan import plan
from bitlens.fpga.size import fix_size
from bitlens.graph.file import Program
from bitlens.graph.graph import GraphError
from bitlens.results.bench import bench_program
from bitlens.results.inspect import aligned, inspect_program

__all__ = ["PLATFORMS", "platform_report", "render"]

Report = dict[str, Any]

_SOURCE = "S. Zhou, Smart Embedded Vision with Low Bitwidth Networks, talk, 2017, table of platforms"
_LOW_BITS = 4
_DEVICE, _CLOCK_MHZ = "xc7z030", 200.0


@dataclass(frozen=True)
class _Platform:
    """A line of the talk's table.

    Args:
        name: of the platform.
        tops: operations a second in 1e12, as published; at most that where `below`.
        kind: of the numbers it multiplies.
        watts: as published.
        below: the figure is an upper bound itself.
    """

    name: str
    tops: float
    kind: str
    watts: float
    below: bool = False


PLATFORMS = (
    _Platform("Snapdragon 835", 0.06, "FP32", 4.5, below=True),
    _Platform("TX1", 1.0, "FP16", 15.0),
    _Platform("Zynq 7030", 0.9, "2w2f", 7.5),
)


def platform_report(model: str | Path, size: tuple[int, int] | None = None, seconds: float = 1.0) -> Report:
    """Put a program beside the platforms.

    Args:
        model: path of a `.bitlens` file.
        size: height and width for a program of symbolic size.
        seconds: of the measurement here.

    Returns:
        {"macs", "products_2w2f", "rows": [{"platform", "operations", "frames_per_second", "watts", "millijoules", "basis",
        "note"}]}: operations in 1e12 a second, null where not known; basis is published, assumed or measured.

    Raises:
        GraphError: the size is open.
    """
    program = Program.load(model)
    told = inspect_program(program, size)
    if told["macs"] is None:
        raise GraphError(f"{model}: size must be given for a program of any size; --size HxW")
    products = sum(_products(program, layer) for layer in told["layers"])
    rows = [_published(platform, told["macs"], products) for platform in PLATFORMS]
    rows += [_planned(program, size), _measured(str(model), size, told["macs"], seconds)]
    return {"macs": told["macs"], "products_2w2f": products, "source": _SOURCE, "rows": rows}


def _products(program: Program, layer: Report) -> int:
    """Products of 2x2 bits that a layer takes; none of 8-bit ends."""
    if not layer["macs"]:
        return 0
    node = next(node for node in program.graph if node.name == layer["name"])
    operand = program.graph.value(node.inputs[0]).grid
    assert operand is not None
    grid: Grid = node.attrs["weight_grid"]
    weight_bits, input_bits = grid.bits, operand.bits
    if max(weight_bits, input_bits) > _LOW_BITS:
        return 0
    macs: int = layer["macs"]
    return macs * ((weight_bits + 1) // 2) * ((input_bits + 1) // 2)


def _published(platform: _Platform, macs: int, products: int) -> Report:
    count = products if platform.kind == "2w2f" else macs
    frames = platform.tops * 1e12 / (2 * count) if count else None
    return {
        "platform": platform.name,
        "operations": platform.tops,
        "kind": platform.kind,
        "below": platform.below,
        "frames_per_second": frames,
        "watts": platform.watts,
        "millijoules": 1e3 * platform.watts / frames if frames else None,
        "basis": "published",
        "note": "upper bound" if frames else "no low-bit products",
    }


def _planned(program: Program, size: tuple[int, int] | None) -> Report:
    device = load_device(_DEVICE)
    row = {
        "platform": f"bitlens on {device.title}",
        "kind": "low-bit",
        "below": False,
        "watts": None,
        "millijoules": None,
    }
    row |= {"operations": None, "frames_per_second": None, "basis": "assumed"}
    try:
        found = plan(fix_size(program, size) if size else program, device, clock_mhz=_CLOCK_MHZ)
    except FpgaError as error:
        return row | {"note": f"no plan: {error}"}
    totals = found.totals
    tops = 2e-6 * totals.macs_per_cycle * _CLOCK_MHZ
    note = f"plan at an assumed {_CLOCK_MHZ:g} MHz, {totals.shares['lut']:.0%} of the LUTs; power is not known"
    return row | {"operations": tops, "frames_per_second": totals.frames_per_second, "note": note}


def _measured(model: str, size: tuple[int, int] | None, macs: int, seconds: float) -> Report:
    row = bench_program(model, size=size, seconds=seconds)["rows"][0]
    frames = row["images_per_second"]
    return {
        "platform": f"bitlens on {processor_name()}, one thread",
        "operations": 2e-12 * macs * frames,
        "kind": "all",
        "below": False,
        "frames_per_second": frames,
        "watts": None,
        "millijoules": None,
        "basis": "measured",
        "note": "now, whatever else ran; power is not known",
    }


def render(report: Report) -> str:
    """The report as text, a line a platform."""
    rows = [["platform", "operations/s", "of", "frames/s", "W", "mJ/frame", "basis", ""]]
    for row in report["rows"]:
        bound = "<= " if row["note"] == "upper bound" else ""
        rows.append(
            [
                row["platform"],
                "" if row["operations"] is None else f"{'< ' if row['below'] else ''}{row['operations']:.3g} T",
                row["kind"],
                "" if row["frames_per_second"] is None else f"{bound}{row['frames_per_second']:,.0f}",
                "" if row["watts"] is None else f"{row['watts']:g}",
                "" if row["millijoules"] is None else f">= {row['millijoules']:.3g}",
                row["basis"],
                row["note"],
            ]
        )
    return "\n".join(
        [
            *aligned(rows),
            f"{report['macs']:,} products an image, {report['products_2w2f']:,} of 2x2 bits without the 8-bit ends; "
            "a product is two operations",
            f"published: {report['source']}",
        ]
    )
