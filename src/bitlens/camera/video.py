# SPDX-License-Identifier: Apache-2.0
"""Video files decoded by FFmpeg, through PyAV: brightness of every frame, colours where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from bitlens.camera.source import CameraError
from bitlens.vision import Frame

__all__ = ["Video"]

_RATE = 25.0  # where a file tells none
_SLACK_SECONDS, _SLACK = 0.5, 0.05  # that a file may be shorter than it says, the greater of the two (a share of all)


class Video:
    """A `Source` of a file: MP4, MKV, AVI, GIF and what else FFmpeg reads, upright as the file says.

    A file of one frame is a picture. One that ends before its time counts as damaged.

    Args:
        path: of the file.
        threads: of the decoder.

    Raises:
        CameraError: FFmpeg does not read it, or it has no pictures.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.files: Sequence[Path] = [path]
        self.file_bytes = path.stat().st_size
        try:
            self._container = av.open(str(path), metadata_errors="replace")
        except av.error.FFmpegError as error:
            what = "empty" if not self.file_bytes else _reason(error)
            raise CameraError(f"{path}: must be a video that FFmpeg reads, not {what}") from None
        if not self._container.streams.video:
            self._container.close()
            raise CameraError(f"{path}: must hold a stream of pictures, not none")
        self._stream = self._container.streams.video[0]
        if self._stream.codec_context is None:  # the types of PyAV do not tell that this may be
            self._container.close()
            raise CameraError(f"{path}: must hold pictures of a codec that FFmpeg decodes, not of an unknown one")
        self._stream.codec_context.thread_count = threads
        self._stream.thread_type = "AUTO" if threads > 1 else "NONE"
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate else _RATE
        self.expected: int | None = self._stream.frames or self._estimated()
        self.still = self.expected == 1 or self._container.format.name.endswith("_pipe")
        self.damaged = 0

    def _estimated(self) -> int | None:
        duration = self._container.duration
        return round(duration / av.time_base * self.rate) if duration else None

    def __iter__(self) -> Iterator[Frame]:
        """Decode the frames; parts that FFmpeg cannot decode are left out and counted."""
        with self._container:
            grey, coloured = VideoReformatter(), VideoReformatter()  # one for all: making it takes longer than a frame
            begun, last, end = None, None, 0.0
            for number, frame in enumerate(self._decoded()):
                at = frame.time
                if begun is None:
                    begun = at or 0.0
                time = 0.0 if last is None else last + 1 / self.rate
                if at is not None and (last is None or at - begun > last):
                    time = at - begun
                last, end = time, time + float((frame.duration or 0) * (frame.time_base or 0))
                luma = np.ascontiguousarray(_upright(frame, grey, "gray"))  # every pixel is read, of colours few
                yield Frame(number, time, luma, cache(partial(_upright, frame, coloured, "rgb24")))
            length = self._seconds()
            self.damaged += end < length - max(_SLACK_SECONDS, _SLACK * length)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _seconds(self) -> float:
        """How long the pictures last, as the file says; 0 where it does not."""
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        alone = not self._container.streams.audio  # else the file's length may be that of its sound
        return (self._container.duration or 0) / av.time_base if alone else 0.0

    def _decoded(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:
                self.damaged += 1
                return
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self.damaged += 1
                continue
            for frame in frames:
                self.damaged += bool(frame.is_corrupt)  # looked at all the same
                yield frame


def _upright(frame: av.VideoFrame, reformatter: VideoReformatter, form: str) -> npt.NDArray[np.uint8]:
    """A frame's brightness ("gray") or colours ("rgb24"), in full range, turned as its file says."""
    pixels: npt.NDArray[np.uint8] = reformatter.reformat(frame, format=form).to_ndarray().astype(np.uint8, copy=False)
    turns = round(frame.rotation / 90) % 4
    return np.rot90(pixels, turns) if turns else pixels


def _reason(error: av.error.FFmpegError) -> str:
    return f"what gives: {(error.strerror or str(error)).lower()}"
