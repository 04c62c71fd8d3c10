# SPDX-License-Identifier: Apache-2.0
"""A frozen torch net as a QONNX model.

torch's own exporter walks the net, so any `forward` with branches and joins exports; each quantizer is one custom operator
there (`quant/onnx_op.py`) and becomes one QONNX Quant. The exporter's optimiser stays off: it would fold batch norm and
quantized weights into plain constants.

    >>> model = export(freeze(net), torch.zeros(1, 3, 40, 40))  # doctest: +SKIP
"""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxscript
import torch
from onnx import numpy_helper
from torch import nn

from bitlens.nn import HasStep, QuantLayer, RecurrentStep
from bitlens.qonnx.dialect import DOMAIN
from bitlens.qonnx.states import write_states
from bitlens.quant import QuantError, exporting
from bitlens.quant import onnx_op as _onnx_op  # registers torch.ops.bitlens.quant
from bitlens.quant.learned import LearnedScale

__all__ = ["ExportError", "export"]

assert _onnx_op

_VERSION = 2  # of the QONNX domain, as others write it
_STANDARD = onnxscript.opset18
_EXAMPLES = ((torch.float32, 2), (torch.float32, 4), (torch.int64, 1))
_SIZED = ("Expand", "Flatten", "Reshape", "Resize")
_SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's exporter keeps the path of modules


class ExportError(ValueError):
    """A net that cannot be exported; the sentence names the layer or torch's reason."""


def export(module: nn.Module, example: torch.Tensor, *, symbolic: bool = False) -> onnx.ModelProto:
    """Export a net.

    A recurrent net (`bitlens.nn.HasStep`: an LSTM, a GRU, a language model) is exported as one step: its state is inputs
    "h" (and "c") and outputs "h_next" (and "c_next"), paired in the metadata with their initial values.

    Args:
        module: in evaluation mode, its quantized layers frozen (`bitlens.nn.freeze`); its forward takes one tensor.
        example: an input, float32 (N, C, H, W) or (N, C), or int64 numbers (N,) of words; the batch of the model is free.
        symbolic: leave height and width free too, for nets of convolutions, pools and joins alone.

    Returns:
        The model: weights as on-grid constants through Quant, batch norm as it is, every attribute written. Its input is
        "image" ("tokens" of words, "x" of another recurrent net); its output is "scores", of a tuple "output0",
        "output1", ..., of a dictionary the keys.

    Raises:
        ExportError: a layer is not frozen, the example does not fit, torch's exporter cannot follow the net, or it is to
            be symbolic and holds a size.
    """
    if not isinstance(example, torch.Tensor) or (example.dtype, example.dim()) not in _EXAMPLES:
        told = (
            f"{example.dtype} {tuple(example.shape)}" if isinstance(example, torch.Tensor) else type(example).__name__
        )
        raise ExportError(f"example: must be a float32 tensor (N, C, H, W) or (N, C) or int64 (N,), not {told}")
    if isinstance(module, HasStep):
        return _export_step(_step_of(module), example)
    _check_frozen(module)
    model = _exported(module, (example,), ["image"], None)
    if symbolic:
        _free_size(model)
    return model


def _step_of(net: nn.Module) -> RecurrentStep:
    try:
        return RecurrentStep(net)
    except QuantError as error:
        raise ExportError(str(error)) from error


def _export_step(step: RecurrentStep, example: torch.Tensor) -> onnx.ModelProto:
    _check_frozen(step.net)
    examples, names = step.example(example), step.state_names
    first = "x" if example.dtype == torch.float32 else "tokens"
    following = [f"{name}_next" for name in names]
    model = _exported(step, examples, [first, *names], ["scores", *following])
    initial = [tensor[0].numpy() for tensor in step.example(example[:1])[1:]]
    pairs = zip(names, following, initial, strict=True)
    write_states(model, {name: (output, _one_or_all(numbers)) for name, output, numbers in pairs})
    return model


