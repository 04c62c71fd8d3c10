# SPDX-License-Identifier: Apache-2.0
import json
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from bitlens.data import DataError, central_box, cut, imagefolder, random_box, read_picture
from bitlens.models.layers import Layers
from bitlens.quant import Spec
from bitlens.results.line import test_images as images_of  # under its own name pytest would collect it
from bitlens.train import RECIPES, FileClassification, Recipe, Task, classify_files, run
from bitlens.train.checkpoint import load_checkpoint
from bitlens.train.loop import Trainer

CPU = torch.device("cpu")
SIZE = 16
CLASSES = 7
SETUP = FileClassification(imagefolder, SIZE)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven classes, three images of each in both parts: noise whose red tells the class, one of each grey or broad."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part in ("train", "val"):
        for number in range(CLASSES):
            place = root / part / f"class{number}"
            place.mkdir(parents=True)
            for i, shape in enumerate(((40, 30), (24, 90), (33, 33))):
                pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
                pixels[..., 0] = 30 * number
                Image.fromarray(pixels).save(place / f"{i}.png")
    return root


def opened(root: Path, batch: int = 4, seed: int = 0) -> Task:
    return SETUP.open(root, None, batch, seed, CPU)


def red(images: Tensor) -> Tensor:
    """The classes that the images tell."""
    return (images[:, 0].mean((1, 2)) * 255 / 30).round().long()


def test_batches_are_random_boxes_of_the_files_in_random_order(root: Path) -> None:
    task, files = opened(root), imagefolder(root).train
    assert task.steps == 5
    order = np.random.default_rng([0, 1, 0]).permutation(len(files))
    for step in range(task.steps):
        images, labels = task.batch(1, step)
        chosen = order[4 * step : 4 * step + 4]
        assert labels.tolist() == files.labels[chosen].tolist() == red(images).tolist()
        for image, number, rng in zip(images, chosen, np.random.default_rng([0, 1, step + 1]).spawn(4), strict=True):
            picture = read_picture(files.files[number])
            slow = cut(picture, random_box(*picture.size, rng), SIZE)
            slow = slow[:, ::-1] if rng.random() < 0.5 else slow
            assert np.array_equal((image * 255).round().permute(1, 2, 0).numpy(), slow)


def test_batches_follow_from_seed_epoch_and_step_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(epoch, step) for epoch in range(2) for step in range(5)]
    task = opened(root)
    in_order = [task.batch(*place) for place in places]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(classify_files, "_AHEAD", 1)
    other = opened(root)
    for i in (7, 8, 2, 2, 9, 0):
        assert all(map(torch.equal, other.batch(*places[i]), in_order[i]))
    assert not torch.equal(in_order[0][0], in_order[5][0])
    assert not torch.equal(in_order[0][0], opened(root, seed=1).batch(0, 0)[0])


