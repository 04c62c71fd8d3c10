# SPDX-License-Identifier: Apache-2.0
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bitlens.core.files import check_replaceable, remove_partial, replacing, write_atomically


def _full(handle: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_written_with_the_users_rights(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.bitlens"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(OSError, match="full") as caught:
        write_atomically(path, bytes(12345))
    assert caught.value.strerror == "disk must have room for 12,345 bytes, not be full"
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match="full") as caught, replacing(path) as stream:
        stream.write(b"new")
    assert caught.value.strerror == "disk must have room for the file, not be full"
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_what_cannot_be_written_is_told_before(tmp_path: Path) -> None:
    path, missing = tmp_path / "x", tmp_path / "none" / "x"
    check_replaceable(path)
    path.write_bytes(b"old")
    check_replaceable(path)
    (tmp_path / "link").symlink_to(path)
    check_replaceable(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    check_replaceable(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError) as caught:
        check_replaceable(missing)
    assert caught.value.filename == str(missing)
    with pytest.raises(IsADirectoryError) as caught:
        check_replaceable(tmp_path)
    assert caught.value.filename == str(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"x", "link", "pipe"}
    assert path.read_bytes() == b"old"


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as stream:
        stream.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_the_users_path_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "x", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=r"^\[Errno") as caught:
            write_atomically(path, b"new")
        assert caught.value.filename == str(path)


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_what_a_link_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link, target = tmp_path / "link", tmp_path / "folder" / "x"
    link.symlink_to(target)
    for content in (b"one", b"two"):  # a missing file, then one that is there
        write_atomically(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content


def test_pipes_and_devices_are_written_as_they_are(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    read: list[bytes] = []
    reader.start()
    write_atomically(pipe, b"new")
    reader.join()
    assert read == [b"new"]
    assert pipe.is_fifo()
    write_atomically("/dev/null", b"new")
    assert Path("/dev/null").is_char_device()


def test_what_a_killed_process_left_is_removed_alone(tmp_path: Path) -> None:
    left = "import os; from bitlens.core.files import replacing\nwith replacing('x'): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", left], cwd=tmp_path)
    assert len([*tmp_path.iterdir()]) == 1
    (tmp_path / "mine.partial").touch()
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.partial"]
    remove_partial(tmp_path / "none")
