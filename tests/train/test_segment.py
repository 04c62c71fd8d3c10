# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from torch import nn

from bitlens.data import MaskedDataset, MaskedSplit
from bitlens.train import Segmentation
from bitlens.train.segment import class_weights, confusion, iou

CPU = torch.device("cpu")
NAMES = ("sky", "road", "car")


def small_set(*arguments: object) -> MaskedDataset:
    """Every channel tells the class; id 3 is unlabelled."""
    parts = []
    for seed in range(3):
        masks = np.random.default_rng(seed).integers(0, 4, (10 - seed, 6, 8)).astype(np.uint8)
        images = np.repeat((masks * 60)[..., None], 3, axis=3).astype(np.uint8)
        parts.append(MaskedSplit(images, masks))
    return MaskedDataset(*parts, NAMES)


class Oracle(nn.Module):
    """Reads the class off the red channel, and calls every car a road."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        classes = (x[:, 0] * 255 / 60).round().long().clamp(max=1)
        return nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2).float()


def test_confusion_and_iou_count_labelled_pixels() -> None:
    truths = np.array([[0, 0, 1], [2, 3, 255]], np.uint8)
    results = np.array([[0, 1, 1], [2, 0, 0]])
    counts = confusion(truths, results, 4)
    slow = np.zeros((4, 4), int)
    for truth, result in zip(truths.reshape(-1), results.reshape(-1), strict=True):
        if truth < 4:
            slow[truth, result] += 1
    assert np.array_equal(counts, slow)
    assert iou(confusion(truths, results, 3)).tolist() == [0.5, 0.5, 1.0]
    assert np.isnan(iou(np.zeros((2, 2), int))).all()


def test_weights_are_median_over_frequency() -> None:
    masks = np.array([[[0, 0, 0, 0], [1, 1, 2, 11]], [[1, 1, 1, 1], [1, 1, 11, 11]]], np.uint8)
    # shares of the pixels where a class occurs: 4/8, 8/16, 1/8
    assert class_weights(masks, 4).tolist() == [1.0, 1.0, 4.0, 0.0]


def test_mean_iou_of_whole_test_images() -> None:
    task = Segmentation(small_set, (4, 4)).open(None, None, 3, 0, CPU)
    net = Oracle()
    figures = task.evaluate(net)
    masks = small_set().test.masks
    roads, cars = (masks == 1).sum(), (masks == 2).sum()
    wanted = [1.0, roads / (roads + cars), 0.0]
    assert figures["test_iou"] == pytest.approx(wanted, abs=1e-4)
    assert figures[task.metric] == pytest.approx(np.mean(wanted), abs=1e-6)
    masks = small_set().val.masks
    roads, cars = (masks == 1).sum(), (masks == 2).sum()
    assert figures["val_miou"] == pytest.approx((1 + roads / (roads + cars)) / 3, abs=1e-6)
    masks = small_set().test.masks
    cars = (masks == 2).sum()
    assert figures["test_pixel_accuracy"] == pytest.approx(1 - cars / (masks < 3).sum(), abs=1e-6)
    assert net.training


def test_crops_keep_images_and_masks_together() -> None:
    task = Segmentation(small_set, (4, 5)).open(None, None, 3, 0, CPU)
    assert task.steps == 3
    for step in range(3):
        images, masks = task.batch(1, step)
        assert images.shape == (3, 3, 4, 5)
        assert task.fewest == len(images)
        assert torch.equal((images[:, 0] * 255).round().long(), masks * 60)
        assert all(map(torch.equal, (images, masks), task.batch(1, step)))
    assert not torch.equal(task.batch(0, 0)[1], task.batch(1, 0)[1])


@pytest.mark.parametrize("zoom", [1.5, 3.0])
def test_scaled_crops_keep_images_and_masks_together(zoom: float) -> None:
    rows, columns = np.mgrid[:40, :60]
    masks = np.tile((rows // 20 + (columns >= 30)).astype(np.uint8), (4, 1, 1))
    part = MaskedSplit(np.repeat((masks * 60)[..., None], 3, axis=3), masks)
    task = Segmentation(lambda *_: MaskedDataset(part, part, part, NAMES), (12, 16), zoom).open(None, None, 4, 0, CPU)
    for epoch in range(5):
        images, targets = task.batch(epoch, 0)
        assert images.shape == (4, 3, 12, 16)
        assert targets.shape == (4, 12, 16)
        red = images[:, 0] * 255 / 60
        assert ((red - targets).abs() > 0.3).float().mean() < 0.15  # but for borders, which are smooth
        assert all(map(torch.equal, (images, targets), task.batch(epoch, 0)))


def test_a_crop_without_a_label_costs_nothing() -> None:
    task = Segmentation(small_set, (6, 8)).open(None, None, 2, 0, CPU)
    scores = torch.randn(2, 3, 6, 8, requires_grad=True)
    loss, figures = task.loss(lambda _: scores, torch.zeros(2, 3, 6, 8), torch.full((2, 6, 8), 3))  # type: ignore[arg-type]
    loss.backward()
    assert loss.item() == figures["seen"] == scores.grad.abs().sum() == 0


def test_the_loss_of_an_epoch_counts_labelled_pixels() -> None:
    task = Segmentation(small_set, (6, 8)).open(None, None, 2, 0, CPU)
    images, masks = task.batch(0, 0)
    masks[1] = 3  # nothing of it is labelled
    scores = torch.randn(2, 3, 6, 8)
    whole = [task.loss(lambda _: scores, images, masks)[1]]  # type: ignore[arg-type]
    parts = [task.loss(lambda _, at=at: scores[at : at + 1], images, masks[at : at + 1])[1] for at in range(2)]  # type: ignore[misc]
    sums = [{key: sum(float(figures[key]) for figures in each) for key in each[0]} for each in (whole, parts)]
    assert task.train_figures(sums[0]) == task.train_figures(sums[1])


def test_loss_leaves_unlabelled_pixels_out() -> None:
    task = Segmentation(small_set, (6, 8)).open(None, None, 2, 0, CPU)
    images, masks = task.batch(0, 0)
    scores = torch.randn(2, 3, 6, 8, requires_grad=True)
    loss, figures = task.loss(lambda _: scores, images, masks)  # type: ignore[arg-type]
    weights = torch.from_numpy(class_weights(small_set().train.masks, 3))
    known = masks < 3
    each = -torch.log_softmax(scores, 1).gather(1, masks.clamp(max=2)[:, None])[:, 0][known]
    weight = weights[masks[known]]
    assert loss.item() == pytest.approx(((each * weight).sum() / weight.sum()).item(), rel=1e-5)
    assert figures["seen"] == known.sum()
    loss.backward()
    assert (scores.grad.permute(0, 2, 3, 1)[~known] == 0).all()
    assert task.train_figures({key: float(value) for key, value in figures.items()})["train_loss"] == pytest.approx(
        loss.item(), abs=1e-6
    )
