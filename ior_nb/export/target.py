"""Where an export goes: a path that is checked before, and a file that appears whole or not at all."""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ior_nb.errors import RecordingError

__all__ = ["checked_path", "write"]

_MOST_NUMBERS: Final = 10_000


def checked_path(given: str | os.PathLike[str], extension: str) -> Path:
    """Return the absolute path of an export, with its extension.

    Args:
        given: as the user wrote it; `~` is the home directory.
        extension: put behind the name where it is missing.

    Raises:
        RecordingError: it can be no file, or its directory is not there.
    """
    text = os.fspath(given)
    if not text.strip() or "\0" in text:
        raise RecordingError(f"cannot write {text!r}: this is no file name; give a path such as trace{extension}")
    try:
        path = Path(text).expanduser().absolute()
    except (OSError, RuntimeError) as error:  # no working directory, or no home directory
        raise RecordingError(f"cannot write {text!r}: {error}; give a full path") from error
    try:
        if text.endswith("/") or path.name in ("", "..") or path.is_dir():
            raise RecordingError(f"cannot write {text!r}: this is a directory; give a path such as trace{extension}")
        if not path.name.lower().endswith(extension):
            path = path.with_name(path.name + extension)
        mode = path.lstat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except RecordingError:
        raise
    except OSError as error:
        raise RecordingError(f"cannot write {str(path)!r}: {error.strerror}; choose another path") from error
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise RecordingError(f"cannot write {str(path)!r}: it is no regular file; choose another path")
    if not path.parent.is_dir():
        raise RecordingError(f"cannot write {str(path)!r}: there is no directory {str(path.parent)!r}; make it first")
    return path


def write(path: Path, parts: Iterable[bytes], *, replace: bool) -> Path:
    """Write a file in one step: readers see the old one, or the whole new one.

    Args:
        path: a checked path.
        parts: the content. What it raises is passed on, and nothing is left behind.
        replace: whether a file of that name is replaced; else `-1`, `-2`, ... is put behind the name.

    Returns:
        The path that was written.

    Raises:
        RecordingError: the directory or the disk refuses it.
    """
    temporary = path.with_name(f".ior-{secrets.token_hex(8)}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            with os.fdopen(fd, "wb") as file:
                for part in parts:
                    file.write(part)
            return _publish(temporary, path, replace=replace)
        finally:
            temporary.unlink(missing_ok=True)
    except RecordingError:
        raise
    except OSError as error:
        raise RecordingError(f"cannot write {str(path)!r}: {error.strerror or error}; nothing was left") from error


def _publish(temporary: Path, path: Path, *, replace: bool) -> Path:
    if replace:
        return temporary.replace(path)
    ending = "".join(path.suffixes[-2:])
    stem = path.name.removesuffix(ending)
    for number in itertools.islice(itertools.count(), _MOST_NUMBERS):
        free = path.with_name(f"{stem}-{number}{ending}") if number else path
        try:
            os.close(os.open(free, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            continue
        return temporary.replace(free)
    raise FileExistsError(errno.EEXIST, f"{_MOST_NUMBERS:,} files have this name already")
