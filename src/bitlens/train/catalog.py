# SPDX-License-Identifier: Apache-2.0
"""The recipes, one entry each."""

from __future__ import annotations

from functools import partial

from bitlens.data import camvid, cifar10, digits, imagefolder, mnist, ptb, tinyimagenet
from bitlens.models import (
    AlexNet,
    BitFCN,
    DigitsNet,
    DoReFaSVHN,
    FaceClearness,
    FaceDetectorNet,
    FacePose,
    GoogLeNet,
    LanguageModel,
    MobileNet,
    ResNet18,
    ResNet20,
    VGGSmall,
)
from bitlens.models.language import check_language
from bitlens.train.classify import Classification
from bitlens.train.classify_files import FileClassification
from bitlens.train.clearness import ClearnessOfFaces
from bitlens.train.detect import FaceDetection
from bitlens.train.language import LanguageModelling
from bitlens.train.pose import PoseOfFaces
from bitlens.train.recipe import Recipe, TrainError
from bitlens.train.segment import Segmentation

__all__ = ["RECIPES", "find_recipe"]

_IMAGENET = FileClassification(partial(imagefolder, classes=1000), size=224)

_FACES_LICENCE = "research and non-commercial use only: the training pictures are licensed so (LICENSE-WEIGHTS.md)"

_ALL = (
    Recipe(
        name="digits",
        task=Classification(lambda path, cache: digits(), size=8, flip=False, channels=1),
        net=DigitsNet,
        bits="w1a2",
        epochs=30,
        batch=32,
        rate=3e-3,
    ),
    Recipe(
        name="mnist",
        task=Classification(lambda path, cache: mnist(path), size=28, flip=False, channels=1),
        data_set="mnist",
        net=lambda spec: DigitsNet(spec, 28),
        bits="w1a2",
        epochs=5,
    ),
    Recipe(
        name="dorefa_cifar10",
        task=Classification(cifar10, size=40, flip=True),
        data_set="cifar10",
        net=lambda spec: DoReFaSVHN(spec, "B"),
        bits="w1a2g6",
        epochs=15,
        rate=2e-3,
    ),
    Recipe(
        name="dorefa_cifar10_c",
        task=Classification(cifar10, size=40, flip=True),
        data_set="cifar10",
        net=lambda spec: DoReFaSVHN(spec, "C"),
        bits="w1a2g4",
        epochs=10,
        rate=2e-3,
    ),
    Recipe(
        name="resnet20_cifar10",
        task=Classification(cifar10, size=32, flip=True, margin=4),
        data_set="cifar10",
        net=ResNet20,
        bits="w2a2",
        epochs=30,
        rate=0.1,
        optimizer="sgd",
        weight_decay=1e-4,
    ),
    Recipe(
        name="vgg_cifar10",
        task=Classification(cifar10, size=32, flip=True, margin=4),
        data_set="cifar10",
        net=VGGSmall,
        bits="w1a2",
        epochs=30,
        rate=2e-3,
    ),
    Recipe(
        name="mobilenet_cifar10",
        task=Classification(cifar10, size=32, flip=True, margin=4),
        data_set="cifar10",
        net=lambda spec: MobileNet(spec, 10, small=True),
        bits="w4a4",
        epochs=30,
        rate=0.1,
        optimizer="sgd",
        weight_decay=1e-4,
    ),
    Recipe(
        name="googlenet_tinyimagenet",
        task=Classification(tinyimagenet, size=56, flip=True, margin=8),
        data_set="tinyimagenet",
        net=lambda spec: GoogLeNet(spec, 25, width=0.5),
        bits="w4a4,weight=balanced",
        epochs=20,
        rate=2e-3,
    ),
    Recipe(  # rate 1e-4, 1e-5, 1e-6 as in the paper; when, and for how long, as in the authors' code
        name="alexnet_imagenet",
        task=_IMAGENET,
        data_set="imagenet",
        net=AlexNet,
        bits="w1a2g6",
        epochs=100,
        rate=1e-4,
        drops=(0.56, 0.64),
    ),
    Recipe(
        name="resnet18_imagenet",
        task=_IMAGENET,
        data_set="imagenet",
        net=ResNet18,
        bits="w2a2,weight=balanced",
        epochs=90,
        batch=256,
        rate=0.1,
        optimizer="sgd",
        weight_decay=1e-4,
    ),
    Recipe(  # the paper's schedule is not known
        name="googlenet_imagenet",
        task=_IMAGENET,
        data_set="imagenet",
        net=lambda spec: GoogLeNet(spec, 1000, small=False),
        bits="w4a4,weight=balanced",
        epochs=60,
    ),
    Recipe(
        name="bitfcn_camvid",
        task=Segmentation(camvid, crop=(192, 256), zoom=1.25, balance=0.5),
        data_set="camvid",
        net=BitFCN,
        bits="w2a2",
        epochs=60,
        batch=4,
        rate=2e-3,
    ),
    Recipe(
        name="face_clearness",
        task=ClearnessOfFaces(),
        data_set="faces",
        net=FaceClearness,
        bits="w2a2",
        epochs=68,
        batch=32,
        rate=2e-3,
        licence=_FACES_LICENCE,
    ),
    Recipe(
        name="face_pose",
        task=PoseOfFaces(),
        data_set="faces",
        net=FacePose,
        bits="w2a2",
        epochs=20,
        batch=32,
        rate=3e-3,
        licence=_FACES_LICENCE,
    ),
    Recipe(
        name="face_detector",
        task=FaceDetection(),
        data_set="faces",
        net=FaceDetectorNet,
        bits="w1a2",
        epochs=23,
        batch=64,
        rate=2e-3,
        licence=_FACES_LICENCE,
    ),
    Recipe(
        name="lstm_ptb",
        task=LanguageModelling(ptb, unroll=20),
        data_set="ptb",
        net=lambda spec: LanguageModel(spec, "lstm"),
        bits="w2a2,weight=mean",
        epochs=12,
        batch=60,
        rate=8e-3,
        warmup=0.01,
        clip_norm=0.5,
        check=check_language,
    ),
    Recipe(
        name="gru_ptb",
        task=LanguageModelling(ptb, unroll=20),
        data_set="ptb",
        net=lambda spec: LanguageModel(spec, "gru"),
        bits="w2a2,weight=mean",
        epochs=12,
        batch=60,
        rate=8e-3,
        warmup=0.01,
        clip_norm=0.5,
        check=check_language,
    ),
)

RECIPES = {recipe.name: recipe for recipe in _ALL}


def find_recipe(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        TrainError: there is none of this name.
    """
    if name not in RECIPES:
        raise TrainError(f"recipe: name must be one of {', '.join(RECIPES)}, not {name}")
    return RECIPES[name]
