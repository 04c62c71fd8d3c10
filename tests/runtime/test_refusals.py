# SPDX-License-Identifier: Apache-2.0
"""The engine's reader and Python's accept and refuse the same files, whatever the checksum says."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.graph.encode import seal
from bitlens.graph.file import FormatError, Program
from bitlens.graph.ops import window_attrs
from bitlens.runtime import Session, SessionError

from programs import Builder, chain_program, random_inputs, random_program
from wide_programs import wide_program

# What the engine alone refuses: it plans for one size and within its memory.
_PLANNING = ("given as a positive multiple", "memory must be", "must see a pixel")

_NUMBERS = [0, 1, 2, 127, 255, 65535, 1 << 20, (1 << 31) - 1, (1 << 32) - 1]


@given(st.integers(0, 60), st.data())
@settings(deadline=None, max_examples=200)
def test_both_readers_agree(seed: int, draws: st.DataObject) -> None:
    data = bytearray((wide_program(seed) if seed % 2 else random_program(seed)).to_bytes())
    for _ in range(draws.draw(st.integers(1, 3))):
        at = draws.draw(st.integers(24, min(len(data), 600) - 5))
        if draws.draw(st.booleans()):
            data[at] ^= 1 << draws.draw(st.integers(0, 7))
        else:
            data[at : at + 4] = struct.pack("<I", draws.draw(st.sampled_from(_NUMBERS)))
    changed = seal(bytes(data))
    try:
        program = Program.from_bytes(changed)
    except FormatError:
        with pytest.raises(SessionError):
            Session(changed)
        return
    try:
        session = Session(changed)
    except SessionError as error:
        assert any(words in str(error) for words in _PLANNING), error
        return
    shapes = [layer.out_shape for layer in session.layers] + [tensor.shape for tensor in session.inputs.values()]
    if sum(np.prod(shape) for shape in shapes) < 1 << 16:
        x = random_inputs(program, 1, 0)
        out = session.run(x)
        assert all(np.array_equal(out[name], want) for name, want in program.run(x).items())


@pytest.mark.parametrize("height", [2147483748, (1 << 32) - 1])  # negative as 32 signed bits
def test_a_size_past_31_bits_is_refused(height: int) -> None:
    b = Builder()
    data = b.program(b.op("max_pool", b.input((77, 1, 1), Grid.unsigned(8)), **window_attrs((1, 1)))).to_bytes()
    changed = seal(data.replace(struct.pack("<I", 77), struct.pack("<I", height), 1))
    sentence = f"image: height and width must be at most 2147483647, not {height}$"
    with pytest.raises(SessionError, match=f"^{sentence}"):
        Session(changed)
    with pytest.raises(FormatError, match=f"^file: {sentence}"):
        Program.from_bytes(changed)


def test_a_size_that_grows_past_31_bits_is_refused() -> None:
    b = Builder()
    x = b.input((None, 1, 1), Grid.unsigned(8))
    for _ in range(3):
        x = b.op("upsample", x, factor=(256, 1), repeat=1, pads=(0, 0, 0, 0))
    sentence = r"^upsample2: height and width must be at most 2147483647, not 2147483648$"
    with pytest.raises(SessionError, match=sentence):
        Session(b.program(x), size=(128, 1))


def test_memory_is_bounded() -> None:
    b = Builder()
    x = b.input((60000, 60000, 4), Grid.unsigned(8))
    program = b.program(b.op("add", x, x))
    sentence = r"^program: memory must be at most 4294967296 bytes, not 3600000000 pixels of 4 bytes$"
    with pytest.raises(SessionError, match=sentence):
        Session(program)


def test_a_window_of_padding_alone_is_refused() -> None:
    b = Builder()
    x = b.input((None, 4, 2), Grid.unsigned(8))  # of fixed size, the graph itself refuses it
    window = {"kernel": (2, 1), "stride": (1, 1), "pads": (1, 0, 2, 0), "dilation": (3, 1)}
    with pytest.raises(SessionError, match=r"^max_pool0: every window must see a pixel, not padding alone$"):
        Session(b.program(b.op("max_pool", x, **window)), size=(1, 4))


def test_an_output_named_as_another_tensor_is_refused() -> None:
    data = chain_program(0).to_bytes()
    output = struct.pack("<H", 5) + b"conv9" + data[-6:]  # number of the tensor, no states
    assert data.endswith(output)
    changed = seal(data[: -len(output)] + output.replace(b"conv9", b"conv2"))
    sentence = r"conv2: output must not have the name of another tensor$"
    with pytest.raises(SessionError, match=f"^{sentence}"):
        Session(changed)
    with pytest.raises(FormatError, match=f"^file: {sentence}"):
        Program.from_bytes(changed)


def test_two_names_for_one_output_are_refused() -> None:
    program = chain_program(0)
    data, name = program.to_bytes(), program.graph.outputs[0].encode()
    entry, states = struct.pack("<H", len(name)) + name + data[-6:-2], data[-2:]
    assert data.endswith(struct.pack("<H", 1) + entry + states)
    twice = data[: -len(entry) - 4] + struct.pack("<H", 2) + entry + struct.pack("<H", 1) + b"x" + data[-6:]
    with pytest.raises(SessionError, match=r"^program: output names must be unique, not x$"):
        Session(seal(twice))
