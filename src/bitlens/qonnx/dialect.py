# SPDX-License-Identifier: Apache-2.0
"""Names and versions of QONNX: domains, operators, what changed between versions."""

from __future__ import annotations

import re

from bitlens.core.grid import Grid

__all__ = [
    "DATATYPE_KEY",
    "DOMAIN",
    "DOMAIN_VERSION",
    "FLATTENED_BEFORE_13",
    "LEAST_OPSET",
    "MOVED_ATTRIBUTES",
    "STANDARD_DOMAINS",
    "datatype_grid",
    "operator_name",
]

DOMAIN = "qonnx.custom_op.general"
DOMAIN_VERSION = 2  # what Brevitas declares; only Trunc differs between 1 and 2

LEAST_OPSET = 9
STANDARD_DOMAINS = ("", "ai.onnx")

DATATYPE_KEY = "finn_datatype"  # of a tensor's annotation: float32 in the file, integers in truth
_NAMED_GRIDS = {"BIPOLAR": Grid.odd(1), "BINARY": Grid.unsigned(1), "TERNARY": Grid.ternary()}
_MOST_BITS = 16

_OLD_DOMAINS = ("onnx.brevitas", "finn.custom_op.general", "finn")
_SYNONYMS = {"IntQuant": "Quant"}

# Attributes of older operator sets that are inputs today, in the order of the inputs after the first.
MOVED_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "Clip": ("min", "max"),
    "Dropout": ("ratio",),
    "Pad": ("pads", "value"),
    "ReduceMax": ("axes",),
    "ReduceMean": ("axes",),
    "ReduceMin": ("axes",),
    "ReduceSum": ("axes",),
    "Slice": ("starts", "ends", "axes"),
    "Split": ("split",),
    "Squeeze": ("axes",),
    "TopK": ("k",),
    "Unsqueeze": ("axes",),
    "Upsample": ("scales",),
}


# Whose axis was the first of those that were flattened, 1 by default, before operator set 13.
FLATTENED_BEFORE_13 = ("Softmax", "LogSoftmax", "Hardmax")


def operator_name(domain: str, op_type: str) -> str:
    """The one name of an operator: synonyms and old domains of QONNX are one, foreign domains stay visible."""
    if domain in (*STANDARD_DOMAINS, DOMAIN, *_OLD_DOMAINS):
        return _SYNONYMS.get(op_type, op_type)
    return f"{domain}::{op_type}"


def datatype_grid(name: str) -> Grid | None:
    """The integers of a qonnx data type such as UINT8, None for one that is real or wide."""
    found = re.fullmatch(r"(U?)INT([0-9]+)", name)
    if found is None or not 1 <= int(found[2]) <= _MOST_BITS:
        return _NAMED_GRIDS.get(name)
    return Grid.unsigned(int(found[2])) if found[1] else Grid.signed(int(found[2])) if found[2] != "1" else None
