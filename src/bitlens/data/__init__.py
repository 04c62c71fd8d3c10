# SPDX-License-Identifier: Apache-2.0
"""Readers of public data sets, and augmentation (numpy)."""

from bitlens.data.augment import centred, scattered
from bitlens.data.camvid import MaskedDataset, MaskedSplit, camvid
from bitlens.data.cifar10 import cifar10
from bitlens.data.dataset import DataError, Dataset, Split
from bitlens.data.digits import digits
from bitlens.data.idx import read_idx
from bitlens.data.mnist import mnist
from bitlens.data.ptb import Corpus, ptb
from bitlens.data.tinyimagenet import tinyimagenet

__all__ = [
    "Corpus",
    "DataError",
    "Dataset",
    "MaskedDataset",
    "MaskedSplit",
    "Split",
    "camvid",
    "centred",
    "cifar10",
    "digits",
    "mnist",
    "ptb",
    "read_idx",
    "scattered",
    "tinyimagenet",
]
