# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.graph.graph import GraphError
from bitlens.results.inspect import inspect_program, parse_size, render
from programs import Builder, chain_program


def test_a_layer_is_described() -> None:
    report = inspect_program(chain_program(0))
    layer = next(layer for layer in report["layers"] if layer["name"] == "conv2")
    assert layer["input"] == [9, 7, 5]
    assert layer["output"] == [9, 7, 5]
    assert layer["weight_grid"] == "bipolar"
    assert layer["weights"] == 225
    assert layer["bytes"] == 29
    assert layer["macs"] == 225 * 63
    assert layer["bit_operations"] == 225 * 63 * 1 * 2
    assert layer["kernel"]
    assert report["bytes"] == len(chain_program(0).to_bytes())
    assert report["macs"] == sum(layer["macs"] for layer in report["layers"])


def test_layers_that_share_weights_count_once() -> None:
    b, rng = Builder(), np.random.default_rng(0)
    x = b.input((9, 9, 4), Grid.unsigned(1))
    once = inspect_program(b.program(b.conv(x, rng, 4, Grid.odd(1), (3, 3))))
    weights = {**b.graph.nodes[0].attrs}
    both = b.op("add", b.graph.nodes[0].output, b.op("conv", x, **weights))
    twice = inspect_program(b.program(both))
    assert [layer["shares"] for layer in twice["layers"]] == ["", "conv0", ""]
    assert [layer["bytes"] for layer in twice["layers"]] == [18, 0, 0]
    assert twice["float_bytes"] == once["float_bytes"] == 4 * 4 * 4 * 9
    assert twice["macs"] == 2 * once["macs"]
    assert " as conv0 " in render(twice)


def test_symbolic_sizes_stay_open_until_given() -> None:
    b = Builder()
    x = b.input((None, None, 3), Grid.unsigned(8))
    program = b.program(b.conv(x, np.random.default_rng(0), 4, Grid.odd(1), (3, 3)))
    assert inspect_program(program)["macs"] is None
    assert "?x?x4" in render(inspect_program(program))
    assert inspect_program(program, (10, 12))["macs"] == 8 * 10 * 4 * 27


def test_text_shows_bits_and_totals() -> None:
    text = render(inspect_program(chain_program(0)))
    assert "bipolar, unsigned 2 -> " in text
    assert re.search(r"per image: [0-9,]+ MAC, [0-9,]+ bit operations", text)


def test_sizes_are_read() -> None:
    assert parse_size(None) is None
    assert parse_size("480x640") == (480, 640)
    for text in ("480", "0x5", "axb", "²x8"):
        with pytest.raises(GraphError, match=f"^size: must be HEIGHTxWIDTH such as 480x640, not {text}$"):
            parse_size(text)


def test_text_shows_metadata_but_not_the_labels() -> None:
    program = chain_program(0)
    program.graph.metadata.update(classes="cat\ndog", requantized="a: off by 1\nb: off by 2", name="net")
    lines = render(inspect_program(program)).splitlines()
    assert {"requantized: a: off by 1", "requantized: b: off by 2", "name: net"} <= {*lines}
    assert "classes: cat" not in lines
