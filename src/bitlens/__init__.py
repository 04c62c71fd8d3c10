# SPDX-License-Identifier: Apache-2.0
"""Smart embedded vision with quantized neural networks.

>>> program = bitlens.compile("m.onnx")              # needs bitlens[compile]
>>> program.save("m.bitlens")
>>> session = bitlens.Session("m.bitlens", threads=2)    # needs numpy alone
>>> session.run(images)["logits"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitlens.compiler import CompileError, compile
    from bitlens.graph.file import Program
    from bitlens.runtime import Session, SessionError

__all__ = ["CompileError", "Program", "Session", "SessionError", "compile"]

# Loaded at first use, so that each part asks only for what it needs: a Session numpy, compile onnx.
_HOMES = {
    "compile": "bitlens.compiler",
    "CompileError": "bitlens.graph.spec",
    "Program": "bitlens.graph.file",
    "Session": "bitlens.runtime",
    "SessionError": "bitlens.runtime",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bitlens' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
