# SPDX-License-Identifier: Apache-2.0
"""The same net in other runtimes, as peers: float32 in ONNX Runtime and OpenVINO, int8 by ONNX Runtime's static quantization.

They cannot run QONNX. The float form drops the activation quantizers and keeps the weights' values; the int8 form
is that net after ONNX Runtime's quantizer (uint8 activations, int8 weights per channel, calibrated on the given images).
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from bitlens.qonnx.read import load

__all__ = ["PEERS", "PeerError", "float_form", "onnxruntime_peers", "openvino_peers"]

Bytes = npt.NDArray[np.uint8]
Runs = dict[str, Callable[[Bytes], Any]]

_QUANT_OPS = ("Quant", "IntQuant", "BipolarQuant")


class PeerError(ValueError):
    """A model that a peer cannot be given."""


def float_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in plain ONNX: every quantizer node replaced by what it reads."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    graph = plain.graph
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type in _QUANT_OPS}

    def resolve(name: str) -> str:
        while name in source:
            name = source[name]
        return name

    nodes = [node for node in graph.node if node.op_type not in _QUANT_OPS]
    for node in nodes:
        node.input[:] = [resolve(name) for name in node.input]
    for output in graph.output:
        if output.name in source:
            raise PeerError(f"{output.name}: a peer's output must not be a quantizer's")
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    plain_domains = [item for item in plain.opset_import if item.domain in ("", "ai.onnx")]
    del plain.opset_import[:]
    plain.opset_import.extend(plain_domains)
    del plain.functions[:]
    return plain


def onnxruntime_peers(model: str, images: Bytes, threads: int) -> Runs:
    """Open the float32 and int8 peers of a QONNX file in ONNX Runtime.

    Args:
        model: path of the file the program was compiled from.
        images: uint8 (N, H, W, C), for calibration.
        threads: threads of each.

    Returns:
        By name, a function from uint8 images to the list of the outputs. The conversion to float is not timed: it is done
        once per batch outside, and cached by identity.

    Raises:
        CompileError: the file is no ONNX model.
        PeerError: a peer cannot be given this model.
    """
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain = _plain(model)
    name = plain.graph.input[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Feeds the calibration images one by one."""

        def __init__(self) -> None:
            self.rest: Iterator[npt.NDArray[np.float32]] = iter(_real(images)[:, None])

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            """Return the next feed, or None at the end."""
            image = next(self.rest, None)
            return None if image is None else {name: image}

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / file) for file in ("float.onnx", "fused.onnx", "int8.onnx")]
        onnx.save(plain, paths[0])
        quant_pre_process(paths[0], paths[1], skip_symbolic_shape=True)
        quantize_static(
            paths[1],
            paths[2],
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        sessions = [
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            for path in (paths[0], paths[2])
        ]
    version = onnxruntime.__version__
    return {
        f"onnxruntime {version} {kind}": _runner(lambda values, session=session: session.run(None, {name: values}))  # type: ignore[misc]
        for kind, session in zip(("float32", "int8"), sessions, strict=True)
    }


def openvino_peers(model: str, images: Bytes, threads: int) -> Runs:
    """Open the float32 peer of a QONNX file in OpenVINO, in float32 on processors that have shorter floats, too.

    Args:
        model, threads: as for `onnxruntime_peers`.
        images: uint8 (N, H, W, C); not needed.

    Returns:
        As `onnxruntime_peers`. A form is compiled for every shape of images that it meets.

    Raises:
        CompileError, PeerError: as `onnxruntime_peers`.
    """
    import openvino

    core, plain = openvino.Core(), _plain(model)
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    forms: dict[tuple[int, ...], Any] = {}

    def infer(values: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        if values.shape not in forms:
            read = core.read_model(io.BytesIO(plain.SerializeToString()))
            read.reshape(list(values.shape))
            forms[values.shape] = core.compile_model(read, "CPU", settings)
        found = forms[values.shape](values)
        return [found[port] for port in forms[values.shape].outputs]

    return {f"openvino {openvino.__version__.partition('-')[0]} float32": _runner(infer)}


# By the name that `bitlens bench --against` knows them by.
PEERS: dict[str, Callable[[str, Bytes, int], Runs]] = {"onnxruntime": onnxruntime_peers, "openvino": openvino_peers}


def _plain(model: str) -> onnx.ModelProto:
    """The float form of a file, for batches of any size."""
    plain = float_form(load(model)[0])
    if not plain.graph.input:
        raise PeerError(f"{model}: model must have an input, not none")
    batch = plain.graph.input[0].type.tensor_type.shape.dim[0]
    batch.ClearField("dim_value")
    batch.dim_param = "N"
    return plain


def _real(images: Bytes) -> npt.NDArray[np.float32]:
    """uint8 (N, H, W, C) -> float32 (N, C, H, W) in [0, 1]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


def _runner(infer: Callable[[npt.NDArray[np.float32]], Any]) -> Callable[[Bytes], Any]:
    last: list[Any] = [None, None]  # images and what they are converted to: timed runs repeat the same

    def run(images: Bytes) -> Any:
        if last[0] is not images:
            last[:] = images, _real(images)
        return infer(last[1])

    return run
