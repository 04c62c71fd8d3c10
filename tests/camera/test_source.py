# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from bitlens.camera.source import CameraError, open_source
from videos import picture, write_video


def _frames(count: int, size: tuple[int, int] = (80, 160)) -> list[np.ndarray]:
    return [picture([5 + 2 * k], size=size) for k in range(count)]


def test_a_video_gives_every_frame_in_order(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "a.mp4", _frames(30)))
    assert (source.rate, source.expected, source.still) == (25.0, 30, False)
    frames = list(source)
    assert [frame.number for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx([k / 25 for k in range(30)])
    assert source.damaged == 0
    for k, frame in enumerate(frames):
        assert frame.luma.dtype == np.uint8
        assert frame.luma.shape == (80, 160)
        colours = frame.colour()
        assert colours.shape == (80, 160, 3)
        assert np.abs(colours[16:26, 10 + 2 * k : 20 + 2 * k].mean((0, 1)) - (200, 200, 50)).max() < 25
        assert (
            abs(frame.luma[16:26, 10 + 2 * k : 20 + 2 * k].mean() - 183) < 8
        )  # 0.299 R + 0.587 G + 0.114 B, full range


def test_threads_change_nothing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", _frames(20))
    one, two = ([frame.luma for frame in open_source(path, threads)] for threads in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(("name", "codec", "form"), [("a.avi", "ffv1", "gray"), ("a.gif", "gif", "rgb8")])
def test_grey_videos_and_gifs(tmp_path: Path, name: str, codec: str, form: str) -> None:
    frames = list(open_source(write_video(tmp_path / name, _frames(6), codec=codec, pix_fmt=form)))
    assert len(frames) == 6
    assert frames[0].luma[20, 10] > 150 > 50 > frames[0].luma[70, 10]
    assert frames[0].colour().shape == (80, 160, 3)


@pytest.mark.parametrize("size", [(41, 33), (121, 77), (2, 2), (300, 64)])
def test_odd_and_portrait_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "a.mkv", [np.full((*size, 3), 90, np.uint8)] * 3, codec="ffv1", pix_fmt="yuv444p")
    assert [frame.luma.shape for frame in open_source(path)] == [size] * 3


def test_a_video_that_was_filmed_upright_is_shown_upright(tmp_path: Path) -> None:
    frames = [picture([5])] * 2
    path = write_video(tmp_path / "a.mp4", frames)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 4 + 32 + 4  # version and flags, times to duration, reserved, ... up to the matrix
    matrix = data.index(struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), place)
    data[matrix : matrix + 36] = struct.pack(
        ">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30
    )  # a quarter, clockwise
    path.write_bytes(data)
    (frame, _) = open_source(path)
    assert frame.luma.shape == (160, 80)
    turned = np.rot90(frames[0].astype(int), -1)
    assert np.abs(frame.colour().astype(int) - turned).mean() < 8
    assert np.abs(frame.luma - turned @ (0.299, 0.587, 0.114)).mean() < 8


def test_parts_that_cannot_be_decoded_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", _frames(40), codec="png", pix_fmt="rgb24")
    data = bytearray(path.read_bytes())
    starts = [k for k in range(len(data)) if data[k : k + 4] == b"\x89PNG"]
    assert len(starts) == 40
    for start in starts[10:13]:
        data[start : start + 4] = bytes(4)
    path.write_bytes(data)
    source = open_source(path)
    lefts = [int(np.nonzero(frame.luma[20] > 100)[0][0]) for frame in source]
    assert lefts == [5 + 2 * k for k in range(40) if not 10 <= k <= 13]  # FFmpeg takes the three and the next for one
    assert source.damaged == 1


def test_a_video_that_breaks_off_gives_what_it_has_and_counts_as_damaged(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", _frames(40), codec="mjpeg", pix_fmt="yuvj420p")
    whole = open_source(path)
    assert len(list(whole)) == 40
    assert whole.damaged == 0
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(path)
    assert 5 < len(list(source)) < 27
    assert source.damaged >= 1


def test_an_unfinished_mp4_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", _frames(40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # its index would have come last
    with pytest.raises(CameraError, match=r"a\.mp4: must be a video that FFmpeg reads, not what gives: invalid data"):
        open_source(path)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["mpeg4.mp4", "mjpeg.avi", "ffv1.mkv"]), st.integers(0, 2**31), st.integers(1, 60))
