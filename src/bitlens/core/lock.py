# SPDX-License-Identifier: Apache-2.0
"""A lock between processes on a folder: it leaves no file, and is gone with the process that holds it.

>>> with FolderLock(folder):
...     write_atomically(path, changed(path.read_bytes()))
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

__all__ = ["FolderLock"]

_NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class FolderLock:
    """Held by one at a time, of all processes and of all locks of one process.

    File systems that cannot lock folders (some network file systems) lock nothing: there it is always free.

    Args:
        folder: need not exist before the lock is taken.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._place: int | None = None

    def take(self, wait: bool = True) -> bool:
        """Take the lock and return True, also where this object holds it already; without `wait`, False if it is not free.

        Raises:
            OSError: there is no such folder.
        """
        if self._place is not None:
            return True
        place = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(place, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            if not (isinstance(error, OSError) and error.errno in _NO_LOCKS):
                os.close(place)
                if isinstance(error, BlockingIOError):
                    return False
                raise
        self._place = place
        return True

    def close(self) -> None:
        """Give it back, if it is held."""
        if self._place is not None:
            with suppress(OSError):  # of a file system without locks
                fcntl.flock(self._place, fcntl.LOCK_UN)  # closing would leave it to a process forked meanwhile
            os.close(self._place)
            self._place = None

    def __enter__(self) -> FolderLock:
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
