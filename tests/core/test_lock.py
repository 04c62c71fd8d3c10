# SPDX-License-Identifier: Apache-2.0
import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitlens.core.lock import FolderLock

HOLDS = "import sys; from bitlens.core.lock import FolderLock; FolderLock(sys.argv[1]).take(); print('held', flush=True); sys.stdin.read()"
ADDS = """
import sys
from pathlib import Path
from bitlens.core.files import write_atomically
from bitlens.core.lock import FolderLock

path = Path(sys.argv[1])
for _ in range(100):
    with FolderLock(path.parent):
        write_atomically(path, str(int(path.read_text()) + 1).encode())
"""


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert first.take()
    assert first.take(wait=False)  # its own
    assert not second.take(wait=False)
    first.close()
    first.close()
    assert second.take(wait=False)
    second.close()
    with first:
        assert not second.take(wait=False)
    assert second.take(wait=False)
    second.close()
    assert [*tmp_path.iterdir()] == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    lock = FolderLock(tmp_path)
    assert not lock.take(wait=False)
    other.kill()
    other.communicate()
    assert lock.take(wait=False)
    lock.close()


def test_what_is_given_back_is_free_whatever_was_forked(tmp_path: Path) -> None:
    lock, other = FolderLock(tmp_path), FolderLock(tmp_path)
    lock.take()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:  # holds what was open, until it is told to end
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    lock.close()
    assert other.take(wait=False)
    other.close()
    os.close(writing)
    os.close(reading)
    os.waitpid(child, 0)


def test_processes_that_wait_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    both = [subprocess.Popen([sys.executable, "-c", ADDS, str(path)]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert path.read_text() == "200"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FolderLock(tmp_path / "none").take()


@pytest.mark.parametrize(("code", "free"), [(errno.ENOLCK, True), (errno.EIO, False)])
def test_only_a_file_system_without_locks_is_always_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, free: bool
) -> None:
    def refuse(place: int, kind: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    open_before = len(os.listdir("/proc/self/fd"))
    lock = FolderLock(tmp_path)
    if free:
        assert lock.take(wait=False)
    else:
        with pytest.raises(OSError, match=os.strerror(code)):
            lock.take(wait=False)
    lock.close()
    assert len(os.listdir("/proc/self/fd")) == open_before
