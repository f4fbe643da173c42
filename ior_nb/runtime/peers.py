"""What a socket is called where users read names: by its protocol and whom it talks with, `tcp 127.0.0.1:5432`.

The column `file` has its kernel name, `socket:[4711]`, which tells it from others and says nothing else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from ior_nb.runtime.batch import EventBatch, distinct
from ior_nb.runtime.index import rows_of
from ior_nb.runtime.rows import Piece, Rows

__all__ = ["PROTOCOLS", "Named", "name_of", "peer_of", "seen_files"]

PROTOCOLS: Final = "tcp udp icmp icmpv6 sctp mptcp unix netlink packet vsock inet inet6".split()
"""Words such a name begins with."""
_NAME: Final = re.compile(rf"(?:{'|'.join(PROTOCOLS)}) (.+)", re.DOTALL)


def name_of(socket: str, peer: str) -> str:
    """Return the name of a socket by the columns `socket` and `peer`."""
    family, _, rest = socket.partition(":")
    protocol = rest.rpartition(":")[2]
    return f"{protocol if protocol in PROTOCOLS else family} {peer}"


def peer_of(name: str) -> str:
    """Return the peer of such a name; empty for any other file's."""
    found = _NAME.fullmatch(name)
    return found[1] if found else ""


def seen_files(batch: EventBatch) -> np.ndarray:
    """Return what the files of rows are called where users read names, as codes of the table of `file`."""
    peers, files = batch["peer"], batch["file"]
    if not len(rows := rows_of(peers)):
        return files
    ends, sockets = batch.tables["peer"], batch.tables["socket"]
    count = len(sockets)
    pairs, which = distinct(peers[rows].astype(np.intp) * count + batch["socket"][rows], len(ends) * count)
    names = [name_of(sockets[pair % count], ends[pair // count]) for pair in pairs.tolist()]
    files = files.copy()
    files[rows] = batch.tables["file"].intern_many(names).take(which)
    return files


class Named:
    """Rows with their files called so, for what is shown and nothing else; `runtime.rows.Rows` themselves."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def pieces(self) -> Iterator[_NamedPiece]:
        """Yield the pieces."""
        return map(_NamedPiece, self._rows.pieces())


class _NamedPiece:
    def __init__(self, piece: Piece) -> None:
        self.size, self.bounds, self.source = piece.size, piece.bounds, piece.source
        self._piece = piece

    def read(self, *columns: str) -> EventBatch:
        return _named(self._piece.read, columns)

    def some(self, which: np.ndarray, *columns: str) -> EventBatch:
        return _named(functools.partial(self._piece.some, which), columns)


def _named(read: Callable[..., EventBatch], columns: tuple[str, ...]) -> EventBatch:
    if columns and "file" not in columns:
        return read(*columns)
    batch = read(*(dict.fromkeys((*columns, "peer", "socket")) if columns else ()))
    return batch.with_columns(file=seen_files(batch)).read(*columns)
