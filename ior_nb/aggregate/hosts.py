"""Which host a row is of: the ids of processes and threads, and the inodes of files, are those of one host alone."""

from __future__ import annotations

import numpy as np

from ior_nb.aggregate.groups import ByText
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.index import Index
from ior_nb.runtime.rows import Rows, read

__all__ = ["Apart", "Hosts", "Which", "first_hosts", "hosts_of", "several"]

Which = slice | np.ndarray
"""Rows of a batch."""


class Hosts:
    """Numbers of hosts by their names; 0 is the one without."""

    def __init__(self) -> None:
        self._groups = ByText("host")

    def of(self, batch: EventBatch, rows: Which = slice(None)) -> list[tuple[int, Which]]:
        """Return the hosts of rows, nearly always one, each with its rows: their numbers among these, or all of them.

        Args:
            batch: the rows.
            rows: those of them that are meant.
        """
        codes = batch["host"]
        codes = codes if is_one_value(codes) else codes[rows]
        if is_one_value(codes) or not (codes != codes[:1]).any():
            return [(host, slice(None)) for host in self._groups.coded(batch, codes[:1]).tolist()]
        numbers = self._groups.coded(batch, codes)
        return [(host, np.flatnonzero(numbers == host)) for host in np.unique(numbers).tolist()]

    def names(self, which: np.ndarray) -> np.ndarray:
        """Return the names of hosts."""
        return self._groups.names(which)


class Apart:
    """Numbers of values that mean something on one host alone, from 0 on as they come: on another they are others."""

    def __init__(self) -> None:
        self._hosts = Hosts()
        self._indexes: dict[int, Index] = {}
        self._count = 0

    def of(self, batch: EventBatch, name: str, rows: Which = slice(None)) -> np.ndarray:
        """Return the number of a column's value in each of some rows."""
        values = batch[name][rows].astype(np.uint64)
        found = np.zeros(len(values), np.int32)
        for host, which in self._hosts.of(batch, rows):
            numbers, first = self._indexes.setdefault(host, Index()).number(values[which], self._count)
            self._count += len(first)
            if isinstance(which, slice):
                return numbers
            found[which] = numbers
        return found


def hosts_of(batch: EventBatch) -> np.ndarray:
    """Return the name of each row's host; nothing where it is the same everywhere."""
    codes = batch["host"]
    return batch.text("host") if (codes != codes[:1]).any() else codes[:0]


def first_hosts(rows: Rows, most: int) -> set[str]:
    """Return the hosts that recordings begin with, so many of these: mostly all there are."""
    hosts, sources, found = Hosts(), set[int](), set[int]()
    for piece in rows.pieces():
        if (number := piece.source().number) not in sources and piece.size():
            sources.add(number)
            found.update(host for host, _ in hosts.of(piece.read("host")))
        if len(sources) == most:
            break
    return set(map(str, hosts.names(np.array(sorted(found), np.intp))))


def several(rows: Rows) -> bool:
    """Tell whether rows are of more than one host: then ids alone do not say whose they are."""
    hosts, seen = Hosts(), set[int]()
    for batch in read(rows, "host"):
        seen.update(host for host, _ in hosts.of(batch))
        if len(seen) > 1:
            return True
    return False
