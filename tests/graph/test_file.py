# SPDX-License-Identifier: Apache-2.0
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.graph.encode import seal
from bitlens.graph.file import FormatError, Program
from bitlens.graph.graph import GraphError
from bitlens.graph.ops import window_attrs
from bitlens.runtime import Session, SessionError
from programs import Builder, chain_program, random_inputs, random_program


@given(st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=40)
def test_a_file_gives_back_its_program(seed: int) -> None:
    program = random_program(seed)
    again = Program.from_bytes(program.to_bytes())
    x = random_inputs(program, 2, seed)
    kept, kept_again = program.run(x, keep=True), again.run(x, keep=True)
    assert kept.keys() == kept_again.keys()
    assert all(np.array_equal(kept[name], kept_again[name]) for name in kept)
    assert again.to_bytes() == program.to_bytes()


def test_names_scales_and_metadata_travel(tmp_path: Path) -> None:
    program = chain_program(0)
    program.graph.metadata["source"] = "abc"
    program.graph.output_names[program.graph.outputs[0]] = "logits"
    program.save(tmp_path / "m.bitlens")
    again = Program.load(tmp_path / "m.bitlens")
    assert again.metadata["source"] == "abc"
    assert again.metadata["tool"].startswith("bitlens")
    assert again.graph.value("image").scale == np.float32(1 / 255)
    assert [*again.run(random_inputs(again, 1, 0))] == ["logits"]


def test_symbolic_sizes_travel() -> None:
    b = Builder()
    x = b.input((None, None, 3), Grid.unsigned(8))
    b.graph.values[x] = b.graph.value(x).with_(multiples=(2, 4))
    y = b.conv(x, np.random.default_rng(0), 4, Grid.odd(1), (3, 3))
    again = Program.from_bytes(b.program(y).to_bytes())
    assert again.graph.value(x).multiples == (2, 4)
    assert again.graph.value(y).shape == (None, None, 4)
    assert again.run(random_inputs(again, 1, 0, (4, 8)))[y].shape == (1, 2, 6, 4)
    with pytest.raises(GraphError, match=r"^image: height and width must be multiples of \(2, 4\), not \(4, 6\)$"):
        again.run(random_inputs(again, 1, 0, (4, 6)))


def test_weights_are_stored_at_their_true_width() -> None:
    sizes = []
    for bits in (1, 2, 4):
        b = Builder()
        x = b.input((1, 1, 1024), Grid.unsigned(1))
        sizes.append(len(b.program(b.conv(x, np.random.default_rng(0), 512, Grid.odd(bits))).to_bytes()))
    assert sizes[1] - sizes[0] == 1024 * 512 // 8
    assert sizes[2] - sizes[0] == 3 * 1024 * 512 // 8


@pytest.fixture(scope="module")
def data() -> bytes:
    return chain_program(3).to_bytes()


