"""The temporary file of a recording: a chain that can be read up to its last complete link after a crash.

    PAR1 | length, Parquet file without rows | length, Parquet file of one row group | ... | zeros, or a torn link

Each link is a complete Parquet file behind its length (8 bytes, little-endian); the first one has the schema and the
metadata known at the start. To publish, one more footer is written at the end. It lists the row groups of all links,
their offsets moved by the place of their link, which makes the whole file one Parquet file: no row is written twice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from typing import Any, BinaryIO, Final

from ior_nb.real import Descriptor
from ior_nb.sinks.parquet.pages import MAGIC
from ior_nb.sinks.parquet.rowgroup import FILE_GROUPS, FILE_ROWS, Link, closed, move
from ior_nb.sinks.parquet.thrift import Field, Items, Kind, encode

__all__ = ["Chain", "links"]

_LENGTH: Final = struct.Struct("<Q")
_AT_ONCE: Final = 1024  # pieces that the kernel takes in one call
_SLACK: Final = 128 << 10  # room kept for the metadata that is only known at the end


class Chain:
    """Write side of a chain. One thread at a time.

    Args:
        file: an empty one.
        first: a link without rows, with the schema and the metadata known so far.

    Raises:
        OSError: the first link cannot be written.
    """

    def __init__(self, file: Descriptor, first: Link) -> None:
        self._file = file  # asked for its number before each write: the traced program may have closed it
        self._groups: list[bytes] = []
        self._footers = 0  # bytes of the footers of all links, which is more than the last one will take
        self._allocated = 0
        self.rows = 0
        """Rows in complete links: these survive a crash of the program."""
        self.size = 0
        """Bytes up to the end of the last complete link."""
        self._write(MAGIC)
        self.append(first)

    def append(self, link: Link) -> None:
        """Append a link; its footer is the chain's then.

        Raises:
            OSError: it cannot be written, and the chain is as it was.
        """
        base = self.size + _LENGTH.size
        try:
            # A full disk is noticed here, and never cuts a link or the footer that is to follow.
            self._allocate(base + link.size + self._footers + link.footer_size + _SLACK)
            self._write(_LENGTH.pack(link.size), *link.parts)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fd, max(self.size, self._allocated))
            raise
        for group in link.footer[FILE_GROUPS].value.values:
            move(group, base)
            self._groups.append(encode(group))
        self._footers += link.footer_size
        self.rows += link.footer[FILE_ROWS].value

    def finish(self, last: Link) -> None:
        """Make the file one Parquet file.

        Args:
            last: a link without rows, with the schema and all metadata; its footer is the model of the file's.

        Raises:
            OSError: the footer cannot be written; the chain can still be read.
        """
        groups = Items(Kind.STRUCT, self._groups)
        self._write(
            closed({**last.footer, FILE_ROWS: Field(Kind.I64, self.rows), FILE_GROUPS: Field(Kind.LIST, groups)})
        )
        os.ftruncate(self._file.fd, self.size)

    def _allocate(self, size: int) -> None:
        try:
            os.posix_fallocate(self._file.fd, self.size, size - self.size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # the file system cannot do this
                raise
        else:
            self._allocated = size

    def _write(self, *parts: Any) -> None:
        rest, end = [memoryview(part) for part in parts if len(part)], self.size
        while rest:  # many at once: after each call the interpreter has to be waited for
            written = os.pwritev(self._file.fd, rest[:_AT_ONCE], end)
            end += written
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if written:
                rest[0] = rest[0][written:]
        self.size = end


def links(file: BinaryIO) -> tuple[list[tuple[int, int]], int]:
    """Find the complete links of a chain.

    Returns:
        Their places and lengths, and where the last one ends. A file that is no chain has none.
    """
    size = os.fstat(file.fileno()).st_size
    found: list[tuple[int, int]] = []
    end = len(MAGIC)
    file.seek(0)
    if file.read(end) != MAGIC:
        return found, end
    while True:
        file.seek(end)
        head = file.read(_LENGTH.size + len(MAGIC))
        if len(head) < _LENGTH.size + len(MAGIC) or not head.endswith(MAGIC):
            return found, end
        begin, length = end + _LENGTH.size, _LENGTH.unpack_from(head)[0]
        if length < 2 * len(MAGIC) or begin + length > size:
            return found, end
        file.seek(begin + length - len(MAGIC))
        if file.read(len(MAGIC)) != MAGIC:
            return found, end
        found.append((begin, length))
        end = begin + length
