# SPDX-License-Identifier: Apache-2.0
"""Readers of public data sets, and augmentation (numpy)."""

from bitlens.data.augment import centred, random_places, scattered
from bitlens.data.camvid import MaskedDataset, MaskedSplit, camvid
from bitlens.data.cifar10 import cifar10
from bitlens.data.crops import central_box, cut, random_box
from bitlens.data.dataset import DataError, Dataset, Split
from bitlens.data.digits import digits
from bitlens.data.faces import FacePicture, LabelledFace, faces
from bitlens.data.idx import read_idx
from bitlens.data.imagefolder import FileDataset, FileSplit, imagefolder, read_picture
from bitlens.data.mnist import mnist
from bitlens.data.ptb import Corpus, ptb
from bitlens.data.tinyimagenet import tinyimagenet

__all__ = [
    "Corpus",
    "DataError",
    "Dataset",
    "FacePicture",
    "FileDataset",
    "FileSplit",
    "LabelledFace",
    "MaskedDataset",
    "MaskedSplit",
    "Split",
    "camvid",
    "central_box",
    "centred",
    "cifar10",
    "cut",
    "digits",
    "faces",
    "imagefolder",
    "mnist",
    "ptb",
    "random_box",
    "random_places",
    "read_idx",
    "read_picture",
    "scattered",
    "tinyimagenet",
]
