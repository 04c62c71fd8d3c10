# SPDX-License-Identifier: Apache-2.0
"""Convolutions: a window unit and a matrix-vector-threshold unit, or a depthwise unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.fpga.folding import KERNELS, Fold
from bitlens.fpga.hardwired import Hardwired
from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.lower.requantize import add_bias
from bitlens.fpga.lower.windows import add_whole_windows, add_windows, has_windows
from bitlens.fpga.memory import Memory, pack_fields, step_table, weight_words, whole_table
from bitlens.fpga.network import FpgaError, Stream, integer_bits
from bitlens.fpga.products import Products, pe_latency
from bitlens.fpga.wiring import fixed_size
from bitlens.graph.graph import Node

__all__ = ["dense_shape", "dense_weights", "is_dense", "lower_conv"]

IntArray = npt.NDArray[np.int64]


def lower_conv(circuit: Circuit, node: Node) -> None:
    """A convolution, with the step table behind it where that alone reads its sums."""
    return _lower_dense(circuit, node) if is_dense(node) else _lower_depthwise(circuit, node)


def is_dense(node: Node) -> bool:
    """Whether a layer becomes a matrix-vector unit: a convolution, unless every channel has one filter of its own."""
    if node.op != "conv":
        return False
    outputs, _, _, depth = node.attrs["weights"].shape
    return not (node.attrs["groups"] == outputs > 1 and depth == 1)


def dense_shape(node: Node) -> tuple[int, int, int, int]:
    """The shape of `dense_weights`."""
    outputs, kh, kw, depth = node.attrs["weights"].shape
    return outputs, kh, kw, node.attrs["groups"] * depth


def dense_weights(node: Node) -> npt.NDArray[Any]:
    """(O, kh, kw, C): filters of groups have zeros for the channels of the others."""
    weights, groups = node.attrs["weights"], node.attrs["groups"]
    outputs, kh, kw, depth = weights.shape
    dense = np.zeros((outputs, kh, kw, groups, depth), weights.dtype)
    dense[np.arange(outputs), :, :, np.arange(outputs) * groups // outputs] = weights
    return dense.reshape(outputs, kh, kw, groups * depth)


def _lower_dense(circuit: Circuit, node: Node) -> None:
    weights = dense_weights(node)
    outputs, kh, kw, depth = weights.shape
    fold = circuit.folding.get(node.name)
    column = fold is not None and depth % fold.simd != 0
    windows = has_windows(node, *fixed_size(node.inputs[0], circuit.graph.value(node.inputs[0]).shape)[:2])
    high = kh if windows else 1
    if fold is not None and fold.kernel not in KERNELS:
        raise FpgaError(f"{node.name}: kernel must be one of {', '.join(KERNELS)}, not {fold.kernel}")
    if fold is not None and fold.kernel == "hard":
        return _lower_hard(circuit, node, weights, fold)
    if fold is None or outputs % fold.pe or (column and (fold.simd % high or depth % (fold.simd // high))):
        raise FpgaError(
            f"{node.name}: folds must divide {outputs} outputs and {depth} inputs of a tap, or {high} taps of it, not be {fold}"
        )
    lanes = fold.simd // kh if column else fold.simd
    stream = add_windows(circuit, node, circuit.read(node.inputs[0], lanes), 0, column=column)
    in_folds, out_folds = kh * kw * depth // fold.simd, outputs // fold.pe
    if out_folds > 1 and in_folds > 1 and not windows:  # the next vector comes while this one is worked on
        stream = circuit.add("fifo", stream.wire, {"WIDTH": stream.width, "DEPTH": in_folds}, stream)
    products, (lo, hi) = circuit.products(node, weights, stream)
    stored = products.stored
    if column:  # as the beats come: (O, kh, kw, C) -> (O, kw, C // lanes, kh, lanes)
        stored = stored.reshape(outputs, kh, kw, depth // lanes, lanes).transpose(0, 2, 3, 1, 4).reshape(outputs, -1)
    sum_bits = max(2, (hi - lo + 1).bit_length())  # of all sums and of a breakpoint that none reaches
    start = -(1 << (sum_bits - 1)) - lo
    parameters = {
        "IN_FOLDS": in_folds,
        "OUT_FOLDS": out_folds,
        "SIMD": fold.simd,
        "PE": fold.pe,
        "IN_BITS": stream.bits,
        "IN_SIGNED": int(stream.signed),
        "WEIGHT_BITS": products.weight_bits,
        "ODD": int(products.odd),
        "START": start,
        "ACC_BITS": sum_bits,
        "PE_LATENCY": pe_latency(fold.simd, stream.bits, products.weight_bits, circuit.target),
    }
    words = weight_words(stored, fold.pe, fold.simd, products.weight_bits)
    modes = {"KERNEL": fold.kernel, "TARGET": circuit.target}
    _finish(
        circuit, node, "mvtu", stream, parameters, words, start + products.excess, fold, in_folds * out_folds, modes
    )


def _lower_hard(circuit: Circuit, node: Node, weights: npt.NDArray[Any], fold: Fold) -> None:
    """A layer of constants, a pixel a cycle."""
    outputs, kh, kw, depth = weights.shape
    height, width, _ = fixed_size(node.inputs[0], circuit.graph.value(node.inputs[0]).shape)
    inputs = kh * kw * depth
    if (fold.pe, fold.simd) != (outputs, inputs) or (kh * kw > 1 and not has_windows(node, height, width)):
        rule = f"a hard kernel must take whole windows, {outputs} outputs and {inputs} inputs a cycle"
        raise FpgaError(f"{node.name}: {rule}, not be {fold}; an image that is one window takes another kernel")
    stream = add_whole_windows(circuit, node, circuit.read(node.inputs[0], depth), 0)
    products, _ = circuit.products(node, weights.transpose(0, 2, 1, 3), stream, "columns")  # as the beats come
    adders = products.hardwired(circuit.target)
    parameters = {
        "SIMD": inputs,
        "PE": outputs,
        "IN_BITS": stream.bits,
        "ACC_BITS": adders.total_bits,
        "LATENCY": adders.latency,
    }
    words = weight_words(products.stored, outputs, inputs, products.weight_bits)
    modes = {"TARGET": circuit.target}
    _finish(circuit, node, "hard", stream, parameters, words, adders.offsets, fold, 1, modes, (adders, products))


def _finish(
    circuit: Circuit,
    node: Node,
    module: str,
    stream: Stream,
    parameters: dict[str, int],
    words: Memory,
    more: IntArray,
    fold: Fold,
    cycles: int,
    modes: dict[str, str],
    sums: tuple[Hardwired, Products] | None = None,
) -> None:
    """Add the unit, with the step table behind it where that alone reads its sums.

    Args:
        more: (O,) what its totals have above the sums of weight * input.
        cycles: of a pixel.
    """
    outputs, bits = len(more), parameters["ACC_BITS"]
    shape = fixed_size(node.name, circuit.graph.value(node.output).shape)
    lacking = _bias(node, outputs) - more
    common: dict[str, Any] = {"layer": node.name, "cycles": shape[0] * shape[1] * cycles, "shape": shape}
    common |= {"lanes": fold.pe, "modes": modes, "sums": sums}
    steps = circuit.fused_steps(node)
    output = node.output if steps is None else steps.output
    out_bits, signed = integer_bits(circuit.grid(output))
    if steps is None:
        levels, table = 0, pack_fields((lacking.reshape(-1, fold.pe), out_bits))
    else:
        breakpoints, values = whole_table(steps.attrs)
        levels = breakpoints.shape[1]
        table = step_table(breakpoints, values, outputs, fold.pe, bits, out_bits, lacking)
        circuit.taken.add(output)
    parameters |= {"LEVELS": levels, "OUT_BITS": out_bits}
    memories = {"WEIGHTS": words, "TABLE": table}
    found = circuit.add(
        module, node.name, parameters, stream, memories=memories, bits=out_bits, signed=signed, **common
    )
    circuit.done(output, found)


def _lower_depthwise(circuit: Circuit, node: Node) -> None:
    weights = node.attrs["weights"]  # (C, kh, kw, 1)
    channels, kh, kw, _ = weights.shape
    source = circuit.source(node)
    bias = _bias(node, channels)
    stream = add_windows(circuit, node, source, 0)
    bits, weight_bits = _sum_bits(circuit.grid(node.output), bias), _signed_bits(weights)
    rows = weights.reshape(channels, kh * kw).T.reshape(kh * kw * source.folds, source.lanes)  # word of (tap, fold)
    parameters = {
        "LANES": source.lanes,
        "FOLDS": source.folds,
        "TAPS": kh * kw,
        "IN_BITS": source.bits,
        "IN_SIGNED": int(source.signed),
        "WEIGHT_BITS": weight_bits,
        "OUT_BITS": bits,
    }
    sums = circuit.add(
        "depthwise",
        node.name,
        parameters,
        stream,
        layer=node.name,
        memories={"WEIGHTS": pack_fields((rows, weight_bits))},
        bits=bits,
        signed=True,
        shape=fixed_size(node.name, circuit.graph.value(node.output).shape),
    )
    circuit.done(node.output, _with_bias(circuit, node, sums, bias))


def _bias(node: Node, outputs: int) -> IntArray:
    return np.zeros(outputs, np.int64) if node.attrs["bias"] is None else np.asarray(node.attrs["bias"], np.int64)


def _with_bias(circuit: Circuit, node: Node, sums: Stream, bias: IntArray) -> Stream:
    return add_bias(circuit, node, sums, bias) if bias.any() else sums


def _sum_bits(grid: Grid, bias: IntArray) -> int:
    """Two's complement bits of the sums without bias."""
    lo, hi = grid.lo - int(bias.max()), grid.hi - int(bias.min())
    return integer_bits(Grid.span(min(lo, -1), max(hi, 0)))[0]


def _signed_bits(weights: npt.NDArray[Any]) -> int:
    return integer_bits(Grid.span(min(int(weights.min()), -1), max(int(weights.max()), 0)))[0]
