# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitlens.camera import scan as scan_module
from bitlens.camera.archive import folders_of, scan_archive, scan_job, scan_jobs
from bitlens.camera.captures import read_captures
from bitlens.camera.options import ScanOptions
from bitlens.camera.report import render
from bitlens.camera.scan import scan_source
from bitlens.camera.source import CameraError
from bitlens.runtime import SessionError
from bitlens.vision import FaceLine, ShotWeights, VisionError
from square_nets import square_line
from videos import picture, write_video

_scan = partial(scan_source, make_line=square_line)


@pytest.fixture(autouse=True)
def _nets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "nets_digest", lambda: "nets of squares")


_jobs = partial(scan_jobs, make_line=square_line)


def _clip(path: Path, faces: int = 1, count: int = 20) -> Path:
    frames = [
        picture([10 + 2 * k] * faces, size=(max(80, 40 * faces), 160), value=120 + 50 * (k == 7)) for k in range(count)
    ]
    return write_video(path, frames)


def test_a_clip_becomes_captures_and_a_report(tmp_path: Path) -> None:
    report = _scan(_clip(tmp_path / "a.mp4", faces=2), tmp_path / "out", ScanOptions(keep=1))
    counts = {name: report[name] for name in ("frames", "faces", "tracks", "captures", "damaged")}
    assert counts == {"frames": 20, "faces": 40, "tracks": 2, "captures": 2, "damaged": 0}
    records = read_captures(tmp_path / "out")
    assert [(record["frame"], record["kinds"]) for record in records] == [(7, ["best"])] * 2
    assert [record["score"] for record in records] == sorted((r["score"] for r in records), reverse=True)
    size = 0
    for record in records:
        with Image.open(tmp_path / "out" / record["crop"]) as crop:
            assert crop.mode == "RGB"
            assert np.asarray(crop)[20, 20, 2] < 100 < np.asarray(crop)[20, 20, 0]  # in the colours of the clip
        assert (tmp_path / "out" / record["crop"]).stat().st_size == record["bytes"]
        size += record["bytes"]
    assert report["kept_bytes"] == size + (tmp_path / "out" / "captures.jsonl").stat().st_size
    assert report["video_bytes"] == (tmp_path / "a.mp4").stat().st_size
    assert report["video_seconds"] == pytest.approx(0.8)
    assert list(report["seconds"]) == ["decode", "detect", "track", "clearness", "pose", "choose", "write"]
    assert sum(report["seconds"].values()) <= report["wall_seconds"]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_a_shot_given_twice_is_written_once(tmp_path: Path) -> None:
    options = ScanOptions(keep=1, quick_score=1, interval_seconds=0.4)
    report = _scan(_clip(tmp_path / "a.mp4"), tmp_path / "out", options)
    kinds = {record["frame"]: record["kinds"] for record in read_captures(tmp_path / "out")}
    assert kinds[7] == ["interval", "best"]
    assert kinds[4] == ["quick"]  # a track of less than a fifth of a second gives nothing
    assert len(kinds) == report["captures"] == len(list((tmp_path / "out" / "crops").iterdir()))


def test_a_finished_clip_is_not_scanned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, out = _clip(tmp_path / "a.mp4"), tmp_path / "out"
    first = _scan(clip, out, ScanOptions())
    assert _scan(clip, out, ScanOptions()) == first  # with the first one's seconds
    again = _scan(clip, out, ScanOptions(keep=1))
    assert again["captures"] == 1
    assert len(list((out / "crops").iterdir())) == 1  # what the first scan kept is gone
    monkeypatch.setattr(scan_module, "nets_digest", lambda: "other nets")
    assert _scan(clip, out, ScanOptions(keep=1)) != again
    before = _scan(clip, out, ScanOptions(keep=1))
    _clip(clip, faces=2)
    assert _scan(clip, out, ScanOptions(keep=1))["captures"] == 2 != before["captures"]


def test_an_unfinished_scan_is_begun_anew(tmp_path: Path) -> None:
    clip, out = _clip(tmp_path / "a.mp4"), tmp_path / "out"
    whole = _scan(clip, out, ScanOptions())
    (out / "report.json").write_text('{"key": ')
    (out / "crops" / "track0099_frame000000.jpg").touch()
    again = _scan(clip, out, ScanOptions())
    assert {**again, "seconds": 0, "wall_seconds": 0} == {**whole, "seconds": 0, "wall_seconds": 0}
    assert len(list((out / "crops").iterdir())) == again["captures"]


def test_a_scan_that_is_broken_off_leaves_no_report(tmp_path: Path) -> None:
    class _StopError(Exception):
        pass

    def stopping(options: ScanOptions, rate: float, still: bool) -> object:
        line = square_line(options, rate, still)
        look = line.look

        def until(frame: object, **options: object) -> object:
            if frame.number == 15:  # type: ignore[attr-defined]
                raise _StopError
            return look(frame, **options)  # type: ignore[arg-type]

        line.look = until  # type: ignore[method-assign, assignment]
        return line

    clip, out = _clip(tmp_path / "a.mp4"), tmp_path / "out"
    with pytest.raises(_StopError):
        scan_source(clip, out, ScanOptions(), stopping)  # type: ignore[arg-type]
    assert not (out / "report.json").exists()
    assert _scan(clip, out, ScanOptions())["frames"] == 20


