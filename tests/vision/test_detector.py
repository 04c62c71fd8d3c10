# SPDX-License-Identifier: Apache-2.0
"""The face detector beside loops over the maps of the golden interpreter."""

import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import bitlens
from bitlens.graph.file import Program
from bitlens.models import DigitsNet, FaceDetectorNet
from bitlens.nn import QuantConv2d, freeze
from bitlens.qonnx.export import export
from bitlens.quant import Spec
from bitlens.runtime import Session, SessionError
from bitlens.vision import FaceDetector, VisionError
from bitlens.vision import detector as detector_module


@pytest.fixture(scope="module")
def program() -> Program:
    """A net of random weights whose heat is often above 0."""
    torch.manual_seed(3)
    net = FaceDetectorNet(Spec.parse("w1a2"), width=8)
    net(torch.rand(4, 1, 96, 96))
    with torch.no_grad():
        net.head.weight.mul_(3)
        net.head.bias[0] = 0.0  # type: ignore[index]
        heat = torch.cat([cells[:, 0].flatten() for cells in net.eval()(torch.rand(4, 1, 96, 96)).values()])
        net.head.bias[0] = -heat.median()  # type: ignore[index]
    return bitlens.compile(export(freeze(net.eval()), torch.zeros(1, 1, 64, 64), symbolic=True))


