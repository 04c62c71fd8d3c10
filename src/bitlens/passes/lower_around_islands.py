# SPDX-License-Identifier: Apache-2.0
"""Compile a partially quantized model: integer programs, and float islands between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.graph.execute import Tensor, execute
from bitlens.graph.execute.tensor import across_channels
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph, GraphError, Node, Value
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.islands import Arrays, Island, IslandProgram, in_model_order, results
from bitlens.graph.quantizer import read_quantizer
from bitlens.graph.rewrite import drop_dead, fresh_node, fresh_tensor, insert_after, replace_tensor
from bitlens.graph.spec import CompileError, check_stage
from bitlens.passes.adopt_inputs import input_rounding
from bitlens.passes.cut_islands import PRODUCTS, QUANTIZERS, Part, cut_islands
from bitlens.passes.detach_tails import detach_tails
from bitlens.passes.expand_integer_products import expand_integer_products
from bitlens.passes.fold_constants import fold_constants
from bitlens.passes.lower_elementwise import lower_elementwise
from bitlens.passes.pair_quantizers import pair_quantizers
from bitlens.passes.pipeline import ONE_FORM, lower_to_integers
from bitlens.passes.settle_layouts import expand_channels_last
from bitlens.passes.verify_program import CLOSE, SIZES, as_imported

__all__ = ["islands_help", "lower_around_islands", "prepared"]

_IMAGES = 2
_FLOAT = (  # what refusals of float layers begin with
    "weights must be quantized, not float",
    "weights must be a constant, not computed",
    "input must be integers, not real values",
    "operator must have an integer form",
    "output must be a sum with scale and offset",
)

_Key = tuple[Any, ...]


class _LayerError(Exception):
    """A layer that a pass has refused, and why."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(layer)
        self.layer, self.reason = layer, reason


def lower_around_islands(
    graph: Graph,
    progress: Callable[[str, int, int], None] | None = None,
    observe: Callable[[str, Graph], None] | None = None,
) -> IslandProgram:
    """Compile a graph that `lower_to_integers` refuses, with what it refuses on the host.

    Args:
        graph: at the imported stage; it is left as it was.
        progress, observe: as in `lower_to_integers`, for one integer part after the other.

    Returns:
        The program, which equals the model in reference arithmetic on sample inputs.

    Raises:
        CompileError: no layer is left for the engine, or an operator is unknown to the host too.
    """
    if graph.states:
        raise CompileError(
            f"{graph.states[0].input}: state of a recurrent step must stay with the engine, not beside float islands; "
            "quantize every layer of the step"
        )
    imported = _in_one_form(graph)
    cuttable = prepared(graph)
    for name in cuttable.outputs:
        if cuttable.producer(name) is None:
            what = "an input" if name in cuttable.inputs else "a constant"
            raise CompileError(f"{name}: output must be computed, not {what}; leave it out of the model")
    forced: dict[str, str] = {}
    compiled: dict[_Key, Program] = {}
    while True:
        parts = cut_islands(cuttable, forced)
        _check_gain(cuttable, parts)
        try:
            program = _lower(
                cuttable, parts, compiled, lambda part: lower_to_integers(part, progress=progress, observe=observe)
            )
        except _LayerError as refused:
            forced[refused.layer] = refused.reason
            continue
        _verify(imported, program)
        return program


def islands_help(graph: Graph, sentence: str) -> bool:
    """Whether a model was refused for something float, and has layers for the engine beside it."""
    if graph.states or not sentence.partition(": ")[2].startswith(_FLOAT):
        return False
    try:
        return _gains(cut_islands(prepared(graph), {}))
    except CompileError:
        return False


def _gains(parts: Sequence[Part]) -> bool:
    """Whether the engine has a product."""
    return any(node.op in PRODUCTS for part in parts if not part.host for node in part.graph)


def _in_one_form(graph: Graph) -> Graph:
    """The model as it is compared: shapes known, constants folded."""
    imported = graph.copy()
    expand_channels_last(imported)
    check_stage(imported, "imported")
    for rewrite in (*ONE_FORM, infer_shapes, fold_constants):
        rewrite(imported)
    return imported


def prepared(graph: Graph) -> Graph:
    """A graph as `cut_islands` takes it: no products of codes, no tails, no real biases, inputs with grids."""
    cuttable = _in_one_form(graph)
    expand_integer_products(cuttable)
    detach_tails(cuttable)
    _split_biases(cuttable)
    for name in cuttable.inputs:
        _adopt(cuttable, name)
    return cuttable


