# SPDX-License-Identifier: Apache-2.0
"""Sessions of programs with float islands: as golden, on every instruction set."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import bitlens
from bitlens.graph.islands import IslandProgram
from bitlens.runtime import Session, SessionError
from bitlens.runtime.islands import IslandSession
from island_models import ISLANDS, Nets
from programs import chain_program


def _program(name: str) -> IslandProgram:
    program = bitlens.compile(ISLANDS[name][0](), float_islands=True)
    assert isinstance(program, IslandProgram)
    return program


def _images(session: Session, count: int = 3) -> npt.NDArray[Any]:
    (tensor,) = session.inputs.values()
    return np.random.default_rng(0).normal(0, 0.7, (count, *tensor.shape)).astype(np.float32)


@pytest.mark.parametrize("isa", [None, "portable"])
@pytest.mark.parametrize("name", ISLANDS)
def test_a_session_gives_what_golden_gives(name: str, isa: str | None) -> None:
    program = _program(name)
    session = Session(program, threads=1, isa=isa, size=(12, 8))
    x = _images(session)
    for real in (False, True):
        found, wanted = session.run(x, real=real), program.run(x, real=real)
        assert [*found] == [*wanted]
        for output, array in wanted.items():
            assert np.array_equal(found[output], array)
            assert found[output].dtype == (np.int32 if array.dtype == np.int64 else np.float32)
            assert found[output].shape[1:] == session.outputs[output].shape


def test_a_path_bytes_and_a_program_open_alike(tmp_path: Path) -> None:
    program = _program("float ends")
    program.save(tmp_path / "m.bitlens")
    for source in (tmp_path / "m.bitlens", str(tmp_path / "m.bitlens"), program.to_bytes(), program):
        session = Session(source, threads=1)
        assert isinstance(session, IslandSession)
        x = _images(session)
        (found,), (wanted,) = session.run(x).values(), program.run(x).values()
        assert np.array_equal(found, wanted)


def test_a_program_of_integers_opens_as_before() -> None:
    assert type(Session(chain_program(0), threads=1)) is Session


def test_what_it_tells() -> None:
    session = Session(_program("float ends"), threads=2)
    assert session.threads == 2
    assert session.arena_bytes > 0
    assert session.inputs["image"].grid is None
    assert session.inputs["image"].shape == (8, 8, 3)
    (output,) = session.outputs.values()
    assert (output.grid, output.shape) == (None, (1, 1, 5))
    host = [layer.name for layer in session.layers if layer.kernel == "host"]
    assert host == ["first", "relu", "quant", "mean", "flat", "last"]
    first = session.layers[0]
    assert (first.op, first.storage, first.in_shape, first.out_shape) == ("Conv", "float", (8, 8, 3), (6, 6, 4))
    assert any(layer.kernel not in ("host", "") for layer in session.layers)


def test_keep_gives_borders_and_what_the_engine_keeps() -> None:
    program = _program("squeeze and excite")
    session = Session(program, threads=1)
    x = _images(session)
    found, wanted = session.run(x, keep=True), program.run(x, keep=True)
    common = found.keys() & wanted.keys()
    assert {name for part in program.parts for name in part.graph.inputs} <= common
    assert len(common) > 4
    assert all(np.array_equal(found[name], wanted[name]) for name in common)


def test_an_empty_batch_has_the_shapes_of_others() -> None:
    session = Session(_program("float ends"), threads=1)
    (array,) = session.run(_images(session)[:0]).values()
    assert array.shape == (0, 1, 1, 5)


def test_vectors_go_in_as_they_are() -> None:
    b = Nets(("N", 6))
    y = b.quant(b.op("Relu", b.float_linear("image", 6, 4, "first")), 0.1, 4)
    y = b.op("Gemm", y, b.weights(b.rng.integers(-3, 4, (4, 5))), name="second")
    session = Session(bitlens.compile(b.model(y), float_islands=True), threads=1)
    x = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    assert np.array_equal(session.run(x)[y], session.run(x.reshape(2, 1, 1, 6))[y])


def _refused(sentence: str, run: Any) -> None:
    with pytest.raises(SessionError, match=rf"\A{re.escape(sentence)}\Z"):
        run()


def test_refusals_of_inputs() -> None:
    session = Session(_program("float ends"), threads=1)
    _refused(
        "image: dtype must be a float type, not uint8: a float island reads real values",
        lambda: session.run(np.zeros((1, 8, 8, 3), np.uint8)),
    )
    _refused("image: shape must be (N, 8, 8, 3), not (1, 3, 8, 8)", lambda: session.run(np.zeros((1, 3, 8, 8))))
    _refused("image: every number must be finite, not inf or nan", lambda: session.run(np.full((1, 8, 8, 3), np.nan)))
    _refused("inputs: names must be image, not picture", lambda: session.run({"picture": np.zeros((1, 8, 8, 3))}))
    _refused("stream: program must have states, not none; run it image by image", session.stream)


def test_refusals_of_sizes_and_files() -> None:
    program = _program("any size")
    _refused("image: height and width must be given (size), not left open", lambda: Session(program))
    _refused("threads: must be an integer from 1 to 2147483647, not 0", lambda: Session(program, threads=0))
    _refused("size: must be (height, width), integers from 1 to 2147483647, not 8", lambda: Session(program, size=8))  # type: ignore[arg-type]
    _refused(
        "image: a tensor must have at most 134217728 numbers an image, not 805306368; "
        "use smaller images, or export with a symbolic height and width",
        lambda: Session(program, size=(1 << 14, 1 << 14)),
    )
    session = Session(program, size=(8, 8))
    _refused("image: shape must be (N, 8, 8, 3), not (1, 8, 12, 3)", lambda: session.run(np.zeros((1, 8, 12, 3))))
    data = program.to_bytes()
    _refused("file: checksum must match the content; the file is damaged", lambda: Session(data[:-1] + b"\xff"))


def test_a_path_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.bitlens"
    path.write_bytes(_program("gated").to_bytes()[:100])
    with pytest.raises(
        SessionError, match=rf"\A{re.escape(str(path))}: length must be \d+ bytes as its header says, not 100\Z"
    ):
        Session(path)


def test_maps_of_several_open_sizes_in_one_part_are_refused() -> None:
    b = Nets(("N", 3, "H", "W"))
    wide = b.quant(b.float_conv("image", (4, 3, 1, 1), "wide"), 0.1, 4, 1)
    narrow = b.quant(b.float_conv("image", (4, 3, 1, 1), "narrow", strides=[2, 2]), 0.1, 4, 1)
    y = b.sums(wide, (2, 4, 1, 1), "one"), b.sums(narrow, (2, 4, 1, 1), "two")
    program = bitlens.compile(b.model(*y), float_islands=True)
    _refused(
        "quant_1: maps of an integer part must have one size, not [(4, 4), (8, 8)]; export the model with a fixed size",
        lambda: Session(program, size=(8, 8)),
    )
