# SPDX-License-Identifier: Apache-2.0
"""scikit-learn's 1,797 handwritten digits of 8x8: real data that comes inside a dependency."""

from __future__ import annotations

import numpy as np

from bitlens.data.dataset import DataError, Dataset, Split

__all__ = ["digits"]


def digits() -> Dataset:
    """Read the digits.

    Returns:
        1,438 training and 359 test images (every fifth), uint8 (N, 8, 8, 1); the file's 0..16 is scaled to 0..255.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("digits: scikit-learn must be installed (pip install scikit-learn)") from error
    bunch = load_digits()
    images = np.floor(bunch.images * (255 / 16) + 0.5).astype(np.uint8)[..., None]  # (N, 8, 8, 1)
    labels = bunch.target.astype(np.int64)
    test = np.arange(len(labels)) % 5 == 4
    train = Split(images[~test], labels[~test])
    return Dataset(train, Split(images[test], labels[test]), tuple("0123456789"))
