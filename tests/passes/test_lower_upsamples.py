# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import bitlens
from bitlens.graph.graph import Node
from qonnx_models import ModelBuilder
from stages import after, assert_refused, only


def upsample(b: ModelBuilder, x: str) -> Node:
    return only(after(b.model(x), "lower_upsamples"), "upsample")


@pytest.mark.parametrize(
    ("attrs", "inserted", "pads"),
    [
        ({"strides": [2, 2]}, (0, 0, -1, -1), (2, 2, 2, 2)),
        ({"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 0]}, (0, 0, 0, -2), (1, 2, 1, 0)),
        ({"strides": [1, 1], "pads": [3, 4, 2, 2]}, (-1, -2, 0, 0), (0, 0, 0, 0)),
        ({"strides": [2, 2], "dilations": [2, 1], "pads": [1, 1, 1, 1]}, (0, 0, -1, -1), (3, 1, 3, 1)),
    ],
)
def test_a_transposed_convolution_is_zero_insertion_and_a_convolution(
    attrs: dict[str, list[int]], inserted: tuple[int, ...], pads: tuple[int, ...]
) -> None:
    b = ModelBuilder(("N", 2, 5, 5))
    weights = np.arange(2 * 3 * 9).reshape(2, 3, 3, 3)
    x = b.op("ConvTranspose", b.image(), b.weights(weights), name="up", **attrs)
    graph = after(b.model(x), "lower_upsamples")
    assert only(graph, "upsample").attrs == {"factor": tuple(attrs["strides"]), "repeat": 0, "pads": inserted}
    conv = only(graph, "Conv")
    assert (conv.attrs["pads"], conv.attrs["strides"]) == (pads, (1, 1))
    assert np.array_equal(graph.constants[conv.inputs[1]], weights.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])


def test_a_kernel_of_one_1_is_zero_insertion_alone() -> None:
    b = ModelBuilder(("N", 2, 3, 3))
    x = b.op("ConvTranspose", b.image(), b.constant(np.ones((2, 1, 1, 1))), strides=[2, 2], group=2, name="zeros")
    program = bitlens.compile(b.model(x))
    assert [node.op for node in program.graph] == ["upsample"]
    image = np.arange(1, 19).reshape(1, 3, 3, 2)
    large = program.run(image)[program.graph.output_names["zeros"]]
    assert large.shape == (1, 5, 5, 2)
    assert np.array_equal(large[:, ::2, ::2], image)
    assert large.sum() == image.sum()


@pytest.mark.parametrize(
    "attrs",
    [
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {},
        {"coordinate_transformation_mode": "pytorch_half_pixel"},
    ],
)
def test_a_nearest_resize_by_whole_factors_repeats_pixels(attrs: dict[str, str]) -> None:
    b = ModelBuilder(("N", 2, 3, 3))
    x = b.op("Resize", b.image(), "", b.constant([1, 1, 2, 3]), mode="nearest", **attrs)
    assert upsample(b, x).attrs == {"factor": (2, 3), "repeat": 1, "pads": (0, 0, 0, 0)}


def test_sizes_may_stand_in_place_of_scales() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    x = b.op("Resize", b.image(), "", "", b.constant([1, 2, 6, 4], np.int64), mode="nearest")
    assert upsample(b, x).attrs["factor"] == (2, 1)


def test_upsample_of_old_operator_sets() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    x = b.op("Upsample", b.image(), b.constant([1, 1, 2, 2]), mode="nearest")
    program = bitlens.compile(b.model(x, opset=9))
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 2))
    (large,) = program.run(image).values()
    assert np.array_equal(large, image.repeat(2, 1).repeat(2, 2))


def test_an_upsampling_of_real_values_goes_behind_the_quantizer() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    x = b.conv(b.image(), np.ones((2, 2, 1, 1)))
    x = b.op(
        "Resize", b.batch_norm(x, [1, -1], [0.1, 0.2], [0, 0], [1, 1]), "", b.constant([1, 1, 2, 2]), mode="nearest"
    )
    program = bitlens.compile(b.model(b.quant(b.op("Relu", x), 1 / 3, 2)))
    assert [node.op for node in program.graph] == ["conv", "steps", "upsample"]


def test_pads_of_the_image_go_behind_its_quantizer() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    x = b.quant(b.op("Pad", "image", b.constant([0, 0, 1, 2, 0, 0, 0, -1], np.int64), name="pad"), 1 / 255, 8)
    program = bitlens.compile(b.model(b.conv(x, np.ones((2, 2, 1, 1)))))
    assert [node.op for node in program.graph] == ["upsample", "conv"]
    assert program.graph.nodes[0].attrs["pads"] == (1, 2, 0, -1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda b: b.op("Resize", b.image(), "", b.constant([1, 1, 2, 2]), mode="linear", name="r"),
            "r: mode of Resize must be nearest, not linear; resize outside",
        ),
        (
            lambda b: b.op("Resize", b.image(), "", b.constant([1, 1, 1.5, 2]), mode="nearest", name="r"),
            "r: Resize must enlarge height and width by whole factors, not (None, 2, 4, 4) by (1.0, 1.0, 1.5, 2.0); "
            "export with constant whole scales",
        ),
        (
            lambda b: b.op(
                "Resize",
                b.image(),
                "",
                b.constant([1, 1, 2, 2]),
                coordinate_transformation_mode="align_corners",
                nearest_mode="floor",
                name="r",
            ),
            "r: Resize must repeat every pixel equally often, not as align_corners with floor does by 2; "
            "export it asymmetric with floor",
        ),
        (
            lambda b: b.op(
                "Resize",
                b.image(),
                "",
                b.constant([1, 1, 2, 2]),
                coordinate_transformation_mode="tf_crop_and_resize",
                name="r",
            ),
            "r: coordinate_transformation_mode must be one that takes whole images, not tf_crop_and_resize; resize outside",
        ),
        (
            lambda b: b.op("Pad", b.image(), b.constant([0] * 8, np.int64), mode="reflect", name="p"),
            "p: Pad must add zeros, not reflect; pad with the constant 0",
        ),
        (
            lambda b: b.op("Pad", b.image(), b.constant([0] * 8, np.int64), b.constant(1.0), name="p"),
            "p: Pad must add zeros, not another constant; pad with the constant 0",
        ),
        (
            lambda b: b.op("Pad", b.image(), b.constant([0, 1, 0, 0, 0, 0, 0, 0], np.int64), name="p"),
            "p: Pad must widen height and width of (N, C, H, W), not (None, 2, 4, 4) to (None, 3, 4, 4)",
        ),
        (
            lambda b: b.op("ConvTranspose", b.image(), b.op("Relu", b.image()), name="t"),
            "t: inputs of ConvTranspose must fit, not (None, 2, 4, 4), (None, 2, 4, 4): weights must be (C, O/group, kh, kw) "
            "for (N, C, H, W), not (None, 2, 4, 4) for (None, 2, 4, 4)",
        ),
    ],
)
def test_refusals(make, sentence: str) -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    assert_refused(b.model(make(b)), sentence)