def test_processes_share_a_batch_and_decode_nothing_else(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(classify_files, "read_picture", lambda file: read.append(file) or read_picture(file))
    tasks = [opened(root), opened(root)]
    shared = [[task.share(0, step, number, 2) for number, task in enumerate(tasks)] for step in range(2)]
    assert len(read) <= 2 * 2 * (2 + 2)  # two of a batch, two batches and those ahead, two processes
    for step, parts in enumerate(shared):
        for tensor, halves in zip(opened(root).batch(0, step), zip(*parts, strict=True), strict=True):
            assert torch.equal(tensor, torch.cat(halves))


def test_an_only_batch_may_be_incomplete(root: Path) -> None:
    task = opened(root, batch=50)
    assert task.steps == 1
    assert task.fewest == len(task.batch(0, 0)[0])
    assert task.batch(0, 0)[0].shape == (21, 3, SIZE, SIZE)


def test_two_batches_are_decoded_ahead_and_no_more(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def counted(file: str) -> Image.Image:
        threads.append(threading.current_thread())
        return read_picture(file)

    monkeypatch.setattr(classify_files, "read_picture", counted)
    task = opened(root, batch=2)
    task.batch(0, 0)
    for _ in range(500):
        if len(threads) == 6:
            break
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(threads) == 6
    assert threading.current_thread() not in threads


class Reader(nn.Module):
    """Guesses the class that the images tell as its third, the next ones first."""

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        classes = red(x)
        return sum(s * nn.functional.one_hot((classes + i) % CLASSES, CLASSES) for i, s in enumerate((1.0, 2.0, 3.0)))


def test_figures_of_all_test_images(root: Path) -> None:
    task, net = opened(root), Reader()
    assert task.evaluate(net) == {"test_accuracy": 0.0, "test_top5_accuracy": 1.0}
    assert net.training
    assert task.metric == "test_accuracy"


def test_test_images_are_the_middles(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = imagefolder(root).test
    monkeypatch.setitem(RECIPES, "small", SMALL)
    images, labels = images_of("small", str(root), limit=20)
    assert images.shape == (20, SIZE, SIZE, 3)
    assert labels.tolist() == test.labels[:20].tolist()
    picture = read_picture(test.files[1])
    assert np.array_equal(images[1], cut(picture, central_box(*picture.size, SIZE), SIZE))


def small_net(spec: Spec) -> nn.Module:
    layers = Layers(spec)
    return nn.Sequential(layers.first(3, 8, 3), layers.norm(8), layers.average(), layers.last(8, CLASSES))


SMALL = Recipe(
    name="small",
    task=FileClassification(partial(imagefolder, classes=CLASSES), SIZE),
    net=small_net,
    bits="w2a2g6",
    epochs=3,
    batch=4,
)


def test_a_run_stopped_in_the_middle_continues_bit_identically(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "small", SMALL)
    result = run("small", root, tmp_path / "whole", threads=1, every_steps=2)
    step = Trainer._train_step

    def stopped(self: Trainer, x: Tensor, y: Tensor) -> float:
        if (self.epoch, self.step) == (1, 3):
            raise KeyboardInterrupt
        return step(self, x, y)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            run("small", root, tmp_path / "stopped", threads=1, every_steps=2)
    again = run("small", root, tmp_path / "stopped", threads=1, every_steps=2, resume=True)
    assert again["test_accuracy"] == result["test_accuracy"]
    a, b = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "stopped"))
    assert a["net"].keys() == b["net"].keys()
    assert all(torch.equal(a["net"][name], b["net"][name]) for name in a["net"])
    lines = [json.loads(line) for line in (tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["test_top5_accuracy"] for line in lines] == [line["test_top5_accuracy"] for line in a["metrics"]]


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_damaged_image_is_told_and_finished_epochs_are_kept(
    part: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "small", SMALL)
    finish = Trainer._finish_epoch
    file = root / part / "class3" / "1.png"
    kept = file.read_bytes()

    def damage(self: Trainer) -> None:
        finish(self)
        file.write_bytes(b"junk")

    monkeypatch.setattr(Trainer, "_finish_epoch", damage)
    try:
        with pytest.raises(DataError) as caught:
            run("small", root, tmp_path / "run", batch=21)  # every image in every epoch
    finally:
        file.write_bytes(kept)
    assert str(caught.value).startswith(f"{file}: must be an image (cannot identify image file")
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["epoch"] == 1


def test_another_number_of_classes_is_refused_before_the_run_begins(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = FileClassification(partial(imagefolder, classes=1000), SIZE)
    monkeypatch.setitem(RECIPES, "small", Recipe(name="small", task=task, net=small_net, bits="w1a2", epochs=1))
    with pytest.raises(DataError) as caught:
        run("small", root, tmp_path / "run")
    assert str(caught.value) == f"{root / 'train'}: must hold 1000 folders, one for each class, not 7"
    assert not (tmp_path / "run").exists()
