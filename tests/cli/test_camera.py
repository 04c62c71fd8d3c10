# SPDX-License-Identifier: Apache-2.0
"""`bitlens camera scan` as a user meets it, with nets that know squares."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bitlens.camera import nets, scan
from bitlens.cli import main
from square_nets import BrightClearness, SquareDetector, StillPose
from videos import picture, write_video


@pytest.fixture(autouse=True)
def _squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "_nets", lambda threads: (SquareDetector(), BrightClearness(), StillPose()))
    monkeypatch.setattr(scan, "nets_digest", lambda: "nets of squares")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.mp4", [picture([10 + 2 * k, 90], value=130) for k in range(10)])


def _run(*words: object) -> int:
    return main(["camera", "scan", *map(str, words)])


def test_json_is_one_line_with_the_figures(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(clip, "-o", tmp_path / "out", "--keep", 1, "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out.splitlines()[-1])
    assert (report["frames"], report["captures"], report["tracks"]) == (10, 2, 2)
    assert report["frames_per_second"] > 0


def test_words_for_people(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert _run(clip, "-o", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "looked at   10 frames of 1 source"
    assert [line.split()[0] for line in lines] == ["looked", "found", "kept", "saved", "time", "see"]
    assert str(out / "by_clearness.png") in lines[-1]
    assert (out / "by_clearness.png").exists()


def test_flags_reach_the_scan(clip: Path, tmp_path: Path) -> None:
    words = (
        "--keep",
        1,
        "--quick",
        1,
        "--interval",
        0.2,
        "--apart",
        0,
        "--least-frames",
        3,
        "--weights",
        "size=2,exposure=0",
    )
    assert _run(clip, "-o", tmp_path / "out", *words) == 0
    kinds = {
        kind
        for line in (tmp_path / "out" / "captures.jsonl").read_text().splitlines()
        for kind in json.loads(line)["kinds"]
    }
    assert kinds == {"quick", "interval", "best"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("no.mp4",), "no.mp4: No such file or directory"),
        (
            ("a.mp4", "--weights", "beauty=2"),
            "--weights: must be NAME=NUMBER of clearness, frontality, size, exposure, not beauty=2",
        ),
        (
            ("a.mp4", "--weights", "size"),
            "--weights: must be NAME=NUMBER of clearness, frontality, size, exposure, not size",
        ),
        (("a.mp4", "--weights", "size=-1"), "weights: size must be 0 or more, not -1.0"),
        (("a.mp4", "--keep", 0), "best shots: keep must be 1 or more, not 0"),
        (("a.mp4", "--threads", 0), "scan: threads must be 1 to 64, not 0"),
        (("a.mp4", "--weights", "size=1,size=2"), "--weights: must name size once, not twice"),
        (("a.mp4", "--ray", "nowhere"), "--ray: must be local, auto or host:port, not nowhere"),
        (
            ("a.mp4", "--ray", "auto"),
            "--ray: auto must be where a Ray cluster runs; `ray start --head` begins one",
        ),
        (("empty.mp4",), "empty.mp4: must be a video that FFmpeg reads, not empty"),
        (
            ("videos",),
            "videos: folder must hold pictures (.bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp); videos are named one by one",
        ),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[object, ...],
    sentence: str,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "videos").mkdir()
    assert _run(*words, "-o", "out") == 2
    captured = capsys.readouterr()
    assert (captured.err, captured.out) == (sentence + "\n", "")


def test_one_bad_file_among_good_ones(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mp4").touch()
    assert _run(tmp_path / "empty.mp4", clip, "-o", tmp_path / "out", "--json") == 2
    captured = capsys.readouterr()
    assert captured.err == f"{tmp_path / 'empty.mp4'}: must be a video that FFmpeg reads, not empty\n"
    assert json.loads(captured.out)["frames"] == 10


@pytest.mark.parametrize(("output", "reason"), [("a.mp4", "File exists"), ("a.mp4/out", "Not a directory")])
def test_an_output_that_is_no_folder(
    output: str, reason: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = clip.read_bytes()
    assert _run(clip, "-o", tmp_path / output) == 2
    assert capsys.readouterr().err == f"{tmp_path / output}: {reason}\n"
    assert clip.read_bytes() == before


def test_a_full_disk_ends_the_scan_and_the_next_one_goes_on(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_video(tmp_path / "b.mp4", [picture([10 + 2 * k], value=130) for k in range(10)])
    out, full = tmp_path / "out", []

    def writing(handle: int) -> None:
        if len(full) == 5:  # two crops, their list and the report of the first clip, a crop of the second
            raise OSError(errno.ENOSPC, "No space left on device")
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            full.append(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", writing)
        assert _run(clip, other, "-o", out, "--keep", 1) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{out / 'b.mp4.faces'}")
    assert told.endswith("not be full\n")
    assert not list(out.rglob("*.partial"))
    first = (out / "a.mp4.faces" / "report.json").stat().st_mtime_ns
    assert not (out / "b.mp4.faces" / "report.json").exists()
    assert _run(clip, other, "-o", out, "--keep", 1, "--json") == 0
    assert json.loads(capsys.readouterr().out)["captures"] == 3
    assert (out / "a.mp4.faces" / "report.json").stat().st_mtime_ns == first  # it was not scanned again


def test_an_interrupted_scan_goes_on(clip: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "b.mp4", [picture([10 + 2 * k], value=130) for k in range(10)])
    script = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from bitlens.camera import nets, scan\n"
        "from square_nets import BrightClearness, SquareDetector, StillPose\n"
        "scan.nets_digest = lambda: 'nets of squares'\n"
        "nets._nets = lambda threads: (Slow(), BrightClearness(), StillPose())\n"
        "class Slow(SquareDetector):\n"
        "    def detect(self, luma):\n"
        "        slow = len(sys.argv) > 1 and luma[60, 95] < 100\n"  # the second clip has one face
        "        print('looking', flush=True) if slow else None\n"
        "        time.sleep(60 * slow)\n"
        "        return super().detect(luma)\n"
        "from bitlens.cli import main\n"
        f"sys.exit(main(['camera', 'scan', {str(clip)!r}, {str(other)!r}, '-o', {str(tmp_path / 'out')!r}, '--json']))\n"
    )
    scan = subprocess.Popen(
        [sys.executable, "-c", script, "slow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert scan.stdout is not None
    assert scan.stdout.readline() == "looking\n"
    scan.send_signal(signal.SIGINT)
    assert scan.communicate(timeout=60)[1] == ""
    assert scan.returncode == 130
    first = (tmp_path / "out" / "a.mp4.faces" / "report.json").stat().st_mtime_ns
    assert not (tmp_path / "out" / "b.mp4.faces" / "report.json").exists()
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["frames"] == 20
    assert (tmp_path / "out" / "a.mp4.faces" / "report.json").stat().st_mtime_ns == first


def test_two_clips_of_one_name(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    other = write_video(tmp_path / "other" / "a.mp4", [picture([10 + 2 * k], value=130) for k in range(10)])
    assert _run(clip, other, "-o", tmp_path / "out", "--keep", 1, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sources"] == 2
    records = [json.loads(line) for line in (tmp_path / "out" / "captures.jsonl").read_text().splitlines()]
    assert sorted(record["source"] for record in records) == [str(clip), str(clip), str(other)]
    assert len({record["crop"] for record in records}) == 3
    assert all((tmp_path / "out" / record["crop"]).is_file() for record in records)


def test_the_shipped_nets_scan_without_torch_and_onnx(clip: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'onnx', 'onnxruntime', 'sklearn', 'scipy', 'ray')))\n"
        "from bitlens.cli import main\n"
        f"sys.exit(main(['camera', 'scan', {str(clip)!r}, '-o', {str(tmp_path / 'out')!r}, '--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["frames"] == 10