def test_two_scans_write_the_same_files(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "a.mp4", faces=2)
    for name in ("one", "other"):
        _scan(clip, tmp_path / name, ScanOptions(interval_seconds=0.3))
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "other")]
    for one, other in zip(*files, strict=True):
        assert one.name == other.name
        assert one.name == "report.json" or one.read_bytes() == other.read_bytes()


def test_a_clip_without_faces(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", [picture([])] * 5)
    report = scan_archive([clip], tmp_path / "out", ScanOptions(), _jobs)
    assert (report["frames"], report["faces"], report["captures"]) == (5, 0, 0)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.mp4.faces",
        "captures.jsonl",
        "report.json",
    ]
    assert (tmp_path / "out" / "captures.jsonl").read_text() == ""
    assert "see         nothing: no face was found in enough frames" in render(report, tmp_path / "out")


def test_a_hundred_faces(tmp_path: Path) -> None:
    frames = [picture([5] * 100, size=(4000, 40))] * 2
    report = _scan(write_video(tmp_path / "a.mp4", frames), tmp_path / "out", ScanOptions(keep=1, least_frames=2))
    assert (report["tracks"], report["captures"]) == (100, 100)


def test_pictures_stand_for_themselves(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for k in range(3):
        Image.fromarray(picture([5 + 50 * k])).save(tmp_path / "photos" / f"{k}.png")
    assert _scan(tmp_path / "photos", tmp_path / "out", ScanOptions())["captures"] == 3
    assert _scan(tmp_path / "photos" / "0.png", tmp_path / "one", ScanOptions())["captures"] == 1


def test_faces_in_the_same_place_of_several_pictures_are_several_persons(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for k in range(60):
        Image.fromarray(picture([50], value=110 + 2 * k)).save(tmp_path / "photos" / f"{k:02}.png")
    report = scan_archive([tmp_path / "photos"], tmp_path / "out", ScanOptions(), _jobs)
    assert (report["tracks"], report["captures"]) == (60, 60)
    records = read_captures(tmp_path / "out")
    assert sorted(record["frame"] for record in records) == [*range(60)]
    assert report["video_seconds"] == 0
    assert "recording" not in render(report, tmp_path / "out")  # pictures are none


def test_a_video_without_a_frame_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", [picture([5])], codec="png", pix_fmt="rgb24")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x89PNG", bytes(4)))
    with pytest.raises(CameraError) as error:
        _scan(path, tmp_path / "out", ScanOptions())
    assert str(error.value) == f"{path}: must hold a frame that can be decoded, not none"


def test_an_archive_is_sorted_together(tmp_path: Path) -> None:
    one, other = _clip(tmp_path / "one.mp4"), _clip(tmp_path / "other.mp4", faces=3)
    out = tmp_path / "out"
    report = scan_archive([one, other], out, ScanOptions(keep=1), _jobs)
    assert (report["sources"], report["failed"], report["frames"], report["captures"]) == (2, 0, 40, 4)
    records = read_captures(out)
    assert [record["score"] for record in records] == sorted((r["score"] for r in records), reverse=True)
    assert {record["source"] for record in records} == {str(one), str(other)}
    assert all((out / record["crop"]).is_file() for record in records)
    for name in ("by_clearness.png", "by_pose.png"):
        with Image.open(out / name) as sheet:
            assert sheet.size == (4 * 126 + 6, 150)
    text = render(report, out)
    assert text.startswith(
        "looked at   40 frames of 2 sources\nfound       80 faces in 4 tracks\nkept        4 captures"
    )


