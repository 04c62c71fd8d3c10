# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: all captures in one picture, the best in the upper left corner."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from bitlens.core.files import write_atomically

__all__ = ["ORDERS", "draw_sheet"]

# What a sheet can be sorted by, highest first, and what it writes below each face.
ORDERS = {
    "clearness": ("clearness", "clear {clearness:.0f}"),
    "pose": ("frontality", "yaw {yaw:+.0f} pitch {pitch:+.0f}"),
}

_CELL_PX, _CAPTION_PX, _GAP_PX, _COLUMNS, _MOST = 120, 18, 6, 8, 240
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
    shown = sorted(records, key=lambda record: -record[key])[:_MOST]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    across, down = _CELL_PX + _GAP_PX, _CELL_PX + _CAPTION_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * across + _GAP_PX, rows * down + _GAP_PX), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for place, record in enumerate(shown):
        x, y = _GAP_PX + place % columns * across, _GAP_PX + place // columns * down
        with Image.open(folder / record["crop"]) as stored:
            scale = _CELL_PX / max(stored.size)
            width, height = (max(1, round(scale * side)) for side in stored.size)
            crop = stored.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        sheet.paste(crop, (x + (_CELL_PX - width) // 2, y + (_CELL_PX - height) // 2))
        pen.text((x + _CELL_PX / 2, y + _CELL_PX + 2), caption.format(**record), _INK, font, anchor="ma")
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    write_atomically(path, stream.getvalue())
