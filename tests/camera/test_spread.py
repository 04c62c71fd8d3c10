# SPDX-License-Identifier: Apache-2.0
"""A cluster of Ray on this machine."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import pytest
import ray

import square_nets
import videos
from bitlens.camera.archive import scan_archive, scan_jobs
from bitlens.camera.captures import read_captures
from bitlens.camera.options import ScanOptions
from bitlens.camera.source import CameraError
from bitlens.vision import FaceLine
from square_nets import square_line
from videos import picture, write_video


@pytest.mark.filterwarnings("ignore")  # of Ray about itself
def test_a_cluster_finds_what_one_process_finds(tmp_path: Path) -> None:
    from bitlens.camera.spread import scan_on_ray

    for module in (square_nets, videos):
        ray.cloudpickle.register_pickle_by_value(module)  # workers do not see the folder of tests
    paths = [
        write_video(tmp_path / f"{k}.mp4", [picture([10 + k + n], value=120 + n) for n in range(12)]) for k in range(3)
    ]
    (tmp_path / "bad.mp4").write_text("nothing")
    paths.append(tmp_path / "bad.mp4")
    told: list[str] = []
    spread = partial(scan_on_ray, address="local", make_line=square_line)
    report = scan_archive(paths, tmp_path / "spread", ScanOptions(), spread, told.append)
    alone = scan_archive(
        paths, tmp_path / "alone", ScanOptions(), partial(scan_jobs, make_line=square_line), told.append
    )
    assert not ray.is_initialized()
    assert told[0] == told[1]
    assert told[0].startswith(f"{paths[3]}: must be a video that FFmpeg reads")
    counts = ("frames", "faces", "tracks", "captures", "kept_bytes", "failed")
    assert [report[name] for name in counts] == [alone[name] for name in counts]
    one, other = (read_captures(tmp_path / name) for name in ("spread", "alone"))
    assert one == other


@pytest.mark.parametrize(
    ("address", "told"), [("127.0.0.1:9", "Connection refused"), ("127.0.0.1:x", "invalid literal")]
)
def test_an_address_where_nothing_answers_is_refused(address: str, told: str) -> None:
    from bitlens.camera.spread import scan_on_ray

    with pytest.raises(CameraError, match=rf"^--ray: {address} must be where a Ray cluster answers \({told}.*\)$"):
        list(scan_on_ray([], address))


@pytest.mark.filterwarnings("ignore")  # of Ray about itself
def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    from bitlens.camera.spread import scan_on_ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the folder of tests
    for module in (square_nets, videos):
        ray.cloudpickle.register_pickle_by_value(module)
    clip = write_video(tmp_path / "a.mp4", [picture([10])] * 3)
    (told,) = scan_on_ray([(clip, tmp_path / "out", ScanOptions())], "local", _dying)
    assert told == f"{clip}: the cluster's process must live to the end, not die (WorkerCrashedError)"


def _dying(options: ScanOptions, rate: float, still: bool) -> FaceLine:
    os._exit(3)
