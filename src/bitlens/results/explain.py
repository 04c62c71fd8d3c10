# SPDX-License-Identifier: Apache-2.0
"""What the compiler's passes do to a model: printed, or each pass's graph as a file."""

from __future__ import annotations

from pathlib import Path

from bitlens.core.files import write_atomically
from bitlens.graph.graph import Graph
from bitlens.graph.text import describe_changes, describe_nodes

__all__ = ["Explainer"]


class Explainer:
    """Follows a compilation; give its `observe` to `bitlens.compile`.

    Args:
        speak: print what each pass did to each layer.
        folder: where to write the graph after each pass, as "07_find_grids.txt"; made when missing.
    """

    def __init__(self, speak: bool = True, folder: Path | None = None) -> None:
        self.speak, self.folder = speak, folder
        self.before: dict[str, str] = {}
        self.count = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def observe(self, name: str, graph: Graph) -> None:
        """Tell what a pass has left."""
        after = describe_nodes(graph)
        if self.speak:
            changes = [f"{len(after)} operators"] if name == "read" else describe_changes(self.before, after)
            print(f"{name}: {'nothing to do' if not changes else ''}".rstrip())
            for line in changes:
                print(f"  {line}")
        if self.folder is not None:
            text = "".join(f"{node}: {line}\n" for node, line in after.items())
            write_atomically(self.folder / f"{self.count:02}_{name}.txt", text.encode())
        self.before = after
        self.count += 1