def test_every_truncation_is_refused(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(FormatError, match="^file: "):
            Program.from_bytes(data[:length])
        with pytest.raises(FormatError):
            Program.from_bytes(seal(data[:length]) if length >= 24 else data[:length])


def test_every_flipped_bit_is_refused(data: bytes) -> None:
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(FormatError):
            Program.from_bytes(bytes(changed))


@given(st.data())
@settings(deadline=None, max_examples=400)
def test_resealed_mutations_are_refused_or_legal(data: bytes, draws: st.DataObject) -> None:
    changed = bytearray(draws.draw(st.sampled_from([data, _repeated(5).to_bytes()])))
    for _ in range(draws.draw(st.integers(1, 4))):
        at = draws.draw(st.integers(16, len(changed) - 5))
        if draws.draw(st.booleans()):
            changed[at] ^= 1 << draws.draw(st.integers(0, 7))
        else:
            number = draws.draw(st.sampled_from([0, 1, 127, 255, 65535, 1 << 20, (1 << 31) - 1, (1 << 32) - 1]))
            changed[at : at + 4] = struct.pack("<I", number)
    try:
        program = Program.from_bytes(seal(bytes(changed)))
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        assert len(program.to_bytes()) > 24


_TABLE = {"breakpoints": np.array([[-3, 0, 4]] * 3), "values": np.array([[-7, 1, 2, 9]] * 3)}


def _repeated(times: int) -> Program:
    """Steps of one table, again and again."""
    b = Builder()
    x = b.input((4, 5, 3), Grid.signed(8))
    for _ in range(times):
        x = b.op("steps", x, grid=Grid.signed(8), **_TABLE)
    return b.program(x)


def test_equal_tables_are_stored_once() -> None:
    sizes = [len(_repeated(times).to_bytes()) for times in (1, 2, 3, 16, 17)]
    described = sizes[2] - sizes[1]
    table = 8 + 3 * 3 * 1 + 4 + 3 * 4
    assert sizes[1] - sizes[0] == described < table + 30
    assert sizes[3] - sizes[2] == 13 * described + 7  # names of two digits
    assert sizes[4] - sizes[3] == described + 1 + table - 4  # the seventeenth begins anew
    for times in (1, 2, 16, 17, 40):
        program = _repeated(times)
        again = Program.from_bytes(program.to_bytes())
        assert again.to_bytes() == program.to_bytes()
        assert [node.attrs["values"].tolist() for node in again.graph] == [[[-7, 1, 2, 9]] * 3] * times
        x = np.random.default_rng(0).integers(-128, 128, (2, 4, 5, 3))
        (golden,), (run,) = program.run(x).values(), Session(again, threads=1).run(x).values()
        assert np.array_equal(golden, run)


@pytest.mark.parametrize(
    ("owner", "sentence"),
    [
        (2, "steps2: payload must be that of an earlier op of the same kind, not of op 2"),
        (9, "steps2: payload must be that of an earlier op of the same kind, not of op 9"),
        (0, "steps2: payload must be that of an earlier op of the same kind, not of op 0"),
    ],
)
def test_payloads_are_those_of_earlier_ops_of_the_kind(owner: int, sentence: str) -> None:
    b = Builder()
    x = b.input((4, 5, 3), Grid.signed(8))
    x = b.op("max_pool", x, **window_attrs((1, 1)))
    for _ in range(2):
        x = b.op("steps", x, grid=Grid.signed(8), **_TABLE)
    data = bytearray(b.program(x).to_bytes())
    place = len(data) - len(_tail(x)) - 4
    assert data[place : place + 4] == struct.pack("<I", 1)
    data[place : place + 4] = struct.pack("<I", owner)
    _both_refuse(seal(bytes(data)), sentence)


def test_a_payload_is_of_few_ops_and_fits() -> None:
    data = _repeated(17).to_bytes()
    whole = struct.pack("<IHBB", 3, 3, 1, 2)
    start = data.rindex(whole)  # the seventeenth's own
    tail = data[-len(_tail("steps16")) :]
    many = bytearray(data[:start] + struct.pack("<I", 0) + tail)
    opcode = many.rindex(b"\x02" + struct.pack("<H", 7) + b"steps16")
    many[opcode] |= 0x80
    _both_refuse(seal(bytes(many)), "steps16: a payload must be of at most 16 ops, not more")


def _tail(name: str) -> bytes:
    """What follows the ops of a program with one output and no states."""
    return struct.pack("<HH", 1, len(name)) + name.encode() + struct.pack("<IH", 0, 0)


def _both_refuse(data: bytes, sentence: str) -> None:
    with pytest.raises(FormatError) as error:
        Program.from_bytes(data)
    assert str(error.value) == sentence
    with pytest.raises(SessionError) as other:
        Session(data)
    assert str(other.value) == sentence


def test_a_longer_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=f"^file: length must be {len(data)} bytes as its header says, not"):
        Program.from_bytes(data + b"\0")
    with pytest.raises(FormatError, match="^file: must end after the states at offset"):
        Program.from_bytes(seal(data + b"\0"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda d: b"\x89PNG" + d[4:],
            "file: the first 8 bytes must be 89 42 49 54 4c 45 4e 53 (.bitlens), not 89 50 4e 47 4c 45 4e 53",
        ),
        (lambda d: d[:23], "file: header must have 24 bytes, not 23"),
        (
            lambda d: d[:8] + b"\x02\0\0\0" + d[12:],
            "file: version must be 1, not 2; use the bitlens release that wrote it",
        ),
        (lambda d: d[:-1] + bytes([d[-1] ^ 1]), "file: checksum must match the content; the file is damaged"),
        (lambda d: seal(d[:-6] + b"\xff\0\0\0" + d[-2:]), "conv9: output must be a tensor number below 11, not 255"),
    ],
)
def test_errors(data: bytes, change: object, sentence: str) -> None:
    with pytest.raises(FormatError, match=f"^{re.escape(sentence)}$"):
        Program.from_bytes(change(data))  # type: ignore[operator]


def test_a_path_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.bitlens"
    path.write_bytes(b"hello")
    sentence = f"{path}: the first 8 bytes must be 89 42 49 54 4c 45 4e 53 (.bitlens), not 68 65 6c 6c 6f"
    with pytest.raises(FormatError, match=f"^{re.escape(sentence)}$"):
        Program.load(path)
