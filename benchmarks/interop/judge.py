# SPDX-License-Identifier: Apache-2.0
"""Where two runs of one model part: at a tie of a quantizer, or at a fault.

Image by image, node by node: while all inputs of a node agree, its result must agree too. A quantizer whose input agrees (to
what float32 sums lose) may give a code one step apart: a tie, the value lies on the boundary as near as float32 can tell. What
comes behind a tie is not compared; other images, which have none there, are.
"""

from __future__ import annotations

import numpy as np

from bitlens.graph.execute import Tensor
from bitlens.graph.graph import Graph

__all__ = ["judge"]

CLOSE = 4e-6  # of the largest value: what a float32 sum of some thousand products loses
QUANTIZERS = ("Quant", "BipolarQuant", "QuantizeLinear", "Trunc", "MultiThreshold", "Clip", "DequantizeLinear")


def judge(graph: Graph, ours: dict[str, Tensor], theirs: dict[str, np.ndarray]) -> dict[str, object]:
    """Compare.

    Args:
        graph: the model as it was read.
        ours: every tensor in reference arithmetic.
        theirs: tensors by another runtime, those it has.

    Returns:
        "ties", "faults": numbers of values; "nodes": how many results were compared; "at": the first node at fault.
    """
    agree: dict[str, np.ndarray] = {}  # tensor -> whether it agrees, by image
    ties = faults = nodes = 0
    at = None
    for node in graph.nodes:
        result = node.outputs[0]
        if result not in ours:
            continue
        known = [agree[name] for name in node.inputs if name in agree]
        before = np.logical_and.reduce(known) if known else np.array(True)
        if result not in theirs or theirs[result].size != ours[result].real.size:
            agree[result] = before
            continue
        tensor, other = ours[result], theirs[result].reshape(ours[result].real.shape)
        apart = np.abs(tensor.real.astype(np.float64) - other)
        step = np.max(np.abs(tensor.unit)) if tensor.unit is not None and node.op in QUANTIZERS else 0.0
        if node.op == "MultiThreshold":
            step = max(float(node.attrs["out_scale"]), 0.0)
        elif node.op == "QuantizeLinear":
            step = 1.0
        wrong = ~(apart <= CLOSE * np.abs(tensor.real).max(initial=0) + 1e-30)
        if step:
            wrong = ~(apart <= step / 2)
        by_image = wrong.reshape(len(wrong), -1)
        here = np.broadcast_to(before, len(wrong))
        nodes += 1
        if step:
            near = (apart <= 1.01 * step).reshape(len(wrong), -1)
            ties += int((by_image & near)[here].sum())
            by_fault = by_image & ~near
        else:
            by_fault = by_image
        count = int(by_fault[here].sum())
        if count and at is None:
            at = f"{node.name} ({node.op})"
        faults += count
        agree[result] = here & ~by_image.any(axis=1)
    found: dict[str, object] = {"ties": ties, "faults": faults, "nodes": nodes}
    return found if at is None else found | {"at": at}