def _split_biases(graph: Graph) -> None:
    """Write real biases of products as additions: only the sums can cross to the host as integers.

    Reference arithmetic is the same: the sum times the unit, then the bias.
    """
    for node in [*graph.nodes]:
        bias = node.inputs[2] if node.op in PRODUCTS and len(node.inputs) > 2 else ""
        if not bias or bias not in graph.constants or graph.value(bias).grid is not None:
            continue
        if node.op == "Gemm" and (node.attrs["alpha"], node.attrs["beta"]) != (1, 1):
            continue
        shape = graph.value(node.output).shape or ()
        if graph.value(node.inputs[1]).grid is None or graph.constants[bias].size not in (1, shape[1]):
            continue
        numbers = fresh_tensor(graph, f"{bias}.row")
        graph.constants[numbers] = across_channels(graph.constants[bias].reshape(-1).astype(np.float32), len(shape))
        graph.values[numbers] = Value(numbers, graph.constants[numbers].shape)
        sums, result = fresh_tensor(graph, f"{node.output}.sums"), node.output
        graph.values[sums] = graph.value(result).with_(name=sums)
        node.inputs, node.outputs = node.inputs[:2], [sums]
        insert_after(graph, node, Node("Add", fresh_node(graph, f"{node.name}.bias"), [sums, numbers], [result]))


def _adopt(graph: Graph, name: str) -> None:
    """Let an input that one quantizer alone reads be integers of its grid, as `adopt_inputs` does."""
    readers = graph.consumers(name)
    if graph.value(name).grid is not None or len(readers) != 1 or name in graph.outputs:
        return
    (node,) = readers
    if node.op == "QuantizeLinear":
        (node, *others) = graph.consumers(node.output) or [node]
        if others or node.op != "DequantizeLinear" or readers[0].inputs[1:] != node.inputs[1:]:
            return
        if readers[0].output in graph.outputs:
            return
    elif node.op not in ("Quant", "BipolarQuant") or node.inputs[0] != name:
        return
    if node.output in graph.outputs:
        return
    grid, scale = _quantized(graph, node)
    rounding = "ROUND"  # of QuantizeLinear, which adds its zero point behind it
    if node.op != "DequantizeLinear":
        found = read_quantizer(graph, node)
        rounding = input_rounding(name, found.rounding, found.zero_point, found.lo, found.hi)
    graph.values[name] = graph.value(name).with_(grid=grid, scale=scale, rounding=rounding)
    graph.nodes = [other for other in graph.nodes if other is not node and other is not readers[0]]
    replace_tensor(graph, node.output, name)
    drop_dead(graph)


def _quantized(graph: Graph, node: Node) -> tuple[Grid, npt.NDArray[np.float32]]:
    """The grid of what a quantizer yields, and the real value of one unit, () or (C,)."""
    source, maker = graph, node
    if node.op == "DequantizeLinear":
        source = graph.copy()
        pair_quantizers(source)
        found = source.producer(node.output)
        while found is not None and found.op != "QuantizeLinear":  # what moves codes keeps their grid
            found = source.producer(found.inputs[0])
        if found is None:
            raise CompileError(
                f"{node.name}: codes must come from QuantizeLinear, not from outside; quantize in front of it"
            )
        maker = found
    alone = Graph(maker.inputs[:1], maker.outputs[:1], [maker], source.constants, source.values).copy()
    lower_elementwise(alone)
    value = alone.value(maker.outputs[0])
    assert value.grid is not None
    return value.grid, value.scale


def _check_gain(graph: Graph, parts: Sequence[Part]) -> None:
    if _gains(parts):
        return
    layer, reason = next(((name, text) for part in parts for name, text in part.reasons.items()), ("", ""))
    first = f" ({layer}: {reason})" if layer else ""
    name = graph.metadata.get("name") or "model"
    raise CompileError(
        f"{name}: at least one layer must be quantized, weights and input, for float islands, not none{first}; "
        "quantize the layers that cost most"
    )


def _lower(
    graph: Graph, parts: Sequence[Part], compiled: dict[_Key, Program], lower: Callable[[Graph], Graph]
) -> IslandProgram:
    """Describe what crosses the borders, and compile the integer parts that are not compiled yet."""
    born = {name: graph.value(name) for name in graph.inputs}
    made: list[Program | Island] = []
    for part in parts:
        for name in part.graph.inputs:
            known = born[name]
            described = graph.value(name).with_(grid=known.grid, scale=known.scale, rounding=known.rounding)
            part.graph.values[name] = described
        if part.host:
            made.append(_island(graph, part))
        else:
            key = _key(part.graph)
            if key not in compiled:
                compiled[key] = Program(_lowered(part, lower))
            program = compiled[key]
            _check_offsets(graph, parts, program)
            made.append(program)
        born |= results(made[-1])
    users = {graph.output_names.get(name, name): name for name in graph.outputs}
    inputs = [graph.value(name) for name in graph.inputs]
    return IslandProgram(inputs, made, users, {**graph.metadata})


def _key(part: Graph) -> _Key:
    """What tells integer parts of one model apart: their layers, and what comes in and goes out."""
    inputs = [(name, str(part.value(name).grid), part.value(name).scale.tobytes()) for name in part.inputs]
    return (*(node.name for node in part), *inputs, *part.outputs)


