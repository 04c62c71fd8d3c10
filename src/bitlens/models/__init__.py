# SPDX-License-Identifier: Apache-2.0
"""The zoo of nets (torch), one net a file."""

from bitlens.models.alexnet import AlexNet
from bitlens.models.bitfcn import BitFCN
from bitlens.models.digits import DigitsNet
from bitlens.models.dorefa_svhn import DoReFaSVHN
from bitlens.models.face_clearness import FaceClearness
from bitlens.models.face_detector import FaceDetectorNet
from bitlens.models.face_pose import FacePose
from bitlens.models.googlenet import GoogLeNet
from bitlens.models.language import LanguageModel
from bitlens.models.mobilenet import MobileNet
from bitlens.models.resnet18 import ResNet18
from bitlens.models.resnet20 import ResNet20
from bitlens.models.vgg_small import VGGSmall

__all__ = [
    "AlexNet",
    "BitFCN",
    "DigitsNet",
    "DoReFaSVHN",
    "FaceClearness",
    "FaceDetectorNet",
    "FacePose",
    "GoogLeNet",
    "LanguageModel",
    "MobileNet",
    "ResNet18",
    "ResNet20",
    "VGGSmall",
]