def test_what_cannot_be_read_is_told_and_the_rest_scanned(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("nothing")
    told: list[str] = []
    paths = [tmp_path / "bad.mp4", _clip(tmp_path / "a.mp4")]
    report = scan_archive(paths, tmp_path / "out", ScanOptions(), _jobs, told.append)
    assert (report["sources"], report["failed"]) == (1, 1)
    assert told == [
        f"{paths[0]}: must be a video that FFmpeg reads, not what gives: invalid data found when processing input"
    ]
    with pytest.raises(CameraError, match=r"bad\.mp4: must be a video"):
        scan_archive(paths[:1], tmp_path / "other", ScanOptions(), _jobs, told.append)


def test_a_frame_that_the_engine_refuses_is_told(tmp_path: Path) -> None:
    def refusing(options: ScanOptions, rate: float, still: bool) -> FaceLine:
        raise SessionError("size: must fit")

    job = (_clip(tmp_path / "a.mp4"), tmp_path / "out", ScanOptions())
    assert scan_job(job, refusing) == f"{tmp_path / 'a.mp4'}: size: must fit"


def test_a_missing_source_is_told_before_anything_is_done(tmp_path: Path) -> None:
    paths = [_clip(tmp_path / "a.mp4"), tmp_path / "no.mp4"]
    with pytest.raises(FileNotFoundError):
        scan_archive(paths, tmp_path / "out", ScanOptions(), _jobs)
    assert not (tmp_path / "out").exists()


def test_sources_of_one_name_get_folders_of_their_own(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a/x.mp4", "b/x.mp4", "y.mp4", "./a/x.mp4")]
    names = list(folders_of(paths, tmp_path).values())
    assert len(set(names)) == 3
    assert names[2] == "y.mp4.faces"
    assert all(name.startswith("x.mp4-") for name in names[:2])
    assert folders_of([paths[1]], tmp_path) == {paths[1]: "x.mp4.faces"}


def test_a_second_scan_adds_to_the_first(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    one, other, out = _clip(tmp_path / "x.mp4"), _clip(tmp_path / "b" / "x.mp4", faces=2), tmp_path / "out"
    assert scan_archive([one], out, ScanOptions(keep=1), _jobs)["captures"] == 1
    report = scan_archive([other], out, ScanOptions(keep=1), _jobs)
    assert (report["sources"], report["frames"], report["captures"]) == (2, 40, 3)
    records = read_captures(out)
    assert sorted(record["source"] for record in records) == sorted([str(one), str(other), str(other)])
    assert all((out / record["crop"]).is_file() for record in records)
    assert scan_archive([one, other], out, ScanOptions(keep=1), _jobs)["captures"] == 3  # each once


@pytest.mark.parametrize("lost", ["captures.jsonl", "crops"])
def test_what_was_deleted_is_made_again(tmp_path: Path, lost: str) -> None:
    clip, out = _clip(tmp_path / "a.mp4"), tmp_path / "out"
    captures = _scan(clip, out, ScanOptions())["captures"]
    for path in [out / lost] if lost != "crops" else (out / "crops").iterdir():
        path.unlink()
    assert _scan(clip, out, ScanOptions())["captures"] == captures
    assert len(list((out / "crops").iterdir())) == captures == len(read_captures(out))


def test_results_in_the_folder_of_pictures(tmp_path: Path) -> None:
    _save_pictures(tmp_path, 2)
    first = scan_archive([tmp_path], tmp_path / "faces", ScanOptions(), _jobs)
    assert scan_archive([tmp_path], tmp_path / "faces", ScanOptions(), _jobs) == first  # taken over
    with pytest.raises(CameraError) as error:
        scan_archive([tmp_path], tmp_path, ScanOptions(), _jobs)
    assert str(error.value) == f"{tmp_path}: results must go to another folder than the pictures"


def _save_pictures(folder: Path, count: int) -> None:
    for k in range(count):
        Image.fromarray(picture([10], value=120 + k)).save(folder / f"{k}.png")


def test_results_may_lie_beside_their_source(tmp_path: Path) -> None:
    assert scan_archive([_clip(tmp_path / "a.mp4")], tmp_path, ScanOptions(), _jobs)["captures"] > 0
    assert (tmp_path / "a.mp4").is_file()


def test_a_full_sheet_shows_the_best(tmp_path: Path) -> None:
    from bitlens.camera.sheet import draw_sheet

    Image.fromarray(np.full((30, 60, 3), 99, np.uint8)).save(tmp_path / "c.jpg")
    records = [{"crop": "c.jpg", "clearness": k, "frontality": 1, "yaw": 0, "pitch": 0} for k in range(300)]
    draw_sheet(tmp_path / "s.png", tmp_path, records, "clearness")
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size == (8 * 126 + 6, 30 * 144 + 6)
        assert sheet.getpixel((66, 66)) == (99, 99, 99)
        assert sheet.getpixel((66, 10)) == (250, 250, 250)  # a wide crop leaves paper above


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"quality": 0}, "scan: quality must be 1 to 95, not 0"),
        ({"threads": 0}, "scan: threads must be 1 to 64, not 0"),
        ({"threads": 65}, "scan: threads must be 1 to 64, not 65"),
        ({"quick_score": math.nan}, "scan: quick_score must be 0 to 100, not nan"),
        ({"quick_score": 101}, "scan: quick_score must be 0 to 100, not 101"),
        ({"surroundings": -1}, "scan: surroundings must be 0 to 10, not -1"),
        ({"patience_seconds": -1}, "scan: patience_seconds must be 0 to 3600, not -1"),
        ({"keep": 0}, "best shots: keep must be 1 or more, not 0"),
    ],
)
def test_settings_out_of_range(options: dict[str, float], sentence: str) -> None:
    with pytest.raises((CameraError, VisionError)) as error:
        ScanOptions(**options)  # type: ignore[arg-type]
    assert str(error.value) == sentence


def test_weights_choose_the_shot(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", [picture([10], side=24 - k, value=130 + 8 * k) for k in range(8)])
    for weights, frame in ((ShotWeights(clearness=0), 0), (ShotWeights(size=0), 7)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        _scan(clip, tmp_path / "out", ScanOptions(keep=1, weights=weights))
        (record,) = read_captures(tmp_path / "out")
        assert record["frame"] == frame
