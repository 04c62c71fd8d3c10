# SPDX-License-Identifier: Apache-2.0
"""Names and versions of QONNX: domains, operators, what changed between versions."""

from __future__ import annotations

__all__ = ["DOMAIN", "DOMAIN_VERSION", "LEAST_OPSET", "MOVED_ATTRIBUTES", "STANDARD_DOMAINS", "operator_name"]

DOMAIN = "qonnx.custom_op.general"
DOMAIN_VERSION = 2  # what Brevitas declares; only Trunc differs between 1 and 2

LEAST_OPSET = 9
STANDARD_DOMAINS = ("", "ai.onnx")

_OLD_DOMAINS = ("onnx.brevitas", "finn.custom_op.general", "finn")
_SYNONYMS = {"IntQuant": "Quant"}

# Attributes of older operator sets that are inputs today, in the order of the inputs after the first.
MOVED_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "Clip": ("min", "max"),
    "Dropout": ("ratio",),
    "Pad": ("pads", "value"),
    "ReduceMax": ("axes",),
    "ReduceMean": ("axes",),
    "Slice": ("starts", "ends", "axes"),
    "Split": ("split",),
    "Squeeze": ("axes",),
    "TopK": ("k",),
    "Unsqueeze": ("axes",),
    "Upsample": ("scales",),
}


def operator_name(domain: str, op_type: str) -> str:
    """The one name of an operator: synonyms and old domains of QONNX are one, foreign domains stay visible."""
    if domain in (*STANDARD_DOMAINS, DOMAIN, *_OLD_DOMAINS):
        return _SYNONYMS.get(op_type, op_type)
    return f"{domain}::{op_type}"
