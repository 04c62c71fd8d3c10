# SPDX-License-Identifier: Apache-2.0
import json

import bitlens
from bitlens.graph.islands import IslandProgram
from bitlens.results.inspect_islands import inspect_islands, render_islands
from island_models import ISLANDS, Nets


def _program(name: str) -> IslandProgram:
    program = bitlens.compile(ISLANDS[name][0](), float_islands=True)
    assert isinstance(program, IslandProgram)
    return program


def test_islands_and_integer_layers_are_described() -> None:
    program = _program("float ends")
    report = inspect_islands(program)
    assert report["islands"] == [
        {
            "region": 0,
            "layers": ["first", "relu", "quant"],
            "operators": {"Conv": 1, "Relu": 1, "Quant": 1},
            "macs": 4 * 27 * 36,
            "share": 4 * 27 * 36 / (4 * 27 * 36 + 144 * 36 + 20),
            "reasons": {"first": "weights must be quantized, not float (c0)"},
        },
        {
            "region": 2,
            "layers": ["mean", "flat", "last"],
            "operators": {"GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1},
            "macs": 20,
            "share": 20 / (4 * 27 * 36 + 144 * 36 + 20),
            "reasons": {"last": "weights must be quantized, not float (c12)"},
        },
    ]
    assert [(layer["name"], layer["region"]) for layer in report["layers"]] == [("middle", 1), ("middle_quant", 1)]
    assert report["layers"][0]["kernel"]
    assert report["macs"] == 144 * 36
    assert report["bytes"] == len(program.to_bytes())
    assert json.loads(json.dumps(report)) == report


def test_sizes_stay_open_until_given() -> None:
    program = _program("any size")
    report = inspect_islands(program)
    assert [island["macs"] for island in report["islands"]] == [None, None]
    assert report["macs"] is None
    assert "region 0           first, quant  Conv, Quant  ?    ?" in render_islands(report).splitlines()
    report = inspect_islands(program, (16, 12))
    assert [island["macs"] for island in report["islands"]] == [108 * 8 * 6, 108 * 4 * 3]
    assert report["macs"] == 144 * 4 * 3
    assert report["layers"][0]["input"] == [8, 6, 4]


def test_products_of_every_kind_are_counted() -> None:
    b = Nets()
    y = b.layer(b.image(), (4, 3, 3, 3), "one")  # (4, 6, 6)
    y = b.op("ConvTranspose", y, b.constant(b.rng.normal(size=(4, 5, 2, 2))), strides=[2, 2], name="up")
    y = b.op("MatMul", b.op("Flatten", y, name="flat"), b.constant(b.rng.normal(size=(720, 7))), name="rows")
    program = bitlens.compile(b.model(y), float_islands=True)
    assert isinstance(program, IslandProgram)
    (island,) = inspect_islands(program)["islands"]
    assert island["macs"] == 4 * 5 * 4 * 36 + 720 * 7


def test_text_names_layers_reasons_and_shares() -> None:
    lines = render_islands(inspect_islands(_program("squeeze and excite"))).splitlines()
    assert "float on the host  layers                         operators                 MAC  share" in lines
    assert "region 1           up.bias, sigmoid, gate, quant  Add, Sigmoid, Mul, Quant  0    0.0 %" in lines
    assert "gate: operands must be integers, not real values" in lines
    assert "per image: 5,056 MAC in integers, 0 in float on the host" in lines
