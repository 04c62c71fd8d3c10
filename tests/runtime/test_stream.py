# SPDX-License-Identifier: Apache-2.0
"""Streams of the engine beside golden, which runs one step after the other."""

import os
import re
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.graph.file import Program
from bitlens.graph.graph import GraphError
from bitlens.runtime import Session, SessionError, Stream
from processors import ISAS
from programs import chain_program, random_inputs, step_program
from wide_programs import wide_program

Arrays = dict[str, np.ndarray]


def words(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (steps, 1, 1, 1))


def assert_equal(found: Arrays, wanted: Arrays) -> None:
    assert found.keys() == wanted.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, wanted[name], err_msg=name)


RECURRENT = [seed for seed in range(120) if wide_program(seed).graph.states]


@pytest.mark.parametrize("isa", ISAS)
@given(seed=st.sampled_from(RECURRENT), threads=st.integers(1, 3), data=st.data())
@settings(deadline=None, max_examples=25)
def test_equal_to_golden_on_wide_programs(isa: str, seed: int, threads: int, data: st.DataObject) -> None:
    program = wide_program(seed)
    x = random_inputs(program, 5, seed)
    del x["other"]
    wanted, end = program.run_sequence(x)
    session = Session(Program.from_bytes(program.to_bytes()), isa=isa, threads=threads)
    stream = session.stream()
    assert_equal(stream.run(x), wanted)
    assert_equal(stream.state, end)
    stream.reset()
    parts, at = [], 0
    while at < 5:  # the same in calls of some steps each
        steps = data.draw(st.integers(1, 5 - at))
        parts.append(stream.run({name: array[at : at + steps] for name, array in x.items()}))
        at += steps
    assert_equal({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, wanted)
    assert_equal(stream.state, end)


def test_golden_is_a_loop_of_runs() -> None:
    program, x = step_program(), words(6)
    wanted, end = program.run_sequence(x)
    now = {state.input: np.broadcast_to(state.initial, (1, 1, 1, 6)) for state in program.graph.states}
    for step in range(6):
        found = program.run({"words": x[step : step + 1], **now})
        np.testing.assert_array_equal(found["scores"][0], wanted["scores"][step])
        now = {name: found[f"{name}_next"] for name in "ab"}
    assert_equal(end, {name: array[0] for name, array in now.items()})
    middle, later = program.run_sequence(x[:4])
    rest, last = program.run_sequence(x[4:], later)
    assert_equal({"scores": np.concatenate([middle["scores"], rest["scores"]])}, wanted)
    assert_equal(last, end)


def test_what_a_stream_takes_and_gives() -> None:
    stream = Session(step_program()).stream()
    assert isinstance(stream, Stream)
    assert [*stream.inputs] == ["words"]
    assert [*stream.outputs] == ["scores"]
    assert {name: array.shape for name, array in stream.state.items()} == {"a": (1, 1, 6), "b": (1, 1, 6)}
    assert stream.state["a"].dtype == np.int32
    assert stream.state["a"].tolist() == [[[3] * 6]]


@pytest.mark.parametrize("x", [words(4), words(4).astype(np.uint8), words(4).astype(np.int64), words(4)[:, 0, 0, 0]])
def test_all_forms_of_the_input_are_one(x: np.ndarray) -> None:
    program = step_program()
    wanted, _ = program.run_sequence(words(4))
    for given_x in (x, {"words": x}):
        assert_equal(Session(program).stream().run(given_x), wanted)
        assert_equal(program.run_sequence(given_x)[0], wanted)


def test_real_values_are_scaled_integers() -> None:
    program = step_program()
    tensor = next(name for name in program.graph.outputs if program.graph.output_names[name] == "scores")
    program.graph.values[tensor] = program.graph.value(tensor).with_(scale=np.float32(0.25), offset=np.float32(-1))
    integers, real = (Session(program).stream().run(words(3), real=real)["scores"] for real in (False, True))
    assert (integers.dtype, real.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(real, integers * np.float32(0.25) - 1)


def test_no_step_changes_nothing() -> None:
    program = step_program()
    stream, x = Session(program).stream(), words(3)
    stream.run(x)
    before = stream.state
    assert stream.run(x[:0])["scores"].shape == (0, 1, 1, 5)
    assert_equal(stream.state, before)
    found, end = program.run_sequence(x[:0], before)
    assert found["scores"].shape == (0, 1, 1, 5)
    assert_equal(end, before)


def test_a_state_that_was_read_can_be_written() -> None:
    program, x = step_program(), words(9)
    session = Session(program)
    first, second = session.stream(), session.stream()
    wanted = first.run(x)["scores"]
    first.reset()
    first.run(x[:4])
    second.state = first.state
    np.testing.assert_array_equal(second.run(x[4:])["scores"], wanted[4:])
    first.state = {"a": np.full((1, 1, 6), 0.25), "b": np.zeros((1, 1, 6), np.uint8)}  # real values are quantized
    assert first.state["a"].tolist() == [[[1] * 6]]
    assert first.state["b"].tolist() == [[[0] * 6]]
    first.state["a"][:] = 5  # a copy
    assert first.state["a"].tolist() == [[[1] * 6]]


def test_streams_of_one_session_are_apart() -> None:
    program = step_program()
    session = Session(program)
    sequences = [words(8, seed) for seed in range(3)]
    streams = [session.stream() for _ in sequences]
    found: list[list[np.ndarray]] = [[], [], []]
    for step in range(8):
        for rows, stream, x in zip(found, streams, sequences, strict=True):
            rows.append(stream.run(x[step : step + 1])["scores"])
        session.run(random_inputs(program, 2, step))
    for rows, x in zip(found, sequences, strict=True):
        np.testing.assert_array_equal(np.concatenate(rows), program.run_sequence(x)[0]["scores"])


def test_streams_run_at_the_same_time() -> None:
    program = step_program()
    session = Session(program, threads=2)
    found: dict[int, np.ndarray] = {}

    def work(seed: int) -> None:
        found[seed] = session.stream().run(words(300, seed))["scores"]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, scores in found.items():
        np.testing.assert_array_equal(scores, program.run_sequence(words(300, seed))[0]["scores"])
    assert len(found) == 4


def test_a_stream_outlives_its_session() -> None:
    program = step_program()
    stream = Session(program).stream()
    np.testing.assert_array_equal(stream.run(words(5))["scores"], program.run_sequence(words(5))[0]["scores"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork beside threads
def test_a_stream_goes_on_in_a_child() -> None:
    program = step_program()
    stream = Session(program, threads=2).stream()
    stream.run(words(3))
    wanted = program.run_sequence(words(6))[0]["scores"][3:]
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(stream.run(words(6)[3:])["scores"], wanted) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(stream.run(words(6)[3:])["scores"], wanted)


def test_two_threads_at_one_stream_are_told() -> None:
    program, x = step_program(), words(20_000)
    stream = Session(program).stream()
    wanted = stream.run(x)["scores"]
    stream.reset()
    done: list[str] = []

    def work() -> None:
        np.testing.assert_array_equal(stream.run(x)["scores"], wanted)
        done.append("run")

    thread = threading.Thread(target=work)
    thread.start()
    messages = set()
    while thread.is_alive():
        try:
            _ = stream.state
        except SessionError as error:
            messages.add(str(error))
    thread.join()
    assert (done, messages) == (["run"], {"stream: must not be used by two threads at once"})


@pytest.mark.parametrize("isa", ISAS)
def test_a_refused_call_takes_no_step(isa: str) -> None:
    program, x = step_program(), words(8)
    stream = Session(program, isa=isa).stream()
    stream.run(x[:3])
    before = stream.state
    bad = x[3:].astype(np.int32)
    bad[3] = 5
    with pytest.raises(SessionError, match=r"^words: every integer must be on the grid \[0, 4\] by 1, not 5$"):
        stream.run(bad)
    with pytest.raises(SessionError, match=r"^words: every integer must be on the grid 0\.\.4, not 5$"):
        stream.run(bad.astype(np.int64))
    assert_equal(stream.state, before)
    np.testing.assert_array_equal(stream.run(x[3:])["scores"], program.run_sequence(x)[0]["scores"][3:])


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((2, 1, 1, 2), np.uint8), "words: shape must be (N, 1, 1, 1), not (2, 1, 1, 2)"),
        (np.zeros((2, 3), np.uint8), "words: shape must be (N, 1, 1, 1), not (2, 1, 1, 3)"),
        ({}, "inputs: names must be words, not none"),
        ({"words": words(1), "a": words(1)}, "inputs: names must be words, not words, a"),
        (np.array(["the"]).reshape(1, 1, 1, 1), "words: dtype must be an integer or float type, not <U3"),
        (np.full((1, 1, 1, 1), np.nan), "words: every number must be finite, not nan"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x: object, sentence: str) -> None:
    program = step_program()
    with pytest.raises(SessionError, match=rf"\A{re.escape(sentence)}\Z"):
        Session(program).stream().run(x)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=rf"\A{re.escape(sentence)}\Z"):
        program.run_sequence(x)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({}, "inputs: names must be a, b, not none"),
        ({"a": np.zeros((1, 1, 6), int)}, "inputs: names must be a, b, not a"),
        (
            {"a": np.zeros((1, 1, 6), int), "b": np.zeros((1, 1, 5), int)},
            "b: shape must be (N, 1, 1, 6), not (1, 1, 1, 5)",
        ),
        (
            {"a": np.zeros((1, 1, 6), int), "b": np.full((1, 1, 6), 8)},
            "b: every integer must be on the grid unsigned 3, not 8",
        ),
        (
            {"a": np.zeros((1, 1, 6), np.int32), "b": np.full((1, 1, 6), 8, np.int32)},
            "b: every integer must be on the grid [0, 7] by 1, not 8",  # told by the engine, when a has been written
        ),
        (
            {"a": np.zeros((1, 1, 6), int), "b": np.full((1, 1, 6), np.inf)},
            "b: every number must be finite, not inf",
        ),
    ],
)
def test_a_state_is_written_whole_or_not_at_all(state: Arrays, sentence: str) -> None:
    stream = Session(step_program()).stream()
    stream.run(words(2))
    before = stream.state
    with pytest.raises(SessionError, match=rf"\A{re.escape(sentence)}\Z"):
        stream.state = state
    assert_equal(stream.state, before)


