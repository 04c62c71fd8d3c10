# SPDX-License-Identifier: Apache-2.0
"""Imports point one way. Each folder of bitlens lists what of bitlens and of the outside it may import."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "bitlens"
ROW = ["core", "quant", "nn", "models", "data", "train"]  # each may import those to its left

MAY = {
    "core": [],
    **{folder: ROW[:i] for i, folder in enumerate(ROW) if i},
    "train": [*ROW[:-1], "vision"],
    "qonnx": ["core", "graph"],
    "qonnx/export.py": ["core", "graph", "quant", "nn"],
    "graph": ["core"],
    "passes": ["core", "graph"],
    "runtime": ["core"],
    "runtime/islands.py": ["core", "graph"],
    "bundle": ["core", "graph", "runtime"],
    "fpga": ["core", "graph"],
    "vision": ["core", "runtime"],
    "camera": ["core", "runtime", "vision"],
    "plots": ["core", "graph"],
}
TORCH = {*ROW[1:], "qonnx/export.py", "results"}
ONNX = {"qonnx", "qonnx/export.py", "results"}
ANYTHING = {"results", "cli", "compiler.py", "__init__.py", "__main__.py"}  # these import lazily


def _imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports must be absolute"
            if node.module == "bitlens":
                found += [(node.lineno, f"bitlens.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, node.module or ""))
    return found


def _room(relative: str) -> str:
    return relative if relative in MAY else relative.split("/")[0]


def _faults(source: Path) -> list[str]:
    faults = []
    for path in sorted(source.rglob("*.py")):
        relative = path.relative_to(source).as_posix()
        room = _room(relative)
        if room in ANYTHING:
            continue
        for line, module in _imports(path):
            parts = module.split(".")
            where = f"{relative}:{line}: {room}"
            if parts[0] == "bitlens":
                other = parts[1] if len(parts) > 1 else "bitlens"
                if other != relative.split("/")[0] and other not in MAY.get(room, []):
                    faults.append(f"{where} must not import {module}")
            elif (parts[0] == "torch" and room not in TORCH) or (parts[0].startswith("onnx") and room not in ONNX):
                faults.append(f"{where} must not import {module}")
    return faults


def test_imports_point_one_way() -> None:
    assert not _faults(SOURCE)


@pytest.mark.parametrize(
    ("relative", "text"),
    [
        ("core/x.py", "import torch"),
        ("core/x.py", "from bitlens.graph import graph"),
        ("graph/x.py", "from bitlens import passes"),
        ("passes/x.py", "import onnx"),
        ("nn/x.py", "from bitlens.models import zoo"),
        ("qonnx/read.py", "import torch"),
        ("runtime/x.py", "def f():\n    import bitlens.graph"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, relative: str, text: str) -> None:
    path = tmp_path / relative
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert len(_faults(tmp_path)) == 1


def test_every_folder_has_a_row() -> None:
    folders = {path.parent.relative_to(SOURCE).as_posix().split("/")[0] for path in SOURCE.rglob("*.py")} - {"."}
    assert folders <= {*MAY, *ANYTHING}


def test_the_engine_knows_nothing_of_python() -> None:
    engine = SOURCE.parents[1] / "engine"
    for path in sorted([*engine.rglob("*.cc"), *engine.rglob("*.h")]):
        text = path.read_text()
        assert "Python.h" not in text, path
        assert "nanobind" not in text, path