@example("mpeg4.mp4", 0, 8)  # text that is no UTF-8
@example("mpeg4.mp4", 8, 1)  # a codec that nobody knows
def test_whatever_is_broken_there_are_frames_or_a_sentence(tmp_path: Path, kind: str, seed: int, count: int) -> None:
    path = tmp_path / kind
    if not path.exists():
        pixels = {"mjpeg.avi": "yuvj420p"}.get(kind, "yuv420p")
        write_video(path, _frames(12), codec=path.stem, pix_fmt=pixels)
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(0, len(data), count):
        data[place] = rng.integers(256)
    broken = tmp_path / f"broken_{kind}"
    broken.write_bytes(data)
    try:
        source = open_source(broken)
    except CameraError as error:
        assert str(error).startswith(f"{broken}: must ")
        return
    for frame in source:
        assert frame.luma.dtype == np.uint8
        assert frame.colour().shape == (*frame.luma.shape, 3)


@pytest.mark.parametrize(
    ("codec", "form"),
    [("ffv1", "yuv420p10le"), ("ffv1", "gray10le"), ("ffv1", "yuv422p"), ("mjpeg", "yuvj420p"), ("ffv1", "bgr0")],
)
def test_brightness_is_of_the_full_range_whatever_the_pixels(tmp_path: Path, codec: str, form: str) -> None:
    levels = np.repeat(np.repeat(np.linspace(0, 255, 16).astype(np.uint8)[None], 20, 1), 64, 0).reshape(64, 320)
    path = write_video(tmp_path / "a.mkv", [np.stack([levels] * 3, 2)] * 2, codec=codec, pix_fmt=form)
    for frame in open_source(path):
        assert np.abs(frame.luma[8:-8, 10::20].astype(int) - levels[8:-8, 10::20]).max() <= 4
        assert np.abs(frame.colour()[8:-8, 10::20].astype(int) - levels[8:-8, 10::20, None]).max() <= 5


def test_frames_of_varying_length_have_the_times_of_the_file(tmp_path: Path) -> None:
    times = np.cumsum([0, 10, 200, 33, 90, 10, 500, 40])
    path = write_video(tmp_path / "a.mkv", _frames(8), codec="ffv1", milliseconds=times)
    assert [frame.time for frame in open_source(path)] == pytest.approx(times / 1000)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif"])
def test_a_picture_with_the_name_of_a_video_is_a_picture(tmp_path: Path, name: str) -> None:
    Image.fromarray(picture([5])).save(tmp_path / name)
    source = open_source((tmp_path / name).rename(tmp_path / "a.mp4"))
    assert source.still
    assert [frame.luma.shape for frame in source] == [(80, 160)]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_video_of_one_frame_is_a_picture(tmp_path: Path, name: str) -> None:
    assert open_source(write_video(tmp_path / name, _frames(1))).still
    assert not open_source(write_video(tmp_path / name, _frames(2))).still


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all\n" * 100)
    for name, reason in (
        ("empty.mp4", "empty"),
        ("text.mp4", "what gives: invalid data found when processing input"),
    ):
        with pytest.raises(CameraError) as error:
            open_source(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name}: must be a video that FFmpeg reads, not {reason}"


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(CameraError) as error:
        open_source(tmp_path / "a.wav")
    assert str(error.value) == f"{tmp_path / 'a.wav'}: must hold a stream of pictures, not none"


def test_what_is_missing_is_named_by_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "no.mp4")


def test_a_folder_of_pictures_in_the_order_of_names(tmp_path: Path) -> None:
    for k, name in enumerate(("b.png", "a.jpg", "c.bmp")):
        Image.fromarray(np.full((20 + k, 30), 60 * k, np.uint8)).save(tmp_path / name)
    (tmp_path / "d.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("")
    source = open_source(tmp_path)
    assert (source.expected, source.still) == (4, True)
    frames = list(source)
    assert [frame.luma.shape for frame in frames] == [(21, 30), (20, 30), (22, 30)]
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert frames[2].colour().shape == (22, 30, 3)
    assert source.damaged == 1


def test_one_picture_is_a_source(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "a.png")
    assert [frame.luma.shape for frame in open_source(tmp_path / "a.png")] == [(20, 30)]


def test_pictures_of_sixteen_bits_keep_their_high_bytes(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256], [0x7FFF, 0x8000, 0xFFFF]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    (frame,) = open_source(tmp_path / "a.png")
    assert frame.luma.tolist() == [[0, 0, 1], [127, 128, 255]]


def test_a_picture_taken_upright_is_shown_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((20, 30), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn a quarter clockwise to view
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert [frame.luma.shape for frame in open_source(tmp_path / "a.jpg")] == [(30, 20)]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(CameraError) as error:
        open_source(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: folder must hold pictures (.bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp); videos are named one by one"
    )
