# SPDX-License-Identifier: Apache-2.0
"""The figures of the face nets in README, docs and model cards, written from `docs/results/faces.json`: none is forgotten.

A figure, sentence or table stands between `<!-- faces: NAME -->` and `<!-- end -->`; NAME is one of `BLOCKS`.

    python -m bitlens.results.face_pages        # from the root of the source, after `bitlens reproduce faces`
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from bitlens.core.files import write_atomically
from bitlens.results.face_blocks import BLOCKS
from bitlens.results.face_figures import Table

__all__ = ["PAGES", "blocks_of", "renew_pages", "renewed"]

_MODELS = "src/bitlens/vision/models"
PAGES = (
    "README.md",
    "docs/camera.md",
    "docs/clearness.md",
    "docs/results.md",
    *(f"{_MODELS}/face_{name}.md" for name in ("clearness", "detector", "pose")),
)
_BLOCK = re.compile(r"(<!-- faces: (?P<name>[\w ]+) -->).*?(<!-- end -->)", re.DOTALL)


def renewed(text: str, table: Table) -> str:
    """Return a page whose blocks hold the figures of a table.

    Raises:
        KeyError: there is no block of a name.
    """
    return _BLOCK.sub(lambda found: found[1] + BLOCKS[found["name"]](table) + found[3], text)


def blocks_of(text: str) -> list[str]:
    """Return the names of a page's blocks."""
    return [found["name"] for found in _BLOCK.finditer(text)]


def renew_pages(root: Path) -> list[str]:
    """Write the figures of `docs/results/faces.json` into all pages of a source tree; return the names of those that change."""
    table = Table(json.loads((root / "docs/results/faces.json").read_text(encoding="utf-8")))
    changed = []
    for name in PAGES:
        text = (root / name).read_text(encoding="utf-8")
        if (new := renewed(text, table)) != text:
            write_atomically(root / name, new.encode())
            changed.append(name)
    return changed


if __name__ == "__main__":
    print("\n".join(renew_pages(Path())))