def test_golden_looks_at_states() -> None:
    program, x = step_program(), words(2)
    good = np.zeros((1, 1, 6), np.int64)
    for state, sentence in (
        ({"a": good}, "inputs: names must be a, b, not a"),
        ({"a": good, "b": good + 8}, "b: every integer must be on the grid unsigned 3, not 8"),
        ({"a": good, "b": good[0, 0, :5]}, "b: shape must be (N, 1, 1, 6), not (1, 1, 1, 5)"),
    ):
        with pytest.raises(GraphError, match=rf"\A{re.escape(sentence)}\Z"):
            program.run_sequence(x, state)


def test_inputs_of_different_lengths_are_refused() -> None:
    program = wide_program(RECURRENT[0])
    program.graph.states.clear()
    x = random_inputs(program, 3, 0)
    x["other"] = x["other"][:2]
    sentence = r"^inputs: all must have one batch size, not \{'image': 3, 'other': 2\}$"
    with pytest.raises(GraphError, match=sentence):
        program.run(x)
    with pytest.raises(SessionError, match=sentence):
        Session(program).run(x)


def test_a_program_without_states_has_no_stream() -> None:
    program = chain_program(0)
    with pytest.raises(SessionError, match=r"^stream: program must have states, not none; run it image by image$"):
        Session(program).stream()
    with pytest.raises(GraphError, match=r"^program: must have states to run a sequence, not none$"):
        program.run_sequence(np.zeros((1, 9, 7, 3), np.uint8))


def test_a_table_of_many_bits() -> None:
    from programs import Builder

    for grid in (Grid.span(-(1 << 31) + 2, (1 << 31) - 2), Grid(-(1 << 31) + 3, (1 << 31) - 3, 2), Grid.unsigned(9)):
        b = Builder()
        x = b.input((1, 1, 1), Grid.unsigned(3))
        table = np.array([[grid.lo, grid.hi, grid.hi - grid.step]] * 8, np.int32)
        program = b.program(b.op("lookup", x, table=table, table_grid=grid))
        for isa in ISAS:
            (found,) = (
                Session(Program.from_bytes(program.to_bytes()), isa=isa).run(np.arange(8).reshape(8, 1, 1, 1)).values()
            )
            np.testing.assert_array_equal(found[:, 0, 0], table)


def test_no_steps_give_nothing_and_change_nothing() -> None:
    stream = Session(step_program()).stream()
    before = stream.state
    for empty in (np.zeros((0, 1, 1, 1), np.int64), np.zeros(0, np.int64)):
        assert [len(array) for array in stream.run(empty).values()] == [0] * len(stream.outputs)
    assert_equal(stream.state, before)
