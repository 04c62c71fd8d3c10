# SPDX-License-Identifier: Apache-2.0
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.graph.file import Program
from bitlens.graph.ops import window_attrs
from bitlens.runtime import Layer, Session, SessionError
from processors import ISAS
from programs import WEIGHT_GRIDS, Builder, chain_program, random_inputs, random_program
from wide_programs import wide_program


def assert_like_golden(program: Program, seed: int, **options: object) -> None:
    x = random_inputs(program, 3, seed)
    golden = program.run(x, keep=True)
    session = Session(program, **options)  # type: ignore[arg-type]
    kept, plain = session.run(x, keep=True), session.run(x)
    for name, array in kept.items():
        assert np.array_equal(array, golden[name]), (name, [row for row in session.layers if row.result == name])
    for name, array in plain.items():
        assert np.array_equal(array, golden[name]), name


@pytest.mark.parametrize("isa", ISAS)
@given(seed=st.integers(0, 1 << 30), threads=st.integers(1, 3))
@settings(deadline=None, max_examples=25)
def test_equal_to_golden_on_random_nets(isa: str, seed: int, threads: int) -> None:
    assert_like_golden(random_program(seed), seed, isa=isa, threads=threads)


@pytest.mark.parametrize("isa", ISAS)
@given(seed=st.integers(0, 1 << 30), threads=st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_equal_to_golden_on_wide_nets(isa: str, seed: int, threads: int) -> None:
    assert_like_golden(wide_program(seed), seed, isa=isa, threads=threads)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_equal_to_golden_on_a_residual_net(isa: str, bits: int) -> None:
    assert_like_golden(chain_program(1, channels=70, activation_bits=bits), 1, isa=isa)


def weighted(weight_grid: Grid, grid: Grid, channels: int = 40, **window: object) -> Program:
    """One convolution of the given grids."""
    b = Builder()
    x = b.input((7, 6, channels), grid)
    return b.program(b.conv(x, np.random.default_rng(0), 33, weight_grid, (3, 3), bias=True, **window))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "weights",
    [
        *(f"odd {b}" for b in range(1, 9)),
        "ternary",
        *(f"narrow {b}" for b in range(3, 9)),
        *(f"signed {b}" for b in range(1, 9)),
    ],
)
def test_every_weight_grid_meets_every_activation_grid(isa: str, weights: str) -> None:
    for grid in [*(Grid.unsigned(bits) for bits in range(1, 9)), Grid.signed(4), Grid.signed(8), Grid.bipolar()]:
        assert_like_golden(weighted(Grid.parse(weights), grid, pads=(1, 1, 1, 1)), 0, isa=isa)


_WITHOUT_ZERO = [*(Grid.odd(bits) for bits in range(1, 9)), Grid.span(1, 3), Grid.span(-6, -2), Grid.span(3, 258)]