def _one_or_all(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One number where all are alike."""
    return numbers.reshape(-1)[0] if np.all(numbers == numbers.reshape(-1)[0]) else numbers


def _check_frozen(module: nn.Module) -> None:
    for name, layer in module.named_modules():
        if layer.training:
            raise ExportError(f"{name or 'net'}: module must be in evaluation mode, not in training; call freeze(net)")
        if isinstance(layer, QuantLayer) and layer.weight_quantizer is not None and not layer.frozen:
            raise ExportError(f"{name}: layer must be frozen, not trainable; call freeze(net)")
        if isinstance(layer, LearnedScale) and not layer.is_fixed:
            raise ExportError(
                f"{name or 'net'}: learned scale must be fixed, not one that moved since; call freeze(net)"
            )


def _exported(
    module: nn.Module, examples: tuple[torch.Tensor, ...], inputs: list[str], outputs: list[str] | None
) -> onnx.ModelProto:
    """The tidied model of a module, its batch free; outputs None: named after what the module returns."""
    with _quiet(), exporting(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                optimize=False,
                verbose=False,
                input_names=inputs,
                output_names=_output_names(module(*examples)) if outputs is None else outputs,
                custom_translation_table={
                    torch.ops.bitlens.quant.default: _translator(),
                    torch.ops.bitlens.crop_like.default: _crop_like,
                },
            )
        except Exception as error:  # whatever torch's exporter raises is told as one of ours
            raise ExportError(f"net: forward must be one that torch can export, not fail: {_reason(error)}") from error
    assert program is not None
    model = _tidied(program.model_proto)
    _free_batch(model, examples[0].shape[0])
    return model


def _reason(error: BaseException) -> str:
    """The first line of what an error began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _output_names(outputs: Any) -> list[str]:
    if isinstance(outputs, torch.Tensor):
        return ["scores"]
    if isinstance(outputs, dict):
        return [str(key) for key in outputs]
    return [f"output{i}" for i in range(len(outputs))]


def _translator() -> Callable[..., Any]:
    """What torch's exporter calls for each `bitlens::quant`."""
    schema = onnx.defs.OpSchema
    real = "tensor(float)"
    operator = onnxscript.values.Op(
        onnxscript.values.Opset(DOMAIN, _VERSION),
        "Quant",
        schema(
            "Quant",
            DOMAIN,
            _VERSION,
            inputs=[schema.FormalParameter(name, real) for name in ("x", "scale", "zero_point", "bit_width")],
            outputs=[schema.FormalParameter("y", real)],
            attributes=[
                schema.Attribute("signed", schema.AttrType.INT),
                schema.Attribute("narrow", schema.AttrType.INT),
                schema.Attribute("rounding_mode", schema.AttrType.STRING),
            ],
        ),
    )

    def translate(
        x: Any, scale: Any, zero_point: Any, bits: int, signed: bool, narrow: bool, rounding_mode: str = "ROUND"
    ) -> Any:
        width = _STANDARD.Constant(value=numpy_helper.from_array(np.array(bits, np.float32)))
        return operator(
            x, scale, zero_point, width, signed=int(signed), narrow=int(narrow), rounding_mode=rounding_mode
        )

    return translate


def _crop_like(x: Any, like: Any) -> Any:
    """What torch's exporter calls for each `bitlens::crop_like`: the size is read when the model runs."""
    zeros = _STANDARD.Constant(value=numpy_helper.from_array(np.zeros(2, np.int64)))
    axes = _STANDARD.Constant(value=numpy_helper.from_array(np.array([2, 3], np.int64)))
    size: Any = _STANDARD.Shape(like, start=2, end=4)
    return _STANDARD.Slice(x, zeros, size, axes)


def _tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute what torch's exporter leaves as Shape, Expand and CastLike around constants; biases that are 0 go.

    Folding touches constants alone: batch norm and Quant stay.
    """
    folded = onnxscript.ir.serde.deserialize_model(model)
    shapes = _hide_looked_up_shapes(folded)
    onnxscript.optimizer.fold_constants(folded)
    for value, shape in shapes:
        value.shape = shape
    onnxscript.optimizer.remove_unused_nodes(folded)
    tidy: onnx.ModelProto = onnxscript.ir.serde.serialize_model(folded)
    arrays = {item.name: numpy_helper.to_array(item) for item in tidy.graph.initializer}
    for node in tidy.graph.node:
        if (
            node.op_type in ("Conv", "Gemm")
            and len(node.input) == 3
            and node.input[2] in arrays
            and not arrays[node.input[2]].any()
        ):
            del node.input[2]
    _make_initializers(tidy.graph)
    _name_by_layers(tidy.graph)
    used = {name for node in tidy.graph.node for name in node.input}
    kept = [item for item in tidy.graph.initializer if item.name in used]
    del tidy.graph.initializer[:]
    tidy.graph.initializer.extend(kept)
    return tidy


def _hide_looked_up_shapes(model: Any) -> list[tuple[Any, Any]]:
    """Forget the example's size where a crop looks it up, so that it is not folded in; returns what was forgotten."""
    cuts = [node for node in model.graph if node.op_type == "Slice"]
    sizes = {node.inputs[2].producer() for node in cuts}
    found = [node.inputs[0] for node in model.graph if node.op_type == "Shape" and node in sizes]
    shapes = [(value, value.shape) for value in dict.fromkeys(found)]
    for value, _ in shapes:
        value.shape = None
    return shapes


def _make_initializers(graph: onnx.GraphProto) -> None:
    """Constant nodes as initializers, which is where readers of QONNX look for scales and bit widths."""
    kept = []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = onnx.TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _name_by_layers(graph: onnx.GraphProto) -> None:
    """Name every node by the module it came from, so that messages speak of the user's layers."""
    taken: set[str] = set()
    for node in graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
        modules = [scope for scope in ast.literal_eval(scopes)[:-1] if scope]
        wish = modules[-1] if modules else node.name
        if node.op_type not in ("Conv", "Gemm", "BatchNormalization") and modules:
            wish = f"{wish}.{node.op_type.lower()}"
        name, count = wish, 2
        while name in taken:
            name, count = f"{wish}.{count}", count + 1
        taken.add(name)
        node.name = name
        del node.metadata_props[:]


def _free_batch(model: onnx.ModelProto, batch: int) -> None:
    """Let the batch be any: of inputs and outputs, and of reshapes, which the exporter writes for the example's batch."""
    shapes = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in shapes:
            continue
        sizes = numpy_helper.to_array(shapes[node.input[1]]).copy()
        if len(sizes) and sizes[0] == batch and 0 not in sizes:
            sizes[0] = 0  # the input's own batch
            shapes[node.input[1]].CopyFrom(numpy_helper.from_array(sizes, node.input[1]))
            for attribute in [item for item in node.attribute if item.name == "allowzero"]:
                node.attribute.remove(attribute)
    del model.graph.value_info[:]  # shapes of the example's batch; readers infer them anew
    for info in (*model.graph.input, *model.graph.output):
        axis = info.type.tensor_type.shape.dim[0]
        axis.ClearField("dim_value")
        axis.dim_param = "N"


def _free_size(model: onnx.ModelProto) -> None:
    """Let height and width be any, where nothing in the graph was written for the example's.

    Raises:
        ExportError: an operator holds the example's size.
    """
    constants = {item.name for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in _SIZED or (node.op_type == "Slice" and node.input[2] in constants):
            raise ExportError(
                f"{node.name}: operators of a net of any size must not hold the example's, as {node.op_type} does; "
                "export with a fixed size"
            )
    for info in (*model.graph.input, *model.graph.output):
        for axis, name in zip(info.type.tensor_type.shape.dim[2:], ("H", "W"), strict=False):
            axis.ClearField("dim_value")
            axis.dim_param = name if info in model.graph.input else f"{name}_out"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No chatter of the exporter: its prints, warnings and log lines."""
    silent, disabled = io.StringIO(), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
