"""Compiled programs on disk, so that bcc and LLVM are needed once for a kernel and not at every start.

What stands here is loaded with privileges. So a file counts only when it, and its folder, belong to the user this
process runs as, nobody else may write (the file: nor read) them, and its checksum is right. A process that was given
rights by the file it was started from (setuid, file capabilities) has no cache: its user could write there.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import pwd
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["Cache", "folder", "remember"]

_AT_SECURE: Final = 23
_MOST_BYTES: Final = 4 << 20
_KEPT: Final = 8  # files: kernels and versions come and go

_memory: dict[str, dict[str, Any]] = {}


def remember(programs: Mapping[str, dict[str, Any]]) -> None:
    """Keep compiled programs by their keys in this process, for it and what it forks."""
    _memory.update(programs)


def folder() -> Path | None:
    """Return where this user's programs are kept, None where none may be."""
    user = os.geteuid()
    if user == 0:
        return Path("/var/cache/ior-nb")
    if ctypes.CDLL(None).getauxval(_AT_SECURE) or user != os.getuid():
        return None
    try:
        home = pwd.getpwuid(user).pw_dir
    except KeyError:
        return None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path(home, ".cache")) / "ior-nb"


class Cache:
    """A folder of files, each a JSON object behind a line with its checksum.

    Args:
        where: the folder; None keeps nothing. It is made when something is to be kept.
    """

    def __init__(self, where: Path | None) -> None:
        self._where = where
        self.refused = ""
        """Why a file that was there was not used, or why nothing can be kept; empty when all was well."""

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what was kept under a key; None when there is nothing, or nothing to be trusted."""
        if key in _memory:
            return _memory[key]
        if self._where is None:
            return None
        path = self._where / f"{key}.json"
        try:
            if not self._trusted_folder():
                return None
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.refused = f"{path}: {error.strerror}"
            return None
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                self.refused = f"{path} is not used: it must be a file of uid {os.geteuid()} with mode 0600"
                return None
            text = file.read(_MOST_BYTES)
        checksum, _, body = text.partition(b"\n")
        if checksum.decode(errors="replace") != hashlib.sha256(body).hexdigest():
            self.refused = f"{path} is damaged, and was made again"
            return None
        data = json.loads(body)
        return data if isinstance(data, dict) else None

    def put(self, key: str, data: dict[str, Any]) -> None:
        """Keep an object under a key; where that cannot be, `refused` says why."""
        if self._where is None:
            return
        body = json.dumps(data).encode()
        try:
            self._where.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._trusted_folder():
                return
            fd, temporary = tempfile.mkstemp(dir=self._where)  # mode 0600
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
                Path(temporary).replace(self._where / f"{key}.json")
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
                raise
            self._drop_old()
        except OSError as error:
            self.refused = f"nothing is kept in {self._where}: {error.strerror}"

    def _trusted_folder(self) -> bool:
        assert self._where is not None
        found = os.lstat(self._where)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
            return True
        self.refused = (
            f"{self._where} is not used: it must be a folder of uid {os.geteuid()} where nobody else may write"
        )
        return False

    def _drop_old(self) -> None:
        assert self._where is not None
        files = sorted(self._where.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_KEPT]:
            file.unlink()
