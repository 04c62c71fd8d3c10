# SPDX-License-Identifier: Apache-2.0
"""The forms in which a Brevitas net becomes a file: its own exporters, and qonnx's transformations behind them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from brevitas.export import export_onnx_qcdq, export_qonnx
from finn import to_finn
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.qcdq_to_qonnx import QCDQToQuant
from qonnx.transformation.qonnx_to_qcdq import QuantToQCDQ
from qonnx.util.cleanup import cleanup_model
from torch import nn
from zoo import Model

__all__ = ["FORMS", "LARGE_FORMS"]

Export = Callable[[Model, nn.Module, torch.Tensor, Path], None]


def _brevitas(exporter: Callable[..., object], dynamo: bool) -> Export:
    def export(model: Model, net: nn.Module, example: torch.Tensor, path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {"verbose": False, "external_data": False} if dynamo else {}
            exporter(net, args=example, export_path=str(path), dynamo=dynamo, **options)
        if model.bytes_in:
            file = onnx.load(path)
            wrapped = ModelWrapper(file)
            wrapped.set_tensor_datatype(file.graph.input[0].name, DataType["UINT8"])
            wrapped.save(str(path))

    return export


def _transformed(source: str, change: Callable[[ModelWrapper], ModelWrapper]) -> Export:
    def export(model: Model, net: nn.Module, example: torch.Tensor, path: Path) -> None:
        before = path.with_name(f"{model.name}.{source}.onnx")
        change(ModelWrapper(str(before))).save(str(path))

    return export


def _clean(model: ModelWrapper) -> ModelWrapper:
    return cleanup_model(model)


FORMS: dict[str, Export] = {
    "qonnx": _brevitas(export_qonnx, dynamo=False),
    "qonnx-dynamo": _brevitas(export_qonnx, dynamo=True),
    "qcdq": _brevitas(export_onnx_qcdq, dynamo=False),
    "qcdq-dynamo": _brevitas(export_onnx_qcdq, dynamo=True),
    "cleaned": _transformed("qonnx", _clean),
    "channels-last": _transformed(
        "cleaned", lambda model: model.transform(ConvertToChannelsLastAndClean(make_input_channels_last=False))
    ),
    "qcdq-by-qonnx": _transformed("cleaned", lambda model: model.transform(QuantToQCDQ()).transform(InferShapes())),
    "qonnx-of-qcdq": _transformed("qcdq", lambda model: _clean(model).transform(QCDQToQuant())),
    "finn": _transformed("cleaned", to_finn),
}
LARGE_FORMS = ("qonnx", "qcdq", "cleaned")
