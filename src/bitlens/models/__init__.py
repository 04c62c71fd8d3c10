# SPDX-License-Identifier: Apache-2.0
"""The zoo of nets (torch), one net a file."""

from bitlens.models.bitfcn import BitFCN
from bitlens.models.digits import DigitsNet
from bitlens.models.dorefa_svhn import DoReFaSVHN
from bitlens.models.googlenet import GoogLeNet
from bitlens.models.language import LanguageModel
from bitlens.models.resnet20 import ResNet20

__all__ = ["BitFCN", "DigitsNet", "DoReFaSVHN", "GoogLeNet", "LanguageModel", "ResNet20"]
