# SPDX-License-Identifier: Apache-2.0
"""The engine's reader and Python's accept and refuse the same files, whatever the checksum says."""

import math
import re
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.graph.encode import encode, seal
from bitlens.graph.file import FormatError, Program
from bitlens.graph.graph import Graph, State
from bitlens.graph.ops import window_attrs
from bitlens.runtime import Session, SessionError
from programs import Builder, chain_program, random_inputs, random_program, step_program
from wide_programs import wide_program

# What the engine alone refuses: it plans for one size and within its memory.
_PLANNING = ("given as a positive multiple", "given, a positive multiple", "memory must be", "must see a pixel")

_NUMBERS = [0, 1, 2, 127, 255, 65535, 1 << 20, (1 << 31) - 1, (1 << 32) - 1]


def mutated(data: bytes, draws: st.DataObject) -> bytes:
    """A file with some bytes changed, sealed again: in its first part, or in its last, where outputs and states are."""
    changed = bytearray(data)
    for _ in range(draws.draw(st.integers(1, 3))):
        first = st.integers(24, min(len(changed), 600) - 5)
        at = draws.draw(first | st.integers(max(24, len(changed) - 80), len(changed) - 4))
        if draws.draw(st.booleans()):
            changed[at] ^= 1 << draws.draw(st.integers(0, 7))
        else:
            changed[at : at + 4] = struct.pack("<I", draws.draw(st.sampled_from(_NUMBERS)))
    return seal(bytes(changed))


def assert_readers_agree(changed: bytes) -> None:
    """Both refuse the file, or both run it with one result."""
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
    if sum(math.prod(shape) for shape in shapes) < 1 << 16:  # exactly: int64 overflows
        x = random_inputs(program, 2, 0)
        out = session.run(x)
        assert all(np.array_equal(out[name], want) for name, want in program.run(x).items())
        assert_streams_agree(program, session, x)


def assert_streams_agree(program: Program, session: Session, x: dict[str, np.ndarray]) -> None:
    carried = {state.input for state in program.graph.states}
    if not carried:
        with pytest.raises(SessionError, match="^stream: program must have states"):
            session.stream()
        return
    stream, x = session.stream(), {name: array for name, array in x.items() if name not in carried}
    wanted, end = program.run_sequence(x)
    found, state = stream.run(x), stream.state
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], want) for name, want in wanted.items())
    assert state.keys() == end.keys()
    assert all(np.array_equal(state[name], want) for name, want in end.items())


@given(st.integers(0, 60), st.data())
@settings(deadline=None, max_examples=200)
def test_both_readers_agree(seed: int, draws: st.DataObject) -> None:
    assert_readers_agree(mutated((wide_program(seed) if seed % 2 else random_program(seed)).to_bytes(), draws))


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_both_readers_agree_on_states(draws: st.DataObject) -> None:
    assert_readers_agree(mutated(step_program().to_bytes(), draws))


def test_both_readers_agree_on_every_number_of_the_states() -> None:
    data = step_program().to_bytes()
    length = 2 + (8 + 4) + (8 + 24)  # of two states, one with 1 initial integer and one with 6
    for at in range(len(data) - length, len(data) - 1):
        for number in (0, 1, 2, 3, 7, 8, 255, 65535):
            assert_readers_agree(seal(data[:at] + struct.pack("<H", number) + data[at + 2 :]))


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


def _stateful(*inputs: tuple[int, int, int]) -> bytes:
    """The last input is a state that its next integers clip; its 1 initial integer ends the file."""
    b = Builder()
    names = [b.input(shape, Grid.unsigned(8), f"x{i}") for i, shape in enumerate(inputs)]
    y = b.op("max_pool", names[-1], **window_attrs((1, 1)))
    b.graph.states.append(State(names[-1], y, np.asarray(0)))
    return b.program(y).to_bytes()


def test_a_map_past_64_bits_has_no_initial_integers() -> None:
    data = _stateful((1, 1, 1), (77, 78, 16))
    for old, new in ((77, 1 << 30), (78, 1 << 30)):  # times 16 channels: 2^64
        data = data.replace(struct.pack("<I", old), struct.pack("<I", new), 1)
    changed = seal(data[:-8] + struct.pack("<I", 0))
    with pytest.raises(FormatError, match=r"^x1: a state must have 1 initial integer or 18446744073709551616, not 0$"):
        Program.from_bytes(changed)
    with pytest.raises(
        SessionError, match=r"^x1: a state must have 1 initial integer or one for each of its own, not 0$"
    ):
        Session(changed)


