# SPDX-License-Identifier: Apache-2.0
"""The face detection task: what is learned of a scene, and a net that learns it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bitlens.data import DataError
from bitlens.data.scenes import Scene
from bitlens.models import FaceDetectorNet
from bitlens.quant import Spec
from bitlens.train import detect
from bitlens.train.detect import FaceDetection, detection_loss, pack
from bitlens.train.detected import detections, recall, threshold_of
from scene_pictures import write_scene_sets

STRIDES = (8, 16, 32)


def _scene(*boxes: tuple[float, ...], unknown: tuple[tuple[float, ...], ...] = (), marked: bool = True) -> Scene:
    faces = np.array(boxes, np.float32).reshape(-1, 4)
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    landmarks = faces[:, None, :2] + points * faces[:, None, 2:]
    landmarks = landmarks if marked else np.full_like(landmarks, np.nan)
    return Scene(np.zeros((128, 128), np.uint8), faces, landmarks, np.array(unknown, np.float32).reshape(-1, 4))


def _packed(scenes: list[Scene]) -> torch.Tensor:
    return torch.from_numpy(pack(scenes))


def _perfect(scene: Scene, hot: float = 12.0) -> dict[str, torch.Tensor]:
    """Maps that say what is in a scene."""
    maps = {}
    for stride, least, most in zip(STRIDES, (0, 48, 96), (48, 96, np.inf), strict=True):
        cells = torch.zeros(1, 15, -(-128 // stride), -(-128 // stride))
        cells[:, 0] = -hot
        for (left, top, width, height), points in zip(scene.boxes, scene.landmarks, strict=True):
            side = (width * height) ** 0.5
            if not least <= side < most:
                continue
            for i, j in np.ndindex(cells.shape[2:]):
                x, y = stride * j + 0.5, stride * i + 0.5
                sides = np.array([x - left, y - top, left + width - x, top + height - y]) / stride
                cells[0, 1:5, i, j] = torch.from_numpy(sides)
                cells[0, 5:, i, j] = torch.from_numpy(((points - [x, y]) / stride).reshape(-1))
            j, i = (round((a + size / 2 - 0.5) / stride) for a, size in ((left, width), (top, height)))
            cells[0, 0, i, j] = hot
        maps[f"stride{stride}"] = cells
    return maps


@pytest.mark.parametrize("box", [(20, 24, 22, 27), (40, 30, 60, 70), (10, 10, 100, 110)])
def test_maps_that_tell_the_truth_cost_nothing(box: tuple[float, ...]) -> None:
    scene = _scene(box)
    losses = detection_loss(_perfect(scene), _packed([scene]))
    assert losses["box"].item() == pytest.approx(0, abs=1e-4)
    assert losses["landmarks"].item() == pytest.approx(0, abs=1e-4)
    assert losses["heat"].item() < 1e-3
    cold = _perfect(scene, hot=-12.0)
    assert detection_loss(cold, _packed([scene]))["heat"].item() > 10
    boxes, landmarks, heats = detections({k: v[0].permute(1, 2, 0).numpy() for k, v in _perfect(scene).items()})
    np.testing.assert_allclose(boxes[0], [box[0], box[1], box[0] + box[2], box[1] + box[3]], atol=1e-3)
    np.testing.assert_allclose(landmarks[0], scene.landmarks[0], atol=1e-3)
    assert heats.tolist() == [12.0]


def test_heat_where_there_is_no_face_costs() -> None:
    scene = _scene()
    maps = _perfect(scene)
    assert detection_loss(maps, _packed([scene]))["heat"].item() < 1e-3
    maps["stride16"][0, 0, 3, 3] = 5.0
    assert detection_loss(maps, _packed([scene]))["heat"].item() > 1


def test_heat_in_unknown_regions_costs_nothing_but_on_faces() -> None:
    scene = _scene((20, 24, 22, 27), unknown=((0, 0, 128, 128),))
    maps = _perfect(scene)
    maps["stride8"][0, 0, 12, 12] = maps["stride32"][0, 0, 3, 3] = 8.0
    assert detection_loss(maps, _packed([scene]))["heat"].item() < 1e-3
    maps["stride8"][0, 0] = -12.0
    assert detection_loss(maps, _packed([scene]))["heat"].item() > 10


def test_faces_between_two_ranges_are_no_concern_of_the_other_map() -> None:
    scene = _scene((30, 30, 42, 50))  # a side of 45.8: of stride 8, but near to stride 16's
    maps = _perfect(scene)
    maps["stride16"][0, 0, 3, 3] = 8.0
    assert detection_loss(maps, _packed([scene]))["heat"].item() < 1e-3
    maps["stride32"][0, 0, 2, 2] = 8.0
    assert detection_loss(maps, _packed([scene]))["heat"].item() > 1


def _slow_heat(scenes: list[Scene], side: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Heat and weight cell by cell: unknown regions and faces of nearly this map's size are masked, its own faces are not."""
    least, most = (0, 48) if stride == 8 else (48, 96) if stride == 16 else (96, np.inf)
    heat, weight = np.zeros((2, len(scenes), side // stride, side // stride))
    weight[:] = 1
    places = np.arange(side // stride) * stride + 0.5
    for n, scene in enumerate(scenes):
        for left, top, width, height in scene.unknown:
            inside = ((top <= places) & (places < top + height))[:, None] & ((left <= places) & (places < left + width))
            weight[n][inside] = 0
        singles = []
        for left, top, width, height in scene.boxes.astype(np.float64):
            reach = (0.12 * np.sqrt(width * height)) ** 2
            y, x = places - top - height / 2, places - left - width / 2
            square = y[:, None] ** 2 + x**2
            single = np.exp((square.min() - square) / (2 * reach))
            singles.append((np.sqrt(width * height), single))
        for size, single in singles:
            if not least <= size < most and least / 1.25 <= size < most * 1.25:
                weight[n][single > 0.05] = 0
        for size, single in singles:
            if least <= size < most:
                heat[n] = np.maximum(heat[n], single)
                weight[n][single > 0.01] = 1
    return heat, weight


@pytest.mark.parametrize("stride", STRIDES)
def test_the_heat_to_be_learned_is_that_of_a_slow_model(stride: int) -> None:
    rng = np.random.default_rng(stride)
    scenes = []
    for faces, others in ((3, 1), (0, 2), (5, 0), (0, 0), (2, 2)):
        sizes = np.exp(rng.uniform(np.log(14), np.log(140), faces + others))
        rows = np.stack([*rng.uniform(-10, 110, (2, len(sizes))), sizes, sizes * 1.2], 1).round(1)
        scenes.append(_scene(*rows[:faces], unknown=tuple(rows[faces:])))
    packed = _packed(scenes)
    cells = torch.zeros(len(scenes), 15, 128 // stride, 128 // stride)
    scene, row = torch.nonzero(packed[:, :, -1] == 1, as_tuple=True)
    blank, blank_row = torch.nonzero(packed[:, :, -1] == 2, as_tuple=True)
    known, sides = packed[scene, row], (packed[scene, row, 2] * packed[scene, row, 3]).sqrt()
    least, most = (0, 48) if stride == 8 else (48, 96) if stride == 16 else (96, np.inf)
    own, near = (sides >= least) & (sides < most), (sides >= least / 1.25) & (sides < most * 1.25)
    around = detect._around(cells, known, stride)
    heat, weight = detect._heat(cells, scene, around, own, near & ~own, blank, packed[blank, blank_row], stride)
    wanted = _slow_heat(scenes, 128, stride)
    np.testing.assert_allclose(heat, wanted[0], atol=1e-5)
    assert np.array_equal(weight, wanted[1])


def test_a_face_between_four_cells_is_hot_in_all() -> None:
    known = torch.tensor([[16.5, 12.5, 24.0, 24.0], [17.5, 12.5, 24.0, 24.0]])  # middles (28.5, 24.5) and (29.5, 24.5)
    heat = detect._around(torch.zeros(1, 15, 8, 8), known, 8)
    assert (heat[0] == 1).nonzero().tolist() == [[3, 3], [3, 4]]
    assert (heat[1] == 1).nonzero().tolist() == [[3, 4]]
    assert 0.2 < heat[1, 3, 3] < 0.5


def test_boxes_without_landmarks_teach_boxes_alone() -> None:
    scene = _scene((40, 30, 60, 70), marked=False)
    maps = {name: torch.zeros_like(cells, requires_grad=True) for name, cells in _perfect(scene).items()}
    losses = detection_loss(maps, _packed([scene]))
    assert losses["landmarks"].item() == 0
    assert losses["box"].item() > 1
    sum(losses.values()).backward()  # type: ignore[union-attr]
    gradient = maps["stride16"].grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert not gradient[:, 5:].any()
    assert gradient[:, 1:5].any()


def test_scenes_without_faces_have_finite_gradients() -> None:
    net = FaceDetectorNet(Spec.parse("w1a2"), width=8)
    losses = detection_loss(net(torch.rand(2, 1, 64, 64)), _packed([_scene(), _scene()]))
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    assert losses["box"].item() == losses["landmarks"].item() == 0


def test_packing_pads_with_nothing() -> None:
    packed = pack([_scene(), _scene((1, 2, 3, 4), (5, 6, 7, 8), unknown=((0, 0, 9, 9),))])
    assert packed.shape == (2, 3, 15)
    assert packed.dtype == np.float32
    assert np.isnan(packed[0]).all()
    assert packed[1, :, -1].tolist() == [1, 1, 2]
    assert packed[1, 1, :4].tolist() == [5, 6, 7, 8]


def test_a_threshold_lets_two_false_alarms_in_100_pictures_pass() -> None:
    heats = [np.array([float(k), -3.0]) for k in range(90)] + [np.zeros(0)] * 10
    found = [(np.zeros((len(heat), 4)), np.zeros((len(heat), 5, 2)), heat) for heat in heats]
    threshold = threshold_of(found)
    assert threshold == np.nextafter(87.0, np.inf)
    assert sum(int((heat >= threshold).sum()) for heat in heats) == 2
    assert threshold_of(found[90:]) == -4.0  # nothing below is looked at


def test_recall_counts_faces_of_twenty_pixels_that_are_overlapped_by_half() -> None:
    scene = _scene((10, 10, 20, 20), (50, 50, 30, 30), (90, 90, 19, 19))
    boxes = np.array([[10, 10, 30, 25], [50, 50, 80, 64], [0, 0, 5, 5.0]])  # 0.75, 0.47 and nothing
    found = boxes, np.zeros((3, 5, 2)), np.array([1.0, 2.0, 3.0])
    assert recall([found], [scene], 0.0) == 0.5
    assert recall([found], [scene], 1.5) == 0.0
    assert recall([found], [_scene()], 0.0) == 0.0


def test_a_net_learns_on_small_sets(tmp_path: Path) -> None:
    task = FaceDetection(small=96, large=128).open(write_scene_sets(tmp_path), None, 4, 0, torch.device("cpu"))
    assert task.fewest == min(len(task.batch(0, step)[0]) for step in range(4)) == 2
    torch.manual_seed(0)
    net = FaceDetectorNet(Spec.parse("w32a32"), width=8)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    sums: dict[str, float] = {}
    history = []
    for step in range(40):
        inputs, targets = task.batch(0, step)
        assert inputs.shape == ((4, 1, 96, 96) if step % 4 != 3 else (2, 1, 128, 128))
        loss, figures = task.loss(net, inputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
        sums = {key: sums.get(key, 0.0) + value for key, value in figures.items()}
    assert np.mean(history[-10:]) < 0.7 * np.mean(history[:10])
    assert {*task.train_figures(sums)} == {"train_loss", "train_heat", "train_box", "train_landmarks"}
    figures = task.evaluate(net)
    assert net.training
    assert {*figures} == {"val_recall", "val_threshold"}
    assert 0 <= figures[task.metric] <= 1
    assert len(task.empty) == 20  # ten views of two photographs


def test_a_step_follows_from_seed_epoch_and_step_alone(tmp_path: Path) -> None:
    write_scene_sets(tmp_path)
    one, other = (FaceDetection(small=64, large=64).open(tmp_path, None, 2, 5, torch.device("cpu")) for _ in range(2))
    for step in range(3):
        one.batch(0, step)
    for left, right in zip(one.batch(1, 3), other.batch(1, 3), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True)


def test_data_must_be_given() -> None:
    with pytest.raises(DataError, match=r"^faces: a data folder must be given \(--data DIR\), not none$"):
        FaceDetection().open(None, None, 1, 0, torch.device("cpu"))
