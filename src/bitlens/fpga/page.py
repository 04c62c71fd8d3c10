# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML file with pictures, bars of every layer's cycles, cells and efficiency; it loads nothing."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

__all__ = ["layer_cells", "report_page"]

Report = dict[str, Any]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: left }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.note { color: #666 }
svg text { font: 12px system-ui, sans-serif }
"""
_CALIBRATION = (
    "Lookup tables, registers, block RAMs and multipliers come from a formula for each element; its constants were read off "
    "netlists of Yosys for 7 series and ECP5, while of Gowin and iCE40 only block RAMs were compared with netlists. "
    "scripts/synthesise.sh counts them for this circuit. The clock, and with it images/s and TOPS, is assumed until "
    "place and route (scripts/place.sh; of 7 series Vivado) has met it; how densely tables pack shows there too. Power is "
    "not estimated."
)
_ROW, _LEFT, _RIGHT = 20, 260, 560  # pixels: height of a bar, width of names, width of the longest bar


def report_page(report: Report) -> str:
    """HTML of a report."""
    device, totals = report["device"], report["totals"]
    title = f"{report['model'] or 'Network'} on {device['title']}"
    parts = [
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f"<p>{totals['cycles']:,} cycles from image to image, set by <b>{escape(report['bottleneck'])}</b>. "
        "Cells are estimated before synthesis, cycles follow from the folds; what was simulated or routed is said so.</p>",
        f"<p class='note'>{_CALIBRATION}</p>",
        _shares(report),
        "<h2>Speed</h2>",
        _clocks(report),
        "<h2>Cycles of an image</h2>",
        _bars(report, "cycles", "#4878a8"),
        f"<h2>Lookup tables</h2>{_bars(report, 'lut', '#6a9f58')}",
        f"<h2>{escape(device['bram'])}</h2>{_bars(report, 'bram', '#b07aa1')}",
        "<h2>Efficiency</h2><p class='note'>Share of a layer's multipliers that work on average, at the circuit's pace.</p>",
        _bars(report, "efficiency", "#d1762c", lambda share: f"{share:.0%}", 1.0),
        "<h2>Layers</h2>",
        _layers(report),
        "<h2>Beside published accelerators</h2>",
        _published(report),
        "</body></html>",
    ]
    return "\n".join(parts)


def _shares(report: Report) -> str:
    totals, width = report["totals"], 300
    names = {"lut": "LUT", "ff": "FF", "bram": report["device"]["bram"], "dsp": "DSP"}
    rows = []
    for key, name in names.items():
        share = totals["shares"][key]
        bar = (
            f"<svg width='{width}' height='14'><rect width='{width}' height='14' fill='#eee'/>"
            f"<rect width='{min(share, 1) * width:.1f}' height='14' fill='#4878a8'/></svg>"
        )
        rows.append([name, f"{totals[key]:,g}", f"{share:.1%}", bar])
    return _table(["", "used", "of the device", ""], rows, numbers=(1, 2))


def _clocks(report: Report) -> str:
    low = report["low_bit"]
    rows = [
        [
            f"{clock['mhz']:g} MHz",
            clock["label"],
            f"{clock['frames_per_second']:,.0f}",
            f"{clock['peak_tops']:.2f}",
            f"{clock['sustained_tops']:.2f}",
        ]
        for clock in report["at_clock"]
    ]
    if report["routed"]:
        routed = report["routed"]
        peak = 2e-6 * low["macs_per_cycle"] * routed["mhz"]
        frames, sustained = f"{routed['frames_per_second']:,.0f}", f"{peak * low['efficiency']:.2f}"
        rows.append([f"{routed['mhz']:.1f} MHz", routed["label"], frames, f"{peak:.2f}", sustained])
    table = _table(["clock", "", "images/s", "peak TOPS", "sustained TOPS"], rows, numbers=(2, 3, 4))
    ends = ", ".join(map(escape, report["ends"]["layers"])) or "none"
    note = (
        f"<p class='note'>{low['macs_per_cycle']:,} products of at most 4x4 bits a cycle, {low['efficiency']:.1%} of them busy "
        "on average; a product is two operations. "
        f"Wider ends are not counted: {ends}, {report['ends']['macs']:,} products an image.</p>"
    )
    simulated = report["simulated"]
    if not simulated:
        return table + note
    busy = (
        f", {simulated['efficiency']:.1%} of the low-bit multipliers busy end to end" if simulated["efficiency"] else ""
    )
    bodies = ", structural bodies" if simulated.get("structural") else ""
    return (
        table
        + note
        + (
            f"<p>Simulated{bodies}: {simulated['images']:,} images, {simulated['mismatches']:,} mismatching integers, "
            f"{simulated['cycles']:,.1f} cycles from image to image, "
            f"{simulated['latency_cycles']:,} to the first result{busy}.</p>"
        )
    )


def _bars(
    report: Report, key: str, colour: str, show: Callable[[float], str] = lambda number: f"{number:,g}", most: float = 0
) -> str:
    layers = [layer for layer in report["layers"] if layer[key]]
    if not layers:
        return "<p class='note'>none</p>"
    most = most or max(layer[key] for layer in layers)
    lines = []
    for place, layer in enumerate(layers):
        y, length = place * _ROW, layer[key] / most * _RIGHT
        name = escape(layer["layer"] or "between layers")
        lines.append(f"<text x='{_LEFT - 8}' y='{y + 14}' text-anchor='end'>{name}</text>")
        lines.append(
            f"<rect x='{_LEFT}' y='{y + 3}' width='{max(length, 1):.1f}' height='{_ROW - 6}' fill='{colour}'/>"
        )
        lines.append(f"<text x='{_LEFT + max(length, 1) + 6:.1f}' y='{y + 14}'>{show(layer[key])}</text>")
    return f"<svg width='{_LEFT + _RIGHT + 110}' height='{len(layers) * _ROW}' role='img'>{''.join(lines)}</svg>"


def _layers(report: Report) -> str:
    head = ["layer", "op", "PE x SIMD", "cycles", "LUT", "FF", report["device"]["bram"], "DSP", "MAC", "bits", "busy"]
    rows = [[escape(cell) for cell in layer_cells(layer)] for layer in report["layers"]]
    return _table(head, rows, numbers=range(3, 11))


def _published(report: Report) -> str:
    rows = [[escape(entry[key]) for key in ("name", "figure", "source")] for entry in report["published"]]
    note = "Published by others, on their boards and nets; ours above is at an assumed clock unless it says routed."
    return _table(["", "published", "source"], rows) + f"<p class='note'>{note}</p>"


def _table(head: list[str], rows: list[list[str]], numbers: Any = ()) -> str:
    kinds = [" class='n'" if place in numbers else "" for place in range(len(head))]
    lines = ["<tr>" + "".join(f"<th{kind}>{cell}</th>" for kind, cell in zip(kinds, head, strict=True)) + "</tr>"]
    lines += [
        "<tr>" + "".join(f"<td{k}>{cell}</td>" for k, cell in zip(kinds, row, strict=True)) + "</tr>" for row in rows
    ]
    return f"<table>{''.join(lines)}</table>"


def layer_cells(layer: Report) -> list[str]:
    """A layer as a row: name, op, fold, cycles, LUT, FF, block RAM, DSP, products, bits of their factors, efficiency."""
    numbers = [f"{layer['cycles']:,}", f"{layer['lut']:,}", f"{layer['ff']:,}", f"{layer['bram']:g}", f"{layer['dsp']}"]
    products = ["", "", ""]
    if layer["macs"]:
        bits = f"{layer['weight_bits']}x{layer['input_bits']}"
        products = [f"{layer['macs']:,}", bits, f"{layer['efficiency']:.0%}"]
    return [layer["layer"] or "(between layers)", layer["op"], _fold(layer["fold"]), *numbers, *products]


def _fold(fold: Report | None) -> str:
    """PE x SIMD and the rest of a fold."""
    if fold is None:
        return ""
    rest = [str(fold[key]) for key in fold if key not in ("pe", "simd")]
    return " ".join([f"{fold['pe']}x{fold['simd']}", *rest])
