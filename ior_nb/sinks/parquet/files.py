"""Files of recordings: which there are, and a Parquet file inside one opened to be read."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from ior_nb.errors import RecordingError
from ior_nb.runtime.text import printable, show_bytes

__all__ = ["ROWS_PER_FILE", "find", "identity", "left_out", "parquet_file"]

_UNFINISHED: Final = f"ior-{'[0-9a-f]' * 16}.tmp"
"""As `Target` calls them."""
ROWS_PER_FILE: Final = 1 << 24
"""Of a file in a folder that is made of others, at most: about 250 MB."""


def find(where: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return the files of a path, a pattern, a folder (every `.parquet` below it), or several of these, in order.

    Raises:
        RecordingError: nothing is there.
    """
    if not isinstance(where, str | Path):
        several = [path for one in where for path in find(one)]
        if not several:
            raise RecordingError("there is nothing to read: no path was given.")
        return several
    path = _expanded(where)
    text = os.fspath(path)
    shown = printable(os.fspath(where))
    try:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*.parquet") if p.is_file() and not p.name.startswith("."))
            if not found:
                told = " ".join(["no file in that folder ends in .parquet.", *_unfinished_in(path)])
                raise RecordingError(f"cannot read {shown}: {told}")
            return found
        if any(sign in text for sign in "*?[") and not path.exists():
            root = Path(path.anchor)
            found = sorted(p for p in root.glob(str(path.relative_to(root))) if p.is_file())
            if not found:
                raise RecordingError(f"cannot read {shown}: no file matches.")
            return found
        if not path.exists() and (beside := _unfinished_in(path.parent, below=False)):
            raise RecordingError(f"cannot read {shown}: no such file. {' '.join(beside)}")
    except (OSError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(f"cannot read {shown}: {getattr(error, 'strerror', None) or error}.") from error
    return [path]


def left_out(where: str | Path | Iterable[str | Path]) -> list[str]:
    """Return of each recording that `find` passes over in a folder, for it has no end, what can be done."""
    folders = filter(Path.is_dir, map(_expanded, [where] if isinstance(where, str | Path) else where))
    return [f"left out: {told}" for folder in folders for told in _unfinished_in(folder)]


def _unfinished_in(folder: Path, *, below: bool = True) -> list[str]:
    """Return the same of a folder, and of those `below` it."""
    found = []
    for path in sorted(folder.rglob(_UNFINISHED) if below else folder.glob(_UNFINISHED)):
        with contextlib.suppress(FileNotFoundError):  # it has its end and its name by now
            size = show_bytes(path.stat().st_size)
            found.append(
                f"{printable(str(path))} ({size}) is a recording without an end, being written or cut off: load it by "
                "its name, or make it a file with `ior-nb convert`; only rows of its last seconds are missing."
            )
    return found


def _expanded(path: str | Path) -> Path:
    with contextlib.suppress(RuntimeError):  # no home directory for ~
        return Path(path).expanduser()
    return Path(path)


class _Slice(io.RawIOBase):
    """Part of a file, as a file that can be read."""

    def __init__(self, file: BinaryIO, begin: int, length: int) -> None:
        self._fd, self._begin, self._length, self._at = file.fileno(), begin, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if at < 0:
            raise ValueError("an offset in the file is negative")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(min(len(view), self._length - self._at), 0)]
        count = os.preadv(self._fd, [view], self._begin + self._at) if len(view) else 0
        self._at += count
        return count


def identity(file: BinaryIO) -> tuple[int, int]:
    """Return what tells a file from another that is put in its place."""
    about = os.fstat(file.fileno())
    return about.st_dev, about.st_ino


def parquet_file(
    file: BinaryIO, begin: int, length: int, dictionaries: Sequence[str] = (), footer_of: Any = None
) -> Any:
    """Return a Parquet file that lies in another file.

    Args:
        file: the other.
        begin: where it begins there.
        length: how long it is.
        dictionaries: columns that are read as dictionaries.
        footer_of: its footer, where that was read before.
    """
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        io.BufferedReader(_Slice(file, begin, length), 1 << 16),
        metadata=footer_of,
        read_dictionary=list(dictionaries),
        page_checksum_verification=True,
        pre_buffer=False,  # or a thread of Arrow reads, which is nobody's
    )
