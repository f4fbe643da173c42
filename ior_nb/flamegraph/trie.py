"""`LiveTrie`: the live flame trie as the session feeds it and the views read it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from ior_nb.flamegraph.fields import FIELDS, METRICS, checked_fields, checked_metric
from ior_nb.flamegraph.index import Index, grown
from ior_nb.flamegraph.nodes import Nodes
from ior_nb.flamegraph.picture import MIN_SHARE, FlameColumns, Picture
from ior_nb.flamegraph.sequences import Sequences
from ior_nb.runtime import EventBatch, SnapshotNode, StringTable
from ior_nb.runtime.schema import column

__all__ = ["LiveTrie"]

_SLICE: Final = 1 << 15
"""Rows handled at once: their intermediate arrays fit into a cache."""
_ENOUGH: Final = 1 << 14
"""Rows put aside before they are added: half of the cost of a few thousand rows does not depend on their number."""
_STEP: Final = 1 << 12
"""Combinations whose nodes are found at once, and the fewest frames they may have."""
_NO_CAP: Final = 1 << 31
_REMEMBERED: Final = 1 << 19
"""Keys, or frames of values, beyond which the shortcuts from rows to nodes are thrown away and learnt again."""


class LiveTrie:
    """Adds up a metric over stacks of frames.

    A row is found its node by one look-up of the codes of its fields, so that a row costs the same however many were
    seen. Only a new combination walks down the tree, and only a new value is divided into frames.

    Threads: one feeds, any may read and configure; each call is atomic. A reader holds the lock while it adds the rows
    put aside and copies the values; what it makes of them it makes outside.

    Args:
        fields: what the frames are, root first: names of `FIELDS`, or `tracepoint` for `syscall`.
        count_field: what gives a frame its width: a name of `METRICS`.
        height_field: a second metric, or empty for none.
        cap: nodes kept, the root not counted. Beyond it the smallest subtrees fold into one `[other;]` leaf per parent
            until three quarters are left; the total of every node that stays is exact. Below 2 there is no cap.

    Raises:
        ConfigError: a field or metric is unknown.
    """

    def __init__(
        self,
        fields: Sequence[str] = ("comm", "syscall", "path"),
        count_field: str = "count",
        height_field: str = "",
        cap: int = 262_144,
    ) -> None:
        self._fields = checked_fields(fields)
        self._count_field = checked_metric(count_field)
        self._height_field = checked_metric(height_field, optional=True)
        self._cap = cap if cap >= 2 else _NO_CAP
        self._version = 0
        self._lock = threading.Lock()
        self._picture: Picture | None = None
        self._start()

    def _start(self) -> None:
        self._nodes = Nodes(tall=bool(self._height_field))
        self._columns = tuple(dict.fromkeys(FIELDS[name].column for name in self._fields))
        self._pending: list[tuple[np.ndarray, ...]] = []
        self._pending_rows = 0
        self._forget(None)

    def _forget(self, tables: Mapping[str, StringTable] | None) -> None:
        """Throw away the shortcuts from rows to nodes, for they are made of codes of string tables."""
        self._tables = tables
        wide = sum(column(name).dtype.itemsize == 8 for name in self._columns)
        self._keys = Index(wide + (len(self._columns) - wide + 1) // 2)
        self._leaves = np.zeros(0, np.int32)
        self._sequences = [Sequences(_frames(name, tables or {}), self._nodes.texts) for name in self._fields]

    @property
    def version(self) -> int:
        """Grows with every batch that has rows and with every reset."""
        return self._version

    @property
    def fields(self) -> tuple[str, ...]:
        """Frame fields, root first."""
        return self._fields

    @property
    def count_field(self) -> str:
        """The metric that gives a frame its width."""
        return self._count_field

    @property
    def height_field(self) -> str:
        """The second metric, empty without one."""
        return self._height_field

    def reconfigure(self, fields: Sequence[str]) -> None:
        """Set the fields and drop what was accumulated, also when they are the same.

        Raises:
            ConfigError: none, an unknown one, or one given twice; nothing changed.
        """
        names = checked_fields(fields)
        with self._lock:
            self._fields = names
            self._restart()

    def set_count_field(self, name: str) -> None:
        """Set the metric and start again from nothing; nothing happens for the same one.

        Raises:
            ConfigError: there is no such metric; nothing changed.
        """
        name = checked_metric(name)
        with self._lock:
            if name != self._count_field:
                self._count_field = name
                self._restart()

    def set_height_field(self, name: str) -> None:
        """Set the second metric, empty for none, and start again from nothing; nothing happens for the same one.

        Raises:
            ConfigError: there is no such metric; nothing changed.
        """
        name = checked_metric(name, optional=True)
        with self._lock:
            if name != self._height_field:
                self._height_field = name
                self._restart()

    def reset(self) -> None:
        """Drop what was accumulated."""
        with self._lock:
            self._restart()

    def _restart(self) -> None:
        self._start()
        self._version += 1

    def ingest(self, batch: EventBatch) -> None:
        """Add the rows of a batch. Those of small batches are put aside until there are enough, or somebody looks."""
        if not len(batch):
            return
        with self._lock:
            tables = {name: batch.tables[name] for name in self._columns if column(name).text}
            if self._tables is None or any(table is not self._tables[name] for name, table in tables.items()):
                self._work_off()
                self._forget(tables)
            measured = [_measured(batch, metric) for metric in (self._count_field, self._height_field) if metric]
            self._pending.append((*(batch[name] for name in self._columns), *measured))
            self._pending_rows += len(batch)
            self._version += 1
            if self._pending_rows >= _ENOUGH:
                self._work_off()

    def _work_off(self) -> None:
        """Add the rows put aside."""
        if self._pending:
            rows = [np.concatenate(parts) for parts in zip(*self._pending, strict=True)]
            self._pending, self._pending_rows = [], 0
            for begin in range(0, len(rows[0]), _SLICE):
                self._add([part[begin : begin + _SLICE] for part in rows])

    def snapshot_tree(self) -> tuple[SnapshotNode, int]:
        """Return the tree and the version its data belongs to.

        Children come by name. Those with less than a thousandth of the root's total are left out, but the eight largest
        stay where the root or a first-level node would be left bare. Later rows change nothing in it.
        """
        picture = self._look()
        return picture.tree, picture.version

    def snapshot_json(self) -> tuple[bytes, int]:
        """Return the tree as JSON, keys n v t ht c, and the version its data belongs to."""
        picture = self._look()
        return picture.json, picture.version

    def snapshot_columns(
        self, min_share: float = MIN_SHARE, limit: int = 2000, focus: Sequence[str] = ()
    ) -> FlameColumns:
        """Return the visible nodes as arrays, ready for an icicle.

        Args:
            min_share: least share of the root's total.
            limit: nodes at most; the smallest go first.
            focus: names of the frames down to the one a view is zoomed to. Below it the share is one of its total, and
                its nodes go last. Without such a node it counts for nothing.
        """
        return self._look().columns(min_share, limit, focus)

    def folded(self) -> str:
        """Return all nodes with a value as collapsed stacks, one `frame;frame value` a line, sorted.

        Rows without any frame are `[unknown]`, folded ones `[other]`.
        """
        return self._look().folded

    def _look(self) -> Picture:
        with self._lock:
            if self._picture is None or self._picture.version != self._version:
                self._work_off()
                nodes, count = self._nodes, self._nodes.count
                self._picture = Picture(
                    version=self._version,
                    texts=nodes.texts,
                    parents=nodes.parents[:count],
                    names=nodes.names[:count],
                    depths=nodes.depths[:count],
                    own=nodes.own[:count].copy(),
                    tall=None if nodes.heights is None else nodes.heights[:count].copy(),
                )
            return self._picture

    def _add(self, rows: list[np.ndarray]) -> None:
        columns = dict(zip(self._columns, rows, strict=False))
        measured = rows[len(columns) :]
        keys, _ = self._keys.number(_packed(rows[: len(columns)]), len(self._keys))
        if len(self._keys) > len(self._leaves):
            known = len(self._leaves)
            self._leaves = grown(self._leaves, len(self._keys))
            self._leaves[known:] = -1
        leaves = self._leaves[keys]
        waiting = np.flatnonzero(leaves < 0)
        if not len(waiting):
            self._nodes.add(leaves, *measured)
            return
        ready = np.flatnonzero(leaves >= 0)
        while True:
            self._nodes.add(self._leaves[keys[ready]], *(values[ready] for values in measured))
            if self._nodes.count - 1 > self._cap:
                moved = self._nodes.fold(self._cap * 3 // 4)
                self._leaves = np.where(self._leaves >= 0, moved[np.maximum(self._leaves, 0)], np.int32(-1))
            if not len(waiting):
                break
            self._walk(columns, keys, waiting)
            done = self._leaves[keys[waiting]] >= 0
            ready, waiting = waiting[done], waiting[~done]
        if max(len(self._keys), len(self._nodes.texts), *map(len, self._sequences)) > max(_REMEMBERED, 2 * self._cap):
            self._nodes.renamed()
            self._forget(self._tables)

    def _walk(self, columns: Mapping[str, np.ndarray], keys: np.ndarray, waiting: np.ndarray) -> None:
        """Find the nodes of some combinations new in the rows that wait: one at least, so few that folding keeps up."""
        claims = (-2 - waiting).astype(np.int32)
        self._leaves[keys[waiting]] = claims  # of the rows of one combination the last is written, and stands for all
        first = waiting[self._leaves[keys[waiting]] == claims][:_STEP]
        numbers = [
            sequence.numbers(columns[FIELDS[name].column][first])
            for name, sequence in zip(self._fields, self._sequences, strict=True)
        ]
        frames = sum(s.lengths[n] for s, n in zip(self._sequences, numbers, strict=True))
        few = max(1, int(np.searchsorted(np.cumsum(frames), max(self._cap // 4, _STEP), side="right")))
        nodes = np.zeros(few, np.int32)
        for sequence, number in zip(self._sequences, numbers, strict=True):
            starts, lengths = sequence.starts[number[:few]], sequence.lengths[number[:few]]
            at, depth = np.flatnonzero(lengths), 0
            while len(at):
                nodes[at] = self._nodes.children(nodes[at], sequence.flat[starts[at] + depth])
                depth += 1
                at = at[lengths[at] > depth]
        self._leaves[keys[first[:few]]] = nodes


def _frames(field: str, tables: Mapping[str, StringTable]) -> Callable[[int], list[str]]:
    """Return the function from what a column holds to frames; text columns hold codes of a string table."""
    spec = FIELDS[field]
    table = tables.get(spec.column)
    return spec.frames if table is None else partial(_frames_of_code, spec.frames, table)


def _frames_of_code(frames: Callable[[str], list[str]], table: StringTable, code: int) -> list[str]:
    return frames(table[code])


def _packed(columns: list[np.ndarray]) -> np.ndarray:
    """Pack columns into keys, two of 32 bits to a word: uint64, shape (words, n)."""
    words = [c.astype(np.uint64) for c in columns if c.dtype.itemsize == 8]
    halves = [c.view(np.uint32) for c in columns if c.dtype.itemsize == 4]
    for high, low in zip(halves[::2], [*halves[1::2], None], strict=False):
        word = high.astype(np.uint64)
        if low is not None:
            word <<= np.uint64(32)
            word |= low
        words.append(word)
    return np.stack(words)


def _measured(rows: EventBatch, metric: str) -> np.ndarray:
    """Return what each row adds to a metric: int64, shape (n,). A call that did not return has no duration."""
    name = METRICS[metric].column
    if not name:
        return np.broadcast_to(np.int64(1), (len(rows),))
    values = rows[name].view(np.int64)
    if metric == "duration":
        states = rows.tables["state"]
        for state in ("in flight", "no return"):
            code = states.code(state)
            if code is not None:
                values = np.where(rows["state"] == code, 0, values)
    return values
