# SPDX-License-Identifier: Apache-2.0
"""Small videos whose "faces" are bright squares on dark ground, one a lane of 40 rows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
LANE = 40


def picture(lefts: Sequence[int | None], size: tuple[int, int] = (80, 160), value: int = 200, side: int = 24) -> Bytes:
    """One frame, uint8 (H, W, 3): a red-green square at each lane's left end, none where that is None."""
    frame = np.full((*size, 3), 16, np.uint8)
    for lane, left in enumerate(lefts):
        if left is not None:
            frame[lane * LANE + 8 : lane * LANE + 8 + side, left : left + side] = (value, value, value // 4)
    return frame


def write_video(path: Path, frames: Sequence[Bytes], rate: int = 25, codec: str = "mpeg4", **options: object) -> Path:
    """Encode frames, shown at the given `milliseconds` if there are any; odd sizes need a codec that takes them, such as ffv1."""
    times = options.get("milliseconds")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = str(options.get("pix_fmt", "yuv420p"))
        stream.bit_rate = 4_000_000
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, colours in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(colours, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = int(times[k]), Fraction(1, 1000)  # type: ignore[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