def _slow(program: Program, luma: npt.NDArray[np.uint8], threshold: float) -> list[tuple[float, ...]]:
    """(score, left, top, right, bottom, ten of landmarks) of every face, best first."""
    maps = program.run(luma[None, :, :, None])
    graph = program.graph
    names = {graph.output_names.get(name, name): name for name in graph.outputs}
    found = []
    for output, integers in maps.items():
        stride, value = int(output.removeprefix("stride")), graph.value(names[output])
        scale, offset = np.broadcast_to(value.scale, 15), np.broadcast_to(value.offset, 15)
        heat = integers[0, :, :, 0]
        for i, j in np.ndindex(heat.shape):
            real = [float(np.float32(integers[0, i, j, c]) * scale[c] + offset[c]) for c in range(15)]
            around = heat[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
            if 1 / (1 + math.exp(-real[0])) < threshold or heat[i, j] < around.max():
                continue
            x, y = stride * j + 0.5, stride * i + 0.5
            box = (x - stride * real[1], y - stride * real[2], x + stride * real[3], y + stride * real[4])
            points = [base + stride * real[5 + k] for k, base in enumerate([x, y] * 5)]
            found.append((real[0], *box, *points))
    stays: list[tuple[float, ...]] = []
    for one in sorted(found, key=lambda face: -face[0]):
        if all(_nesting(one[1:5], other[1:5]) <= 0.5 for other in stays):
            stays.append(one)
    height, width = luma.shape
    cut = [
        (s, min(max(a, 0), width), min(max(b, 0), height), min(max(c, 0), width), min(max(d, 0), height), *rest)
        for s, a, b, c, d, *rest in stays
    ]
    return [face for face in cut if face[3] > face[1] and face[4] > face[2]]


def _nesting(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over the smaller area."""
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / min((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) if shared else 0.0


@pytest.mark.parametrize("size", [(96, 128), (97, 61), (33, 200), (8, 8), (1, 1), (1, 70)])
def test_finds_what_slow_loops_find(program: Program, size: tuple[int, int]) -> None:
    luma = np.random.default_rng(5).integers(0, 256, size).astype(np.uint8)
    luma = luma // 2 + np.arange(size[1], dtype=np.uint8)
    expected = _slow(program, luma, 0.4)
    faces = FaceDetector(program, threads=1, threshold=0.4).detect(luma)
    assert len(faces) == len(expected)
    assert len(faces) > 3 or min(size) < 30  # else nothing is compared
    for face, (heat, left, top, right, bottom, *points) in zip(faces, expected, strict=True):
        assert face.score == pytest.approx(1 / (1 + math.exp(-heat)))
        assert (face.box.left, face.box.top) == pytest.approx((left, top))
        assert (face.box.right, face.box.bottom) == pytest.approx((right, bottom))
        np.testing.assert_allclose(face.landmarks.reshape(-1), points, rtol=1e-5, atol=1e-3)
        assert face.landmarks.dtype == np.float32


def test_the_same_with_any_threads_layout_and_order(program: Program) -> None:
    rng = np.random.default_rng(6)
    pictures = [rng.integers(0, 256, size).astype(np.uint8) for size in ((64, 80), (90, 70), (64, 80), (50, 50))]
    several = FaceDetector(program, threads=2, threshold=0.4)
    for luma in [*pictures, *pictures[::-1]]:
        alone = FaceDetector(program, threads=1, threshold=0.4).detect(luma)
        wide = np.zeros((luma.shape[0], 2 * luma.shape[1]), np.uint8)
        wide[:, ::2] = luma
        for other in (several.detect(luma), several.detect(wide[:, ::2]), several.detect(np.asfortranarray(luma))):
            assert [(f.box, f.score) for f in other] == [(f.box, f.score) for f in alone]


def test_several_threads_share_a_detector(program: Program) -> None:
    rng = np.random.default_rng(8)
    sizes = [(40 + 8 * k, 48) for k in range(6)]  # more than are kept
    pictures = [rng.integers(0, 256, size).astype(np.uint8) for size in sizes]
    alone = FaceDetector(program, threads=1, threshold=0.4)
    expected = [[(face.box, face.score) for face in alone.detect(luma)] for luma in pictures]
    shared = FaceDetector(program, threads=1, threshold=0.4)

    def look(turn: int) -> bool:
        k = turn * 5 % len(pictures) if turn % 2 else turn % len(pictures)
        return [(face.box, face.score) for face in shared.detect(pictures[k])] == expected[k]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, range(120)))


def test_the_sizes_used_last_stay_open(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[int, int]] = []

    class Counted(Session):
        def __init__(self, source: Any, threads: int | None, size: tuple[int, int]) -> None:
            opened.append(size)
            super().__init__(source, threads=threads, size=size)

    monkeypatch.setattr(detector_module, "Session", Counted)
    detector = FaceDetector(program, threads=1)
    for height in (40, 48, 56, 64, 40, 72, 40, 48):  # the fifth size takes the place of 48, not of 40
        detector.detect(np.zeros((height, 40), np.uint8))
    assert [size[0] for size in opened[1:]] == [40, 48, 56, 64, 72, 48]


def test_a_higher_threshold_finds_fewer(program: Program) -> None:
    luma = np.random.default_rng(7).integers(0, 256, (120, 120)).astype(np.uint8)
    counts = [len(FaceDetector(program, 1, threshold).detect(luma)) for threshold in (0.3, 0.5, 0.9, 0.999999)]
    assert counts[0] > 0
    assert counts == sorted(counts, reverse=True)
    assert all(face.score >= 0.5 for face in FaceDetector(program, 1, 0.5).detect(luma))


@pytest.mark.parametrize(
    ("luma", "told"),
    [
        (np.zeros((4, 4, 3), np.uint8), "uint8 (4, 4, 3)"),
        (np.zeros((4, 4), np.float32), "float32 (4, 4)"),
        (np.zeros((0, 4), np.uint8), "uint8 (0, 4)"),
        ([[1]], "list"),
    ],
)
def test_what_is_no_luma_is_told(program: Program, luma: object, told: str) -> None:
    detector = FaceDetector(program, threads=1)
    with pytest.raises(
        VisionError, match=f"^luma: must be uint8 \\(H, W\\) with at least one pixel, not {re.escape(told)}$"
    ):
        detector.detect(luma)  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, math.nan])
def test_a_threshold_must_be_a_score(program: Program, threshold: float) -> None:
    with pytest.raises(VisionError, match=f"^threshold: must be above 0 and below 1, not {threshold}$"):
        FaceDetector(program, threshold=threshold)


def _stating(program: Program, text: str) -> Program:
    graph = program.graph.copy()
    graph.metadata["threshold"] = text
    return Program(graph)


def test_the_programs_own_threshold_is_the_default(program: Program) -> None:
    luma = np.random.default_rng(7).integers(0, 256, (120, 120)).astype(np.uint8)
    for stated, own in ((program, 0.5), (_stating(program, "0.4"), 0.4)):
        detector = FaceDetector(stated, 1)
        assert detector.sure == FaceDetector(stated, 1, 0.3).sure == own
        assert len(detector.detect(luma)) == len(FaceDetector(program, 1, own).detect(luma)) > 0
        assert all(face.score >= own for face in detector.detect(luma))


@pytest.mark.parametrize("text", ["1", "0", "nan", "sure"])
def test_a_program_must_state_a_score(program: Program, text: str) -> None:
    with pytest.raises(VisionError) as error:
        FaceDetector(_stating(program, text), 1)
    assert str(error.value) == f"detector: the model's threshold must be above 0 and below 1, not {text}"


def test_other_programs_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = DigitsNet(Spec.parse("w1a2"))
    net(torch.rand(4, 1, 8, 8))
    digits = bitlens.compile(export(freeze(net.eval()), torch.zeros(1, 1, 8, 8)))
    with pytest.raises(SessionError):  # of one size
        FaceDetector(digits)
    spec = Spec.parse("w1a2")
    colour = freeze(QuantConv2d(3, 15, 3, bias=False, **_quantizers(spec)).eval())
    with pytest.raises(VisionError, match=r"^detector: model must have one input of luma"):
        FaceDetector(bitlens.compile(export(colour, torch.zeros(1, 3, 9, 9), symbolic=True)))
    few = freeze(QuantConv2d(1, 7, 3, bias=False, **_quantizers(spec)).eval())
    with pytest.raises(
        VisionError, match=r"^detector: outputs must be named strideN and have 15 channels, not scores with 7$"
    ):
        FaceDetector(bitlens.compile(export(few, torch.zeros(1, 1, 9, 9), symbolic=True)))
    damaged = tmp_path / "x.bitlens"
    damaged.write_bytes(b"nonsense")
    with pytest.raises(SessionError, match=re.escape(str(damaged))):
        FaceDetector(damaged)


def _quantizers(spec: Spec) -> dict[str, Any]:
    return {"input_quantizer": spec.input_quantizer(), "weight_quantizer": spec.end_weight_quantizer(spec.first)}
