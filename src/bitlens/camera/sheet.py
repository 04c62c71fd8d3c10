# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: all captures in one picture, the best in the upper left corner."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from bitlens.core.files import write_atomically

__all__ = ["MOST_SHOWN", "ORDERS", "draw_sheet", "draw_tiles"]

# What a sheet can be sorted by, highest first, and what it writes below each face.
ORDERS = {
    "clearness": ("clearness", "clear {clearness:.0f}"),
    "pose": ("frontality", "yaw {yaw:+.0f} pitch {pitch:+.0f}"),
}

_CELL_PX, _CAPTION_PX, _GAP_PX, _COLUMNS = 120, 18, 6, 8
MOST_SHOWN = 240  # faces of a sheet
_PAPER, _INK = (250, 250, 250), (40, 40, 40)


def draw_sheet(path: Path, folder: Path, records: Sequence[Mapping[str, Any]], order: str) -> None:
    """Draw and write a sheet of captures, at most 240.

    Args:
        path: of the PNG.
        folder: that the records' crops are named from.
        records: of captures, as in captures.jsonl; at least one.
        order: "clearness" or "pose".
    """
    key, caption = ORDERS[order]
    shown = sorted(records, key=lambda record: -record[key])[:MOST_SHOWN]

    def tile(record: Mapping[str, Any]) -> tuple[Image.Image, str]:
        with Image.open(folder / record["crop"]) as stored:
            return stored.convert("RGB"), caption.format(**record)

    rows = [shown[k : k + _COLUMNS] for k in range(0, len(shown), _COLUMNS)]
    draw_tiles(path, [map(tile, row) for row in rows], min(_COLUMNS, len(shown)))


def draw_tiles(path: Path, rows: Sequence[Iterable[tuple[Image.Image, str]]], columns: int = _COLUMNS) -> None:
    """Draw and write rows of pictures, each with a line of text below it.

    Args:
        path: of the PNG.
        rows: of pictures of any size, RGB.
        columns: room for so many pictures a row.
    """
    across, down = _CELL_PX + _GAP_PX, _CELL_PX + _CAPTION_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * across + _GAP_PX, len(rows) * down + _GAP_PX), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for line, row in enumerate(rows):
        for column, (picture, text) in enumerate(row):
            x, y = _GAP_PX + column * across, _GAP_PX + line * down
            scale = _CELL_PX / max(picture.size)
            width, height = (max(1, round(scale * side)) for side in picture.size)
            sized = picture.resize((width, height), Image.Resampling.BILINEAR)
            sheet.paste(sized, (x + (_CELL_PX - width) // 2, y + (_CELL_PX - height) // 2))
            pen.text((x + _CELL_PX / 2, y + _CELL_PX + 2), text, _INK, font, anchor="ma")
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    write_atomically(path, stream.getvalue())
