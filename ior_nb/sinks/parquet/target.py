"""Where a recording goes: its name, its temporary file, and how it gets its name at the end."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ior_nb.errors import RecordingError

__all__ = ["PRIVATE", "Target"]

PRIVATE: Final = 0o600
_SUFFIX: Final = ".parquet"
_NAME_MAX: Final = 255
_MOST_NUMBERS: Final = 10_000
# What a file system without hard links answers to link(2): vfat, some FUSE and network file systems.
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class Target:
    """The file a recording becomes.

    Args:
        requested: its name; `.parquet` is appended where it is missing.
        generated: the name was made up by the program, so it never replaces a file: `-1`, `-2`, ... is put behind it.
            A name the user chose replaces the file that has it, and keeps that file's mode.
        mode: of a new file, less what the umask takes: names of files and processes are in it.

    Raises:
        RecordingError: the name cannot be one of a recording.
    """

    def __init__(self, requested: str | Path, *, generated: bool, mode: int = PRIVATE) -> None:
        if os.path.isdir(requested):  # noqa: PTH112 - Path.is_dir raises where a folder cannot be looked into
            raise RecordingError(f"cannot record to {requested}: it is a directory. Give the name of a file in it.")
        self.path = _absolute(requested)
        self.generated = generated
        self._mode = mode
        self.temporary: Path | None = None
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise RecordingError(f"cannot record to {self.path}: {error.strerror}. Choose another path.") from error
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or generated):
            raise RecordingError(f"cannot record to {self.path}: it is no regular file. Choose another path.")

    def create(self) -> int:
        """Create the temporary file beside the target; return a descriptor to read and write it.

        Raises:
            RecordingError: the directory is missing or cannot be written.
        """
        temporary = self.path.with_name(f"ior-{secrets.token_hex(8)}.tmp")
        try:
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, self._mode)
        except OSError as error:
            raise RecordingError(
                f"cannot record to {self.path}: no file can be created in {self.path.parent} ({error.strerror}). "
                "Choose another directory, or make this one writable."
            ) from error
        self.temporary = temporary
        return fd

    def discard(self) -> None:
        """Remove the temporary file."""
        if self.temporary is not None:
            self.temporary.unlink(missing_ok=True)
            self.temporary = None

    def publish(self) -> Path:
        """Give the temporary file its name, in one step; return that name.

        Raises:
            OSError: it cannot be done; the temporary file is still there.
        """
        temporary = self.temporary
        assert temporary is not None
        if self.generated:
            path = self._take_free_name(temporary)
        else:
            path = self.path
            with contextlib.suppress(OSError):  # a file system may know neither owners nor modes
                _copy_rights(path, temporary)
            temporary.replace(path)
        self.temporary = None
        return path

    def _take_free_name(self, temporary: Path) -> Path:
        for path in _numbered(self.path):
            with contextlib.suppress(FileExistsError):
                _rename_to_free_name(temporary, path)
                return path
        raise FileExistsError(errno.EEXIST, f"{_MOST_NUMBERS:,} files have this name already", str(self.path))


def _absolute(requested: str | Path) -> Path:
    text = os.fspath(requested).strip()
    if not text or "\0" in text:
        raise RecordingError(f"cannot record to {text!r}: this is no file name. Give a path such as trace.parquet.")
    if text.lower().endswith(f"{_SUFFIX}.tmp"):
        text = text[: -len(".tmp")]
    try:
        path = Path(text).expanduser().absolute()  # now, for the working directory may change
    except (OSError, RuntimeError) as error:  # no working directory, or no home directory
        raise RecordingError(f"cannot record to {text!r}: {error}. Give a full path.") from error
    if text.endswith("/") or not path.name or path.name == "..":
        raise RecordingError(f"cannot record to {text!r}: this is a directory. Give a path such as trace.parquet.")
    return path if path.name.lower().endswith(_SUFFIX) else path.with_name(path.name + _SUFFIX)


def _numbered(path: Path) -> Iterator[Path]:
    """Yield the name itself, then with -1, -2, ... before its extension, shortened at a character where too long."""
    yield path
    for number in itertools.islice(itertools.count(1), _MOST_NUMBERS):
        ending = f"-{number}{path.suffix}"
        stem = path.stem
        while len(os.fsencode(stem + ending)) > _NAME_MAX:
            stem = stem[:-1]
        yield path.with_name(stem + ending)


def _rename_to_free_name(temporary: Path, path: Path) -> None:
    """Rename a file, unless the new name is taken: then raise FileExistsError."""
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # An empty file keeps the name for the moment until the rename.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
        try:
            temporary.replace(path)
        except OSError:
            path.unlink()
            raise
    else:
        temporary.unlink()


def _copy_rights(source: Path, temporary: Path) -> None:
    """Give the temporary file the mode and, where that is allowed, the owner of the regular file it will replace."""
    status = source.lstat()
    if stat.S_ISREG(status.st_mode):
        with contextlib.suppress(OSError):
            os.chown(temporary, status.st_uid, status.st_gid, follow_symlinks=False)
        temporary.chmod(stat.S_IMODE(status.st_mode) & 0o777)
