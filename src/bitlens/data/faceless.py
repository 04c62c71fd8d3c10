# SPDX-License-Identifier: Apache-2.0
"""Pictures without faces that a detector's threshold is fixed on: photographs of the validation part, in many views.

>>> len(faceless_views([p for p in in_split(faces("faces"), "val") if not p.faces]))   # doctest: +SKIP
450
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from bitlens.data.degrade import resized
from bitlens.data.faces import FacePicture

__all__ = ["ALLOWED_ALARMS", "faceless_views"]

ALLOWED_ALARMS = 0.02  # false alarms a picture, at which a detector's recall is told
_ZOOMS = (0.5**0.5, 0.5**0.25, 1.0, 2**0.25, 2**0.5)  # a net sees something else at each


def faceless_views(pictures: Iterable[FacePicture]) -> list[npt.NDArray[np.uint8]]:
    """Return each photograph at five sizes, half as many pixels to twice as many, as it is and mirrored.

    A few photographs alone would fix the threshold by their single worst place: of 45, two in 100 are none.

    Args:
        pictures: without faces.

    Returns:
        Brightness, uint8 (H, W), ten a photograph.
    """
    views = []
    for picture in pictures:
        luma = picture.luma()
        for zoom in _ZOOMS:
            shape = max(1, round(luma.shape[0] * zoom)), max(1, round(luma.shape[1] * zoom))
            view = luma if zoom == 1 else (resized(luma, shape) + 0.5).astype(np.uint8)
            views += [view, np.ascontiguousarray(view[:, ::-1])]
    return views