@pytest.mark.parametrize("isa", ISAS)
@given(
    grid=st.sampled_from(_WITHOUT_ZERO),
    weights=st.sampled_from(WEIGHT_GRIDS),
    channels=st.sampled_from([1, 3, 8, 16, 40, 64, 65]),
    groups=st.sampled_from(["one", "depthwise", "eights"]),
    seed=st.integers(0, 1 << 30),
)
@settings(deadline=None, max_examples=120)
def test_padding_is_the_integer_0_on_grids_without_it(
    isa: str, grid: Grid, weights: Grid, channels: int, groups: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    parts = channels if groups == "depthwise" else channels // 8 if groups == "eights" and channels % 8 == 0 else 1
    kernel, dilation = ([int(number) for number in rng.integers(1, most, 2)] for most in (6, 3))
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    pads = [int(rng.integers(0, extent[axis % 2])) for axis in range(4)]
    sizes = [max(1, int(rng.integers(1, 8)), extent[axis] - pads[axis] - pads[axis + 2]) for axis in (0, 1)]
    b = Builder()
    if rng.integers(2):  # users' grid, or one of the program's own
        x = b.input((sizes[0], sizes[1], channels), grid)
    else:
        x = b.steps(b.input((sizes[0], sizes[1], channels), Grid.unsigned(8)), rng, grid, kind="rising")
    outs = channels if groups == "depthwise" else parts * int(rng.integers(1, 12))
    window = {"pads": tuple(pads), "stride": tuple(rng.integers(1, 4, 2).tolist()), "dilation": tuple(dilation)}
    y = b.conv(x, rng, outs, weights, (kernel[0], kernel[1]), groups=parts, bias=bool(rng.integers(2)), **window)
    assert_like_golden(b.program(b.steps(y, rng, Grid.odd(2)) if rng.integers(2) else y), seed, isa=isa)


@pytest.mark.parametrize("isa", ISAS)
def test_padded_binary_layers_run_on_bit_planes(isa: str) -> None:
    b, rng = Builder(), np.random.default_rng(0)
    x = b.steps(b.input((7, 7, 64), Grid.unsigned(8)), rng, Grid.bipolar(), kind="rising")
    program = b.program(b.conv(x, rng, 64, Grid.bipolar(), (3, 3), pads=(1, 1, 1, 1)))
    assert_like_golden(program, 0, isa=isa)
    assert Session(program, isa=isa).layers[-1].kernel.startswith("conv_bits")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", range(9, 17))
def test_linear_layers_take_activations_up_to_16_bits(isa: str, bits: int) -> None:
    b = Builder()
    x = b.input((1, 1, 100), Grid.unsigned(bits))
    for weights in (Grid.odd(1), Grid.odd(2), Grid.narrow(8)):
        assert_like_golden(b.program(b.conv(x, np.random.default_rng(0), 20, weights)), 0, isa=isa)


def test_threads_do_not_change_results() -> None:
    program = chain_program(2, channels=130)
    x = random_inputs(program, 5, 2)
    one, *others = [Session(program, threads=threads).run(x) for threads in (1, 2, 5)]
    assert all(np.array_equal(one[name], other[name]) for other in others for name in one)


def test_large_layers_split_over_threads() -> None:
    b = Builder()
    x = b.input((14, 14, 64), Grid.unsigned(2))
    y = b.steps(
        b.conv(x, np.random.default_rng(0), 200, Grid.odd(1), (3, 3)), np.random.default_rng(1), Grid.unsigned(2)
    )
    program = b.program(b.conv(y, np.random.default_rng(2), 150, Grid.odd(2), (12, 12)))
    for threads in (2, 3):
        assert_like_golden(program, 0, threads=threads)


def test_any_layout_in_memory_is_read() -> None:
    program = chain_program(0)
    x = random_inputs(program, 4, 0)["image"]
    want = program.run(x)
    session = Session(program)
    layouts = {
        "uint8": x.astype(np.uint8),
        "int16": x.astype(np.int16),
        "int64": x,
        "channels first, seen as last": np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        .transpose(0, 2, 3, 1)
        .astype(np.uint8),
        "a cut-out": np.pad(x, ((0, 0), (2, 3), (4, 1), (0, 0))).astype(np.uint8)[:, 2:-3, 4:-1],
        "every second image": np.repeat(x.astype(np.uint8), 2, axis=0)[::2],
        "backwards": x.astype(np.uint8)[::-1][::-1],
        "other byte order": x.astype(">i4"),
    }
    for layout, array in layouts.items():
        got = session.run(array)
        assert all(np.array_equal(got[name], want[name]) for name in want), layout


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_inputs_are_quantized_as_by_golden(dtype: type) -> None:
    program = chain_program(0)
    x = np.random.default_rng(0).normal(0.5, 0.5, (3, 9, 7, 3)).astype(dtype)
    got, want = Session(program).run(x), program.run(x)
    assert all(np.array_equal(got[name], want[name]) for name in want)


def test_real_outputs_are_scaled() -> None:
    b = Builder()
    name = b.input((1, 1, 2), Grid.unsigned(4), scale=0.5)
    b.graph.values[name] = b.graph.values[name].with_(offset=np.array([1.0, 2.0], np.float32))
    out = Session(b.program(name)).run(np.array([[[[4, 6]]]]), real=True)[name]
    assert out.dtype == np.float32
    assert out.ravel().tolist() == [3.0, 5.0]


def test_description() -> None:
    session = Session(chain_program(0), threads=1, isa="portable")
    assert session.inputs["image"].shape == (9, 7, 3)
    assert session.inputs["image"].grid == Grid.unsigned(8)
    assert session.inputs["image"].scale == np.float32(1 / 255)
    assert [tensor.shape for tensor in session.outputs.values()] == [(1, 1, 10)]
    assert session.threads == 1
    assert session.arena_bytes > 0
    assert session.layers[0] == Layer("conv0", "conv+steps", "steps1", "conv_bytes", "planes", (9, 7, 3), (9, 7, 5))


def test_what_the_file_says_of_itself() -> None:
    program = chain_program(0)
    program.graph.metadata.update({"name": "ä net", "classes": "one\ntwo" * 300, "licence": ""})
    assert Session(program).metadata == {**program.metadata, "tool": Session(program).metadata["tool"]}


def test_a_path_and_bytes_are_the_same(tmp_path: Path) -> None:
    program = chain_program(0)
    program.save(tmp_path / "m.bitlens")
    x = random_inputs(program, 2, 0)
    runs = [
        Session(source).run(x)
        for source in (
            program,
            program.to_bytes(),
            bytearray(program.to_bytes()),
            tmp_path / "m.bitlens",
            str(tmp_path / "m.bitlens"),
        )
    ]
    assert all(np.array_equal(run[name], runs[0][name]) for run in runs for name in run)


def test_symbolic_sizes_are_planned_for() -> None:
    b = Builder()
    x = b.input((None, None, 3), Grid.unsigned(8))
    b.graph.values[x] = b.graph.value(x).with_(multiples=(2, 4))
    program = b.program(b.conv(x, np.random.default_rng(0), 4, Grid.odd(1), (3, 3)))
    for size in ((4, 8), (10, 4)):
        inputs = random_inputs(program, 1, 0, size)
        out = Session(program, size=size).run(inputs)
        assert all(np.array_equal(out[name], want) for name, want in program.run(inputs).items())
    with pytest.raises(
        SessionError, match=r"^image: height must be given, a positive multiple of 2: the program leaves its size open$"
    ):
        Session(program)
    with pytest.raises(SessionError, match=r"^image: width must be given as a positive multiple of 4, not 6$"):
        Session(program, size=(4, 6))
    with pytest.raises(SessionError, match=r"^image: height must be 9, not 10$"):
        Session(chain_program(0), size=(10, 7))


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((9, 7, 3), np.uint8), "image: shape must be (N, 9, 7, 3), not (9, 7, 3)"),
        (np.zeros((1, 9, 8, 3), np.uint8), "image: shape must be (N, 9, 7, 3), not (1, 9, 8, 3)"),
        (np.zeros((1, 9, 7, 3), bool), "image: dtype must be an integer or float type, not bool"),
        (np.full((1, 9, 7, 3), "a"), "image: dtype must be an integer or float type, not <U1"),
        (np.full((1, 9, 7, 3), 256), "image: every integer must be on the grid unsigned 8, not 256"),
        (np.full((1, 9, 7, 3), -1, np.int32), "image: every integer must be on the grid [0, 255] by 1, not -1"),
        (np.full((1, 9, 7, 3), np.nan), "image: every number must be finite, not nan"),
        ({}, "inputs: names must be image, not none"),
        ({"image": np.zeros((1, 9, 7, 3)), "mask": np.zeros(1)}, "inputs: names must be image, not image, mask"),
    ],
)
def test_wrong_inputs(x: object, sentence: str) -> None:
    with pytest.raises(SessionError, match=f"^{re.escape(sentence)}$"):
        Session(chain_program(0)).run(x)  # type: ignore[arg-type]


