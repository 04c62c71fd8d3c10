# SPDX-License-Identifier: Apache-2.0
"""Which rows of which images a convolution looks at together, so that their patches stay in the cache."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["row_blocks"]

_MOST_NUMBERS = 1 << 22  # of the patches at once: 32 MB of float64


def row_blocks(images: int, height: int, numbers: int) -> Iterator[tuple[slice, slice]]:
    """Yield (images, rows) that cover a map once.

    Args:
        images, height: of the result.
        numbers: of the patches of one row of the result.
    """
    rows = max(1, min(height, _MOST_NUMBERS // max(1, numbers)))
    together = max(1, _MOST_NUMBERS // max(1, numbers * height)) if rows == height else 1
    for image in range(0, images, together):
        for row in range(0, height, rows):
            yield slice(image, image + together), slice(row, row + rows)