def _lowered(part: Part, lower: Callable[[Graph], Graph]) -> Graph:
    try:
        return lower(part.graph)
    except CompileError as error:
        sentence = str(error)
        names = [node.name for node in part.graph if sentence.startswith((f"{node.name}:", f"{node.name}."))]
        if not names or "this is a bug" in sentence:
            raise
        layer = max(names, key=len)
        reason = sentence.partition(": ")[2].partition(";")[0]
        raise _LayerError(layer, reason) from error


def _check_offsets(graph: Graph, parts: Sequence[Part], program: Program) -> None:
    """What another part reads must be integers times a unit."""
    read = {name for part in parts for name in part.graph.inputs}
    for name, value in results(program).items():
        maker = graph.producer(name)
        if name in read and np.any(value.offset) and maker is not None:
            raise _LayerError(maker.name, "result must be integers times a unit, not have an offset")


def _island(graph: Graph, part: Part) -> Island:
    island = part.graph
    for node in island.nodes:
        if node.outputs[0] in island.outputs and (node.op in QUANTIZERS or node.op == "DequantizeLinear"):
            grid, scale = _quantized(graph, node)
            island.values[node.output] = island.value(node.output).with_(grid=grid, scale=scale)
    return Island(island, part.reasons)


def _verify(imported: Graph, program: IslandProgram) -> None:
    """Run the model as it came in beside the parts: every integer and every real value must be the same."""
    arrays = _sample(program)
    inputs = {value.name: _given(value, imported, arrays[value.name]) for value in program.inputs}
    read = {name for part in program.parts for name in part.graph.inputs}
    for i in range(_IMAGES):
        image = {name: array[i : i + 1] for name, array in inputs.items()}
        borders = {name for part in program.parts for name in results(part)}
        wanted = execute(imported, image, floats=True, keep=borders)
        found = program.steps({name: array[i : i + 1] for name, array in arrays.items()}, _golden(program))
        for part in program.parts:
            for name, value in results(part).items():
                if name in wanted:
                    _compare(name, value, wanted[name], found[name], read=name in read)


def _given(value: Value, imported: Graph, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A sample input as the model takes it."""
    return in_model_order(value, array) if value.grid is None else as_imported(value, imported, array)


def _compare(name: str, value: Value, wanted: Tensor, found: npt.NDArray[Any], *, read: bool) -> None:
    """Compare a tensor at a border: what another part reads must be the model's, bit by bit."""
    ours = in_model_order(value.with_(shape=wanted.real.shape), found)
    if value.grid is not None:
        scale, offset = (across_channels(numbers, ours.ndim) for numbers in (value.scale, value.offset))
        ours = ours.astype(np.float32) * scale + offset
    if not np.all(np.isfinite(wanted.real)):
        raise CompileError(f"{name}: numbers must be finite, not inf or nan; repair the scales of the model")
    if read or value.grid is None:
        equal = np.array_equal(ours, wanted.real)
    else:  # scale and offset of an output may be applied in another order
        equal = ours.shape == wanted.real.shape and bool(
            np.all(np.abs(ours - wanted.real) <= CLOSE * np.abs(wanted.real).max(initial=0))
        )
    if not equal:
        raise CompileError(f"{name}: numbers at the border of a float island must equal the model's; this is a bug")


def _golden(program: IslandProgram) -> Callable[[int, Arrays], Arrays]:
    def run(place: int, inputs: Arrays) -> Arrays:
        part = program.parts[place]
        assert isinstance(part, Program)
        return dict(part.run(inputs))

    return run


def _sample(program: IslandProgram) -> Arrays:
    """Random inputs, channels last, of a size that fits the parts."""
    reason: Exception | None = None
    for size in SIZES:
        rng = np.random.default_rng(0)
        arrays: Arrays = {}
        for value in program.inputs:
            sizes = [given or size for given in (value.shape or ())[1:]]
            shape = (_IMAGES, *sizes[1:], sizes[0]) if len(sizes) == 3 else (_IMAGES, 1, 1, *sizes)
            if value.grid is None:
                arrays[value.name] = rng.normal(0, 1, shape).astype(np.float32)
            else:
                arrays[value.name] = value.grid.decode(rng.integers(0, value.grid.levels, shape))
        try:
            program.steps({name: array[:1] for name, array in arrays.items()}, _golden(program))
        except (GraphError, ValueError) as error:  # a symbolic size that does not fit the net
            reason = error
            if not any(None in (value.shape or ())[1:] for value in program.inputs):
                raise CompileError(str(error)) from error
            continue
        return arrays
    raise CompileError(
        f"{program.inputs[0].name}: height and width must fit the net at one of {SIZES}; export with a fixed size"
    ) from reason