def test_inputs_of_two_batch_sizes() -> None:
    b = Builder()
    y = b.op("add", b.input((1, 1, 1), Grid.unsigned(8), "a"), b.input((1, 1, 1), Grid.unsigned(8), "b"))
    session = Session(b.program(y))
    with pytest.raises(SessionError, match=r"^inputs: all must have one batch size, not {'a': 1, 'b': 2}$"):
        session.run({"a": np.zeros((1, 1, 1, 1), int), "b": np.zeros((2, 1, 1, 1), int)})
    with pytest.raises(SessionError, match=r"^inputs: must be given by name \(a, b\), not as one array$"):
        session.run(np.zeros((1, 1, 1, 1), int))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"threads": 0}, "threads: must be an integer from 1 to 2147483647, not 0"),
        ({"threads": 1 << 31}, "threads: must be an integer from 1 to 2147483647, not 2147483648"),
        ({"threads": 1.5}, "threads: must be an integer from 1 to 2147483647, not 1.5"),
        ({"isa": "sse"}, "isa: must be portable, avx2, avx512 or neon, not sse"),
        ({"isa": 2}, "isa: must be portable, avx2, avx512 or neon, not 2"),
        *(
            ({"size": size}, f"size: must be (height, width), integers from 1 to 2147483647, not {size}")
            for size in [(0, 4), (1 << 40, 1), (8.0, 8.0), (8,), 5]
        ),
    ],
)
def test_wrong_options(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(SessionError, match=f"^{re.escape(sentence)}$"):
        Session(chain_program(0), **options)  # type: ignore[arg-type]


def test_threads_past_64_count_as_64() -> None:
    assert Session(chain_program(0), threads=(1 << 31) - 1).threads == 64


def test_the_environment_chooses_the_isa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITLENS_ISA", "portable")
    assert all("avx" not in layer.kernel for layer in Session(chain_program(0)).layers)
    monkeypatch.setenv("BITLENS_ISA", "mmx")
    with pytest.raises(SessionError, match=r"^BITLENS_ISA: must be portable, avx2, avx512 or neon, not mmx$"):
        Session(chain_program(0))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    data = chain_program(0).to_bytes()
    path = tmp_path / "m.bitlens"
    path.write_bytes(data[:-1])
    with pytest.raises(
        SessionError, match=f"^{path}: length must be {len(data)} bytes as its header says, not {len(data) - 1}$"
    ):
        Session(path)
    sentence = "file: the first 8 bytes must be 89 42 49 54 4c 45 4e 53 (.bitlens), not none"
    with pytest.raises(SessionError, match=f"^{re.escape(sentence)}$"):
        Session(b"")
    with pytest.raises(FileNotFoundError):
        Session(tmp_path / "none")
    with pytest.raises(SessionError, match=r"^source: must be a path, bytes or a Program, not None$"):
        Session(None)  # type: ignore[arg-type]


def test_an_empty_batch() -> None:
    assert next(iter(Session(chain_program(0)).run(np.zeros((0, 9, 7, 3), np.uint8)).values())).shape == (0, 1, 1, 10)


def test_a_session_serves_threads_at_once() -> None:
    program = chain_program(4, channels=66)
    x = random_inputs(program, 4, 4)
    session, want = Session(program, threads=2), program.run(x)
    wrong: list[str] = []

    def work() -> None:
        for _ in range(20):
            got = session.run(x)
            wrong.extend(name for name in want if not np.array_equal(got[name], want[name]))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


_FORK = """
import os, sys, warnings
import numpy as np
from bitlens.runtime import Session
warnings.simplefilter("ignore", DeprecationWarning)  # the interpreter's own warning about fork and threads
session = Session(sys.argv[1], threads=3)
x = np.load(sys.argv[2])
want = session.run(x)
child = os.fork()
same = all(np.array_equal(session.run(x)[name], want[name]) for name in want for _ in range(20))
if child == 0:
    os._exit(0 if same else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not same)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_runs_too(tmp_path: Path) -> None:
    program = chain_program(5, channels=64)
    program.save(tmp_path / "m.bitlens")
    np.save(tmp_path / "x.npy", random_inputs(program, 6, 5)["image"])
    done = subprocess.run(
        [sys.executable, "-c", _FORK, tmp_path / "m.bitlens", tmp_path / "x.npy"], timeout=60, check=False
    )
    assert done.returncode == 0


_ALONE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "onnxruntime", "sklearn"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from bitlens.runtime import Session
session = Session(sys.argv[1])
shape = next(iter(session.inputs.values())).shape
print(*(array.shape for array in session.run(np.zeros((2, *shape), np.uint8)).values()))
assert not {"torch", "onnx", "bitlens.graph", "bitlens.passes"} & sys.modules.keys(), sys.modules.keys()
"""


def test_running_needs_numpy_alone(tmp_path: Path) -> None:
    chain_program(0).save(tmp_path / "m.bitlens")
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, tmp_path / "m.bitlens"], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("(2, 1, 1, 10)\n", "")


@pytest.mark.parametrize("isa", ISAS)
def test_every_input_is_kept_until_its_first_reader(isa: str) -> None:
    """The first input is converted at once and not read again; the second must not take its place before that."""
    b, rng = Builder(), np.random.default_rng(0)
    image, other = b.input((4, 8, 3), Grid.unsigned(8), "image"), b.input((4, 8, 3), Grid.unsigned(1), "other")
    b.op("flatten", image)
    b.conv(image, rng, 65, Grid.odd(6), (2, 4))
    total = b.op("sum_pool", other, **window_attrs((3, 1), (3, 1), (2, 0, 0, 0)))
    assert_like_golden(b.program("image", total), 0, isa=isa, threads=1)
