# SPDX-License-Identifier: Apache-2.0
"""What the reader makes of a file, what it refuses, and that broken files are refused in one line."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitlens.core.grid import Grid
from bitlens.graph.spec import CompileError
from bitlens.qonnx.dialect import DOMAIN
from bitlens.qonnx.read import read
from qonnx_models import ModelBuilder


def _small() -> ModelBuilder:
    b = ModelBuilder((1, 2, 4, 4))
    b.conv(b.image(), np.ones((3, 2, 1, 1)), name="conv")
    return b


def _model(change: Callable[[onnx.ModelProto], object] | None = None) -> onnx.ModelProto:
    b = _small()
    model = b.model("conv_2")
    if change is not None:
        change(model)
    return model


def test_a_graph_has_every_attribute_constants_as_arrays_and_a_free_batch() -> None:
    model = _model()
    graph = read(model)
    assert [(node.op, node.name) for node in graph] == [
        ("Quant", "image_quant"),
        ("Quant", "weights1"),
        ("Conv", "conv"),
    ]
    assert graph.nodes[2].attrs == {
        "auto_pad": "NOTSET", "dilations": None, "pads": None, "strides": None, "group": 1, "kernel_shape": None,
    }  # fmt: skip
    assert graph.value("image").shape == (None, 2, 4, 4)
    assert graph.value("image").grid is None
    assert graph.outputs == ["conv_2"]
    np.testing.assert_array_equal(graph.constants["c3"], np.full((3, 2, 1, 1), 0.25, np.float32))
    assert graph.metadata["name"] == "made"
    assert graph.metadata["source"] == hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def test_a_file_is_known_by_its_bytes_and_name(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    onnx.save(_model(), path)
    graph = read(path)
    assert graph.metadata == {"name": "small", "source": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert read(str(path)).metadata == graph.metadata


def test_weights_in_external_files_are_found(tmp_path: Path) -> None:
    b = ModelBuilder((1, 2, 4, 4))
    b.conv(b.image(), np.ones((40, 2, 4, 4)))
    onnx.save(b.model("conv_2"), tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    assert read(tmp_path / "m.onnx").constants["c3"].shape == (40, 2, 4, 4)
    (tmp_path / "m.data").unlink()
    with pytest.raises(CompileError, match=r"m\.(onnx|data)"):
        read(tmp_path / "m.onnx")


def _external(folder: Path, **place: str) -> Path:
    """A model whose weights (108 bytes) lie in another file, and files it may not read."""
    b = ModelBuilder()
    weights = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3)
    model = b.model(b.op("Conv", b.image(), b.quant(b.constant(weights), 1, 8, 1)))
    (tensor,) = (item for item in model.graph.initializer if len(item.dims) == 4)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        tensor.external_data.add(key=key, value=value)
    inside = folder / "inside"
    inside.mkdir()
    for name in ("weights.bin", "inside/weights.bin"):
        (folder / name).write_bytes(weights.tobytes())
    (inside / "short.bin").write_bytes(weights.tobytes()[:50])
    (inside / "link.bin").symlink_to(folder / "weights.bin")
    path = inside / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("place", [{}, {"offset": "0"}, {"offset": "0", "length": "108"}])
def test_external_data_may_be_described_in_part(tmp_path: Path, place: dict[str, str]) -> None:
    graph = read(_external(tmp_path, location="weights.bin", **place))
    assert any(np.array_equal(array.reshape(-1), np.arange(27)) for array in graph.constants.values())


@pytest.mark.parametrize(
    "place",
    [
        {"location": "../weights.bin"},
        {"location": "/weights.bin"},
        {"location": "link.bin"},
        {"location": "missing.bin"},
        {"location": "short.bin"},
        {"location": "weights.bin", "offset": "8"},
        {"location": "weights.bin", "offset": "-4"},
        {"location": "weights.bin", "length": "1099511627776"},
        {"location": "weights.bin", "length": "many"},
        {"location": "."},
        {"location": ""},
        {},
    ],
)
def test_external_data_that_is_elsewhere_or_broken_is_refused(tmp_path: Path, place: dict[str, str]) -> None:
    path = _external(tmp_path, **place)
    with pytest.raises(CompileError) as caught:
        read(path)
    start = f"{path}: file must be an ONNX model, not broken or foreign: "
    whole = "c3: constant must be whole, not a broken FLOAT tensor; repair the file"
    assert str(caught.value).startswith(start) or str(caught.value) == whole
    assert str(caught.value).isprintable()


def test_external_data_of_a_model_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _external(tmp_path, location="weights.bin")
    monkeypatch.chdir(path.parent)
    sentence = "c3: constant must be in the model, not in an external file; give the model's path"
    with pytest.raises(CompileError, match=f"^{sentence}$"):
        read(onnx.load(path, load_external_data=False))


@pytest.mark.parametrize("domain", [DOMAIN, "onnx.brevitas", "finn.custom_op.general", "finn", ""])
@pytest.mark.parametrize("op", ["Quant", "IntQuant"])
def test_old_domains_and_synonyms_are_one(domain: str, op: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        for node in model.graph.node[:2]:
            node.domain, node.op_type = domain, op

    assert [node.op for node in read(_model(change))] == ["Quant", "Quant", "Conv"]


@pytest.mark.parametrize(("kind", "grid"), [(TensorProto.UINT8, Grid.unsigned(8)), (TensorProto.INT8, Grid.signed(8))])
def test_integer_inputs_bring_their_grid(kind: int, grid: Grid) -> None:
    b = ModelBuilder(("N", 2), kind)
    b.op("Cast", "image", to=TensorProto.FLOAT)
    assert read(b.model("cast_0")).value("image").grid == grid


def test_attributes_of_old_operators_become_inputs() -> None:
    b = ModelBuilder(("N", 2, 3, 3))
    x = b.op("Clip", "image", min=-1.0, max=2.0)
    x = b.op("ReduceMean", x, axes=[2, 3])
    x = b.op("Clip", x, max=0.5)
    graph = read(b.model(x, opset=9))
    clip, mean, upper = graph.nodes
    assert [float(graph.constants[name]) for name in clip.inputs[1:]] == [-1.0, 2.0]
    assert graph.constants[mean.inputs[1]].tolist() == [2, 3]
    assert graph.constants[mean.inputs[1]].dtype == np.int64
    assert upper.inputs[1] == ""
    assert graph.constants[upper.inputs[2]] == np.float32(0.5)


@pytest.mark.parametrize(
    ("attrs", "wanted"),
    [
        ({"value": numpy_helper.from_array(np.array([1, 2], np.int64))}, np.array([1, 2], np.int64)),
        ({"value_float": 0.5}, np.array(0.5, np.float32)),
        ({"value_floats": [0.5, 1.5]}, np.array([0.5, 1.5], np.float32)),
        ({"value_int": 3}, np.array(3, np.int64)),
        ({"value_ints": [3, 4]}, np.array([3, 4], np.int64)),
    ],
)
def test_constant_nodes_become_constants(attrs: dict, wanted: np.ndarray) -> None:
    b = ModelBuilder(("N", 2))
    b.op("Add", "image", b.op("Constant", **attrs))
    graph = read(b.model("add_1"))
    assert [node.op for node in graph] == ["Add"]
    found = graph.constants[graph.nodes[0].inputs[1]]
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_nodes_are_sorted_and_named() -> None:
    b = ModelBuilder(("N", 2))
    b.op("Neg", b.op("Relu", b.op("Abs", "image")))
    model = b.model("neg_2")
    nodes = [*model.graph.node]
    for node in nodes:
        node.name = "same"
    del model.graph.node[:]
    model.graph.node.extend(nodes[::-1])
    graph = read(model)
    assert [node.op for node in graph] == ["Abs", "Relu", "Neg"]
    assert sorted(node.name for node in graph) == ["same", "same.2", "same.3"]


def test_two_inputs_of_one_name_are_refused() -> None:
    b = ModelBuilder()
    model = b.model(b.image())
    model.graph.input.append(model.graph.input[0])
    with pytest.raises(CompileError, match=r"^made: input names must be unique, not image, image$"):
        read(model)


def test_results_that_nobody_reads_go() -> None:
    b = ModelBuilder()
    x = b.op("MaxPool", b.image(), kernel_shape=[2, 2], outputs=2)
    assert [node.outputs for node in read(b.model(x)).nodes if node.op == "MaxPool"] == [[x]]
    indices = read(b.model(f"{x}.1"))
    assert [node.outputs for node in indices.nodes if node.op == "MaxPool"] == [[x, f"{x}.1"]]  # refused by name later


def test_local_functions_are_inlined() -> None:
    body = [helper.make_node("Abs", ["x"], ["t"]), helper.make_node("Relu", ["t"], ["y"])]
    function = helper.make_function("mine", "Both", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    b = ModelBuilder(("N", 2))
    b.op("Both", "image", domain="mine")
    model = b.model("both_0")
    model.opset_import.append(helper.make_opsetid("mine", 1))
    model.functions.append(function)
    assert [node.op for node in read(model)] == ["Abs", "Relu"]


def test_foreign_operators_stay_visible() -> None:
    b = ModelBuilder(("N", 2))
    b.op("Magic", "image", domain="com.example")
    assert read(b.model("magic_0")).nodes[0].op == "com.example::Magic"


def _input(kind: int, shape: list[int | str | None] | None) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", kind, shape))


def _opset(version: int) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.opset_import[0].CopyFrom(helper.make_opsetid("", version))


def _initializer(change: Callable[[onnx.TensorProto], object]) -> Callable[[onnx.ModelProto], None]:
    return lambda model: change(model.graph.initializer[0]) and None


def _data_type(number: int) -> Callable[[onnx.TensorProto], None]:
    return lambda tensor: setattr(tensor, "data_type", number)


def _node(**changes: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for name, value in changes.items():
            setattr(model.graph.node[0], name, value)

    return change


def _append_constant(**attrs: object) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.node.append(helper.make_node("Constant", [], ["k"], "constant", **attrs))


MOST = onnx.defs.onnx_opset_version()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            _opset(8),
            f"made: ONNX operator set must be 9 to {MOST}, not 8; convert the file with onnx.version_converter",
        ),
        (
            _opset(MOST + 1),
            f"made: ONNX operator set must be 9 to {MOST}, not {MOST + 1}; convert the file with onnx.version_converter",
        ),
        (
            _input(TensorProto.DOUBLE, ["N", 2, 4, 4]),
            "image: input type must be FLOAT, UINT8, INT8, INT32 or INT64, not DOUBLE; export in float32",
        ),
        (
            _input(99, ["N", 2, 4, 4]),
            "image: input type must be FLOAT, UINT8, INT8, INT32 or INT64, not type 99; export in float32",
        ),
        (
            _input(TensorProto.FLOAT, None),
            "image: input must be a tensor with a stated shape; export the model with shapes",
        ),
        (
            _input(TensorProto.FLOAT, ["N", 2, 4, 4, 4]),
            "image: input shape must be (N, C, H, W), (N, C, L) or (N, C) with a fixed C, not (N, 2, 4, 4, 4); "
            "export the model so",
        ),
        (
            _input(TensorProto.FLOAT, ["N", "c", None, 4]),
            "image: input shape must be (N, C, H, W), (N, C, L) or (N, C) with a fixed C, not (N, c, ?, 4); export the model so",
        ),
        (
            lambda model: model.graph.ClearField("output"),
            "made: model must have inputs and outputs, not 1 and 0",
        ),
        (
            lambda model: model.graph.output.append(model.graph.output[0]),
            "made: output names must be unique, not conv_2, conv_2",
        ),
        (
            lambda model: model.graph.sparse_initializer.add(),
            "made: initializers must be dense, not sparse; export them dense",
        ),
        (
            _initializer(lambda tensor: setattr(tensor, "raw_data", b"123")),
            "c0: constant must be whole, not a broken FLOAT tensor; repair the file",
        ),
        (
            _initializer(_data_type(0)),
            "c0: constant must be whole, not a broken UNDEFINED tensor; repair the file",
        ),
        (
            _initializer(_data_type(77)),
            "c0: constant must be whole, not a broken type 77 tensor; repair the file",
        ),
        (
            _initializer(lambda tensor: tensor.CopyFrom(numpy_helper.from_array(np.zeros(2, np.float16), "c0"))),
            "c0: constant must be FLOAT or an integer type, not FLOAT16; export in float32",
        ),
        (
            lambda model: model.graph.node[0].ClearField("output"),
            "image_quant: Quant must have an output, not none; repair the file",
        ),
        (
            _append_constant(value_string="text"),
            "constant: Constant must have one of value, value_float, value_floats, value_int, value_ints, not value_string",
        ),
        (
            _append_constant(value_int="text"),
            "constant: attribute value_int must be numbers, not 'text'; repair the file",
        ),
        (
            lambda model: model.graph.node.append(
                helper.make_node("If", ["c0"], ["k"], "if", then_branch=helper.make_graph([], "a", [], []))
            ),
            "if: attribute then_branch must be numbers, a text or a tensor; repair the file",
        ),
        (_node(name="a\nb"), r"made: every name must be printable text, not 'a\nb'; repair the file"),
        (_node(op_type="\x1b[2J"), r"made: every name must be printable text, not '\x1b[2J'; repair the file"),
    ],
)
def test_refusals(change: Callable[[onnx.ModelProto], object], sentence: str) -> None:
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        read(_model(change))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.onnx"
    sentence = f"{path}: No such file or directory"
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"text, not ONNX", b"\x08\x09"])
def test_foreign_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.onnx"
    path.write_bytes(content)
    with pytest.raises(CompileError, match=f"^({re.escape(str(path))}|foreign): [^\n]+$"):
        read(path)


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("UINT8", Grid.unsigned(8)),
        ("INT4", Grid.signed(4)),
        ("INT٤", None),  # digits of other scripts are none
        ("BIPOLAR", Grid.odd(1)),
        ("BINARY", Grid.unsigned(1)),
        ("TERNARY", Grid.ternary()),
        ("FLOAT32", None),
        ("INT32", None),
        ("FIXED<8,3>", None),
    ],
)
def test_a_declared_type_of_an_input_is_its_grid(name: str, grid: Grid | None) -> None:
    b = ModelBuilder()
    model = b.model(b.op("Relu", "image"))
    note = model.graph.quantization_annotation.add(tensor_name="image")
    note.quant_parameter_tensor_names.add(key="finn_datatype", value=name)
    assert read(model).value("image").grid == grid
