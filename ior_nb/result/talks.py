"""`Talks`: whom the sockets of a trace talked with, for its summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.aggregate import Moved, Sums
from ior_nb.aggregate.hosts import Apart
from ior_nb.aggregate.replies import Replies
from ior_nb.runtime import EventBatch, Recoder
from ior_nb.runtime.index import is_nothing, pairs, rows_of
from ior_nb.runtime.text import show_bytes, show_count, show_ns

__all__ = ["Talk", "Talks"]

_PEERS: Final = 1 << 16
_CONNECTIONS: Final = 1 << 18
_NAMELESS: Final = "socket:"
"""What a peer begins with that is told by a number alone."""
_LEAST_NS: Final = 10_000_000
"""Waiting for answers that is worth a word."""


@dataclass(frozen=True, slots=True)
class Talk:
    """One peer."""

    peer: str
    """Raw, as traced."""
    connections: int
    received: int
    sent: int
    answers: int = 0
    waited_ns: int = 0
    """How long the program did without them."""

    def words(self) -> str:
        """Return what a user would say; the text is raw."""
        parts = [show_count(self.connections, "connection")]
        parts += [f"{show_bytes(self.sent)} sent"] if self.sent else []
        parts += [f"{show_bytes(self.received)} received"] if self.received else []
        if self.waited_ns >= _LEAST_NS:
            parts.append(f"waited {show_ns(self.waited_ns)} for {show_count(self.answers, 'answer')}")
        return f"{self.peer} ({', '.join(parts)})"


class Talks:
    """Adds up batches by peer. Of very many peers the better half is kept."""

    def __init__(self) -> None:
        self._names = Recoder()
        self._sums = Sums(("received", "sent", "connections", "answers", "waited"))
        self._replies = Replies()
        self._sockets = Apart()
        self._met: set[int] = set()  # connections: number of the socket << 32 | code of its peer

    def add(self, batch: EventBatch, moved: Moved) -> None:
        """Count the bytes that sockets moved."""
        named = batch["peer"]
        if is_nothing(named) or not named.any():
            return
        peers = self._names.codes(named, batch.tables["peer"])
        self._sums.grow(len(self._names.own))
        self._answered(batch, peers, moved)
        mine = rows_of((peers != 0) & (batch["bytes"] != 0))
        if not len(mine):
            return
        for name, some in (("received", moved.read), ("sent", moved.written)):
            self._sums.add_some(name, peers, some)
            self._sums.columns[name][0] = 0  # what has no peer
        keys = np.unique(pairs(self._sockets.of(batch, "inode", mine), peers.take(mine))).tolist()
        fresh = [key for key in keys if key not in self._met]
        if fresh:
            self._sums.add("connections", np.array([key & 0xFFFFFFFF for key in fresh]), 1)
            if len(self._met) + len(fresh) > _CONNECTIONS:  # those that come back count as new ones
                self._forget()
            else:
                self._met.update(fresh)
        if len(self._names.own) > _PEERS:
            kept = np.append(0, self._ranked()[: _PEERS // 2])
            self._sums.keep(kept, self._names.keep(kept))
            self._forget()
            self._replies = Replies()  # which know peers by these numbers

    def _forget(self) -> None:
        self._met.clear()
        self._sockets = Apart()

    def _answered(self, batch: EventBatch, peers: np.ndarray, moved: Moved) -> None:
        read, written = np.zeros((2, len(batch)), np.int64)
        read[moved.read.rows], written[moved.written.rows] = moved.read.values, moved.written.values
        found = self._replies.of(batch, peers, read, written)
        self._sums.add("answers", peers[found.rows], found.first)
        self._sums.add("waited", peers[found.rows], found.waited)

    def _ranked(self) -> np.ndarray:
        columns = self._sums.columns
        total = columns["received"] + columns["sent"]
        used = rows_of(total)
        ranked: np.ndarray = used[np.argsort(-total[used], kind="stable")]
        return ranked

    def talks(self) -> tuple[Talk, ...]:
        """Return the peers that have a name, most bytes first."""
        columns = self._sums.columns
        ranked = self._ranked()
        found = zip(self._names.own.at(ranked), ranked.tolist(), strict=True)
        return tuple(
            Talk(name, *(int(columns[key][at]) for key in ("connections", "received", "sent", "answers", "waited")))
            for name, at in found
            if not name.startswith(_NAMELESS)
        )
