# SPDX-License-Identifier: Apache-2.0
"""Files of programs with float islands: read back whole, refused in one line when damaged."""

import re
import struct
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitlens
from bitlens.core.inputs import InputError
from bitlens.graph.encode import seal
from bitlens.graph.file import FormatError, Program
from bitlens.graph.graph import GraphError
from bitlens.graph.island_file import decode_islands, load_program
from bitlens.graph.islands import Island, IslandProgram
from bitlens.graph.rewrite import same
from bitlens.runtime import _native
from island_models import ISLANDS, Nets
from programs import chain_program


def _program(name: str) -> IslandProgram:
    program = bitlens.compile(ISLANDS[name][0](), float_islands=True)
    assert isinstance(program, IslandProgram)
    return program


def _images(program: IslandProgram) -> Any:
    (value,) = program.inputs
    shape = [size or 12 for size in (value.shape or ())[1:]]
    return np.random.default_rng(0).normal(0, 0.7, (2, *shape[1:], shape[0])).astype(np.float32)


@pytest.mark.parametrize("name", ISLANDS)
def test_a_file_gives_back_its_program(name: str, tmp_path: Path) -> None:
    program = _program(name)
    program.save(tmp_path / "m.bitlens")
    read = load_program(tmp_path / "m.bitlens")
    assert isinstance(read, IslandProgram)
    assert read.to_bytes() == program.to_bytes()
    assert read.metadata == program.metadata
    assert same([*read.inputs], [*program.inputs])
    for island, other in zip(read.islands, program.islands, strict=True):
        assert island.reasons == other.reasons
        assert same(island.graph.nodes, [*other.graph.nodes])
        assert same(island.graph.constants, other.graph.constants)
    found, wanted = read.run(_images(program), keep=True), program.run(_images(program), keep=True)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[key], wanted[key]) for key in wanted)


def test_a_program_of_integers_is_read_too(tmp_path: Path) -> None:
    chain_program(0).save(tmp_path / "m.bitlens")
    assert isinstance(load_program(tmp_path / "m.bitlens"), Program)


@pytest.fixture(scope="module")
def program() -> IslandProgram:
    return _program("ONNX's own quantizers")


@pytest.fixture(scope="module")
def data(program: IslandProgram) -> bytes:
    return program.to_bytes()


def test_every_truncation_is_refused(data: bytes) -> None:
    for length in range(0, len(data), 3):
        for cut in (data[:length], seal(data[:length]) if length >= 24 else data[:length]):
            with pytest.raises(FormatError) as error:
                decode_islands(cut)
            assert "\n" not in str(error.value)


def test_every_flipped_bit_is_refused(data: bytes) -> None:
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(FormatError):
            decode_islands(bytes(changed))


@given(st.data())
@settings(deadline=None, max_examples=500)
def test_resealed_mutations_are_refused_or_run_or_fail_in_one_line(
    program: IslandProgram, data: bytes, draws: st.DataObject
) -> None:
    changed = bytearray(data)
    for _ in range(draws.draw(st.integers(1, 4))):
        at = draws.draw(st.integers(16, len(changed) - 5))
        if draws.draw(st.booleans()):
            changed[at] ^= 1 << draws.draw(st.integers(0, 7))
        else:
            number = draws.draw(st.sampled_from([0, 1, 127, 255, 65535, 1 << 20, (1 << 31) - 1, (1 << 32) - 1]))
            changed[at : at + 4] = struct.pack("<I", number)
    try:
        read = decode_islands(_sealed_parts(bytes(changed), data))
    except FormatError as error:
        assert "\n" not in str(error)
        return
    assert len(read.to_bytes()) > 24
    try:
        read.run(_images(program))
    except (GraphError, InputError) as error:
        assert "\n" not in str(error)


def _sealed_parts(changed: bytes, data: bytes) -> bytes:
    """The file with right checksums, also of the integer program inside."""
    begin = data.index(b"\x89BITLENS")
    (length,) = struct.unpack("<I", data[begin - 4 : begin])
    inner = changed[begin : begin + length]
    return seal(changed[:begin] + (seal(inner) if len(inner) >= 24 else inner) + changed[begin + length :])