@pytest.mark.parametrize(
    ("states", "engine", "python"),
    [
        (
            [(2, 0, [3]), (2, 2, [3])],
            "program: every state must have an input and an output of its own",
            "file: program: every state must have an input and an output of its own, not b, b",
        ),
        (
            [(1, 0, [3]), (2, 0, [3])],
            "program: every state must have an input and an output of its own",
            "file: program: every state must have an input and an output of its own, not a_next, a_next",
        ),
        (
            [(3, 0, [3])],
            "file: a state must pair an input below 3 with an output below 3, not 3 and 0",
            "file: a state must pair an input below 3 with an output below 3, not 3 and 0",
        ),
        (
            [(1, 3, [3])],
            "file: a state must pair an input below 3 with an output below 3, not 1 and 3",
            "file: a state must pair an input below 3 with an output below 3, not 1 and 3",
        ),
        (
            [(1, 0, [3, 3])],
            "a: a state must have 1 initial integer or one for each of its own, not 2",
            "a: a state must have 1 initial integer or 6, not 2",
        ),
        (
            [(1, 0, [])],
            "a: a state must have 1 initial integer or one for each of its own, not 0",
            "a: a state must have 1 initial integer or 6, not 0",
        ),
        (
            [(1, 0, [8])],
            "a: every initial integer must be on its grid [0, 7] by 1, not 8",
            "file: a: every initial integer must be on its grid unsigned 3",
        ),
        (
            [(1, 1, [0])],
            "a: a state must keep one fixed shape",
            "file: a: a state must keep one fixed shape, not be (1, 1, 6) and then (1, 1, 5)",
        ),
    ],
)
def test_states_that_do_not_fit_are_refused(states: list[tuple[int, int, list[int]]], engine: str, python: str) -> None:
    program = step_program()
    program.graph.states.clear()
    data = program.to_bytes()[:-2] + struct.pack("<H", len(states))
    for place, output, initial in states:
        data += struct.pack(f"<HHI{len(initial)}i", place, output, len(initial), *initial)
    with pytest.raises(SessionError, match=rf"\A{re.escape(engine)}\Z"):
        Session(seal(data))
    with pytest.raises(FormatError, match=rf"\A{re.escape(python)}\Z"):
        Program.from_bytes(seal(data))


def _changed_step(change: Callable[[Graph], None]) -> bytes:
    """The file of a step that breaks a rule: encoded unchecked."""
    graph = step_program().graph.copy()
    change(graph)
    return encode(graph, {})


def _value(name: str, **changes: object) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        users = {user: tensor for tensor, user in graph.output_names.items()}
        tensor = users.get(name, name)
        graph.values[tensor] = graph.value(tensor).with_(**changes)

    return change


@pytest.mark.parametrize(
    ("change", "engine", "python"),
    [
        (
            _value("a", scale=np.float32(0.25)),
            "a: a state must keep its scale",
            "file: a: a state must keep its scale, not change it from 0.25 to 0.5",
        ),
        (
            _value("b_next", offset=np.float32(0.25)),
            "b: a state must keep its offset",
            "file: b: a state must keep its offset, not change it from 0 to 0.25",
        ),
        (
            _value("a_next", grid=Grid.unsigned(4)),
            "a: a state's next integers [0, 15] by 1 must be on its grid [0, 7] by 1",
            "file: a: a state's next integers unsigned 4 must be on its grid unsigned 3",
        ),
    ],
)
def test_states_of_another_kind_are_refused(change: Callable[[Graph], None], engine: str, python: str) -> None:
    data = _changed_step(change)
    with pytest.raises(SessionError, match=rf"\A{re.escape(engine)}\Z"):
        Session(data)
    with pytest.raises(FormatError, match=rf"\A{re.escape(python)}\Z"):
        Program.from_bytes(data)


def test_states_alone_are_refused() -> None:
    for error, open_file in ((SessionError, Session), (FormatError, Program.from_bytes)):
        with pytest.raises(error, match=r"program: must have an input that is no state$"):
            open_file(_unchecked())  # type: ignore[operator]


def _unchecked() -> bytes:
    b = Builder()
    y = b.op("max_pool", b.input((1, 1, 2), Grid.unsigned(8)), **window_attrs((1, 1)))
    b.graph.outputs.append(y)
    b.graph.states.append(State("image", y, np.asarray(0)))
    return encode(b.graph, {})


@pytest.mark.parametrize(
    ("rows", "columns", "hi", "engine"),
    [
        (0, 6, 4, "lookup0: rows and columns must be 1 to 1048576, not 0 and 6"),
        (5, 0, 4, "lookup0: rows and columns must be 1 to 1048576, not 5 and 0"),
        (5, (1 << 20) + 1, 4, "lookup0: rows and columns must be 1 to 1048576, not 5 and 1048577"),
        (5, 6, 5, "lookup0: operand must be a row's number, 0 to 4, not [0, 5]"),
    ],
)
def test_tables_that_do_not_fit_are_refused(rows: int, columns: int, hi: int, engine: str) -> None:
    data = step_program().to_bytes()
    changed = data.replace(struct.pack("<2I", 5, 6), struct.pack("<2I", rows, columns), 1)
    changed = seal(changed.replace(struct.pack("<2i", 0, 4), struct.pack("<2i", 0, hi), 1))
    with pytest.raises(SessionError, match=rf"\A{re.escape(engine)}\Z"):
        Session(changed)
    with pytest.raises(FormatError):
        Program.from_bytes(changed)
