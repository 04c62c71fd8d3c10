# SPDX-License-Identifier: Apache-2.0
import numpy as np

import bitlens
from qonnx_models import ModelBuilder
from stages import assert_refused


def crop(b: ModelBuilder, x: str, like: str, name: str = "cut") -> str:
    size = b.op("Shape", like, start=2, end=4)
    return b.op("Slice", x, b.constant([0, 0], np.int64), size, b.constant([2, 3], np.int64), name=name)


def test_a_crop_follows_any_size() -> None:
    b = ModelBuilder(("N", 2, "H", "W"))
    image = b.image()
    half = b.quant(b.op("Relu", b.conv(image, np.ones((2, 2, 3, 3)), strides=[2, 2], pads=[1, 1, 1, 1])), 8.0, 2)
    large = b.op("Resize", half, "", b.constant([1, 1, 2, 2]), mode="nearest")
    program = bitlens.compile(b.model(crop(b, large, "image")))
    assert [node.op for node in program.graph] == ["conv", "steps", "upsample", "crop"]
    assert program.graph.value("image").multiples == (1, 1)
    for size in ((7, 5), (8, 8), (9, 4)):
        x = np.random.default_rng(0).integers(0, 256, (2, *size, 2))
        kept = program.run(x, keep=True)
        codes = kept[program.graph.nodes[1].output]
        wanted = codes.repeat(2, 1).repeat(2, 2)[:, : size[0], : size[1]]
        (found,) = bitlens.Session(program, size=size).run(x.astype(np.uint8)).values()
        assert np.array_equal(found, wanted)


def test_a_crop_of_real_values_goes_behind_their_quantizer() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    image = b.image()
    half = b.conv(image, np.ones((2, 2, 2, 2)), strides=[2, 2])
    small = b.conv(image, np.ones((2, 2, 4, 4)), name="small")
    cut = crop(b, b.batch_norm(half, [1, 1], [0, 0], [0, 0], [1, 1]), b.op("Relu", small))
    program = bitlens.compile(b.model(b.quant(b.op("Relu", cut), 8.0, 2)))
    ops = {node.name: node for node in program.graph}
    assert [node.op for node in program.graph if node.op not in ("conv",)] == ["steps", "crop"]
    assert ops["cut"].inputs[1] == "small"


def test_what_only_a_size_was_read_of_is_gone() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    cut = crop(b, b.image(), b.op("Relu", "image"))
    assert [node.op for node in bitlens.compile(b.model(cut)).graph] == ["crop"]


def test_other_slices_of_maps_are_refused() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    axes = b.constant([2, 3], np.int64)
    cut = b.op("Slice", b.image(), b.constant([1, 0], np.int64), b.op("Shape", "image", start=2, end=4), axes, name="s")
    assert_refused(
        b.model(cut),
        "s: Slice must have constant numbers or the size of a map, not computed ones (shape_1); slice outside the model",
    )