def test_a_longer_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="^file: must end after the outputs at offset"):
        decode_islands(seal(data + b"\0"))


def test_readers_of_integers_refuse_it_by_name(data: bytes, tmp_path: Path) -> None:
    sentence = (
        "program must be of integers alone, not have float islands on the host; open it with bitlens.Session in Python, "
        "or compile it without --float-islands"
    )
    with pytest.raises(FormatError, match=f"^file: {re.escape(sentence)}$"):
        Program.from_bytes(data)
    path = tmp_path / "m.bitlens"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=f"^{re.escape(f'{path}: {sentence}')}$"):
        Program.load(path)
    with pytest.raises(_native.EngineError, match=f"^file: {re.escape(sentence)}$"):
        _native.Model(data, 1, None, 0, 0, False)


def test_a_path_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.bitlens"
    path.write_bytes(b"\x89BITISLE")
    with pytest.raises(FormatError, match=f"^{re.escape(f'{path}: header must have 24 bytes, not 8')}$"):
        load_program(path)


def _renamed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    assert len(old) == len(new)
    return lambda data: seal(data.replace(old, new))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_renamed(b"\4\0Relu", b"\4\0Evil"), "relu: operator must be one that reference arithmetic knows, not Evil"),
        (
            _renamed(b"\6\0transA", b"\6\0transZ"),
            "file: last: attribute of Gemm must be one of alpha, beta, transA, transB, not transZ",
        ),
        (_renamed(b"Flatten\4\0flat", b"Flatten\4\0last"), "file: last: node name must be unique"),
    ],
)
def test_errors(data: bytes, change: Callable[[bytes], bytes], sentence: str) -> None:
    with pytest.raises(FormatError, match=f"^{re.escape(sentence)}"):
        decode_islands(change(data))


def test_names_given_twice_are_refused(program: IslandProgram) -> None:
    (tensor,) = program.outputs.values()
    island = Island(program.islands[0].graph, {"layer_a": "one", "layer_b": "two"})
    parts = [island if part is program.islands[0] else part for part in program.parts]
    named = replace(
        program, parts=parts, outputs={"out_a": tensor, "out_b": tensor}, metadata={"key_a": "1", "key_b": "2"}
    )
    data = named.to_bytes()
    assert decode_islands(data).to_bytes() == data
    for what, last, first in (
        ("key of the metadata", "key_b", "key_a"),
        ("name of an output", "out_b", "out_a"),
        ("layer of a reason", "layer_b", "layer_a"),
        ("attribute of last", "transB", "transA"),
    ):
        with pytest.raises(FormatError, match=rf"^file: {what} at offset \d+ must be given once, not twice: {first}$"):
            decode_islands(_renamed(last.encode(), first.encode())(data))


def test_shapes_that_the_operators_do_not_give_are_refused(program: IslandProgram) -> None:
    for place, part in enumerate(program.parts):
        if not isinstance(part, Island):
            continue
        for node in part.graph.nodes:
            graph = part.graph.copy()
            shape = graph.value(node.output).shape
            assert shape is not None
            wrong = (*shape[:-1], 1 << 20)
            graph.values[node.output] = graph.value(node.output).with_(shape=wrong)
            data = _with_island(program, place, Island(graph, part.reasons))
            sentence = f"{node.output}: shape must be {shape}, which the operators give, not {wrong}"
            with pytest.raises(FormatError, match=f"^{re.escape(sentence)}$"):
                decode_islands(data)


def _with_island(program: IslandProgram, place: int, island: Island) -> bytes:
    """The file of a program that cannot be made, as somebody may write it."""
    made = copy(program)
    object.__setattr__(made, "parts", [*program.parts[:place], island, *program.parts[place + 1 :]])
    return made.to_bytes()


def test_a_name_that_readers_do_not_take_is_not_written() -> None:
    b = Nets()
    y = b.quant(b.float_conv("image", (4, 3, 3, 3), "x" * 600), 0.1, 4, 1)
    program = bitlens.compile(b.model(b.sums(y, (2, 4, 3, 3), "two")), float_islands=True)
    with pytest.raises(GraphError, match=rf"^{'x' * 40}\.\.\.: name must have at most 512 bytes, not 600; rename it$"):
        program.to_bytes()
