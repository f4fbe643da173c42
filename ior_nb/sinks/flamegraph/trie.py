"""`LiveTrie`: the live flame trie as the session feeds it and the views read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from ior_nb.aggregate import weighed, weights_of
from ior_nb.real import Lock
from ior_nb.runtime import EventBatch, FlameChoices, FlameColumns, Frame, SnapshotNode, StringTable
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.index import grown, rows_of
from ior_nb.runtime.schema import column
from ior_nb.runtime.sheet import Tree
from ior_nb.sinks.flamegraph.fields import FIELDS, METRICS, PRESETS, checked_fields, checked_metric
from ior_nb.sinks.flamegraph.nodes import Nodes
from ior_nb.sinks.flamegraph.picture import MIN_SHARE, Picture
from ior_nb.sinks.flamegraph.sequences import Combinations, Sequences, powers

__all__ = ["LiveTrie"]

_SLICE: Final = 1 << 15
"""Rows handled at once: their intermediate arrays fit into a cache."""
_ENOUGH: Final = 1 << 14
"""Rows put aside before they are added: half of the cost of a few thousand rows does not depend on their number."""
_LATER: Final = 1 << 18
"""Combinations that wait for their nodes until somebody looks; beyond, who feeds works some of them off."""
_STEP: Final = 1 << 12
"""Combinations whose nodes are found at once, and the fewest frames they may have."""
_NO_CAP: Final = 1 << 31
_REMEMBERED: Final = 1 << 19
"""Keys, or frames of values, beyond which the shortcuts from rows to nodes are thrown away and learnt again."""


class _Part(NamedTuple):
    """The frames that one field gives a number of stacks; arrays of shape (n,)."""

    sequence: Sequences
    starts: np.ndarray
    """Where in the sequence they begin."""
    lengths: np.ndarray
    """How many there are."""
    depths: np.ndarray
    """How many frames stand above them."""
    above: np.ndarray
    """The hash of those."""
    factors: np.ndarray
    """What their own hash is multiplied by."""


class LiveTrie:
    """Adds up a metric over stacks of frames.

    A row is added to the combination of the codes of its fields, found by one look-up, so that a row costs the same
    however many were seen. Whoever looks brings the sums to the nodes: a new combination walks down the tree then, and
    a new value is divided into frames.

    Threads: one feeds, any may read and configure. A reader holds the lock for some combinations at a time, and while
    it copies the values; what it makes of them it makes outside.

    Args:
        fields: what the frames are, root first: names of `FIELDS`; the names ior has for them will do.
        count_field: what gives a frame its width: a name of `METRICS`.
        height_field: a second metric, or empty for none.
        cap: nodes kept, the root not counted. Beyond it the smallest subtrees fold into one `[other;]` leaf per parent
            until three quarters are left; the total of every node that stays is exact. From then on a stack without
            nodes counts in the `[other;]` leaf of its deepest frame, until it has gathered more than the smallest node
            that stayed. Below 2 there is no cap.

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
        self._lock = Lock()
        self._picture: Picture | None = None
        self._rows_again: Callable[[Sequence[str]], Iterable[EventBatch]] = lambda _: ()
        self._start()

    def _start(self) -> None:
        self._nodes = Nodes(tall=bool(self._height_field))
        self._bar = -1  # total of the smallest node the last fold kept
        self._columns = tuple(dict.fromkeys(FIELDS[name].column for name in self._fields))
        self._pending: list[tuple[np.ndarray, ...]] = []
        self._pending_rows = 0
        self._forget(None)

    def _forget(self, tables: Mapping[str, StringTable] | None) -> None:
        """Throw away the shortcuts from rows to nodes, for they are made of codes of string tables."""
        self._tables = tables
        coded = tables or {}
        self._stacks = Combinations([coded.get(n) for n in self._columns], [column(n).dtype for n in self._columns])
        # By number of a combination: its node; -1 without one, and -2 less the leaf of folded frames it counts in. What
        # it has gathered there, and what waits to be brought to the nodes, by metric.
        self._leaves = np.zeros(0, np.int32)
        self._gathered = np.zeros(0, np.int64)
        self._sums = [np.zeros(0, np.int64) for metric in (self._count_field, self._height_field) if metric]
        self._placed = 0  # combinations that have been looked for
        self._sequences = [
            Sequences(_frames(name, coded), field, self._nodes.texts, dense=FIELDS[name].column in coded)
            for field, name in enumerate(self._fields)
        ]

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

    def choices(self) -> FlameChoices:
        """Return what fields, metrics and orders there are."""
        return FlameChoices(
            fields={name: field.doc for name, field in FIELDS.items()},
            metrics={name: metric.unit for name, metric in METRICS.items()},
            presets=PRESETS,
        )

    def refill_from(self, rows: Callable[[Sequence[str]], Iterable[EventBatch]]) -> None:
        """Count these rows whenever what was accumulated is dropped: those of a trace that has ended.

        Args:
            rows: returns some columns of them.
        """
        self._rows_again = rows

    def reconfigure(self, fields: Sequence[str]) -> None:
        """Set the fields and drop what was accumulated, also when they are the same.

        Raises:
            ConfigError: none, an unknown one, or one given twice; nothing changed.
        """
        names = checked_fields(fields)
        with self._lock:
            self._fields = names
            self._restart()
        self._refill()

    def set_count_field(self, name: str) -> None:
        """Set the metric and start again from nothing; nothing happens for the same one.

        Raises:
            ConfigError: there is no such metric; nothing changed.
        """
        self._measure(checked_metric(name), self._height_field)

    def set_height_field(self, name: str) -> None:
        """Set the second metric, empty for none, and start again from nothing; nothing happens for the same one.

        Raises:
            ConfigError: there is no such metric; nothing changed.
        """
        self._measure(self._count_field, checked_metric(name, optional=True))

    def _measure(self, count_field: str, height_field: str) -> None:
        with self._lock:
            if (count_field, height_field) == (self._count_field, self._height_field):
                return
            self._count_field, self._height_field = count_field, height_field
            self._restart()
        self._refill()

    def reset(self) -> None:
        """Drop what was accumulated."""
        with self._lock:
            self._restart()
        self._refill()

    def _restart(self) -> None:
        self._start()
        self._version += 1

    def looks_at(self) -> tuple[str, ...]:
        """Return the columns it needs of rows."""
        metrics = filter(None, (self._count_field, self._height_field))
        return tuple(dict.fromkeys((*self._columns, *(name for metric in metrics for name in weighed(metric)))))

    def _refill(self) -> None:
        for batch in self._rows_again(self.looks_at()):
            self.ingest(batch)

    def ingest(self, batch: EventBatch) -> None:
        """Add the rows of a batch. Those of small batches are put aside until there are enough, or somebody looks."""
        if not len(batch):
            return
        with self._lock:
            tables = {name: batch.tables[name] for name in self._columns if column(name).text}
            if (
                self._tables is None
                or any(table is not self._tables[name] for name, table in tables.items())
                or not self._stacks.valid
            ):
                self._work_off()
                self._settle()
                self._forget(tables)
            measured = [weights_of(batch, metric) for metric in (self._count_field, self._height_field) if metric]
            self._pending.append((*(batch[name] for name in self._columns), *measured))
            self._pending_rows += len(batch)
            self._version += 1
            if self._pending_rows >= _ENOUGH:
                self._work_off()

    def _work_off(self) -> None:
        """Add the rows put aside to their combinations."""
        if self._pending:
            rows = [np.concatenate(p) if len(p) > 1 else p[0] for p in zip(*self._pending, strict=True)]
            self._pending, self._pending_rows = [], 0
            for begin in range(0, len(rows[0]), _SLICE):
                self._add([part[begin : begin + _SLICE] for part in rows])

    def snapshot_tree(self) -> tuple[SnapshotNode, int]:
        """Return the tree and the version its data belongs to.

        Children come by name. Those with less than a thousandth of the root's total are left out, but the eight largest
        stay where the root or a first-level node would be left bare. Later rows change nothing in it.
        """
        picture = self._current()
        return picture.tree, picture.version

    def snapshot_json(self) -> tuple[bytes, int]:
        """Return the tree as JSON, keys n v t ht c, and the version its data belongs to."""
        picture = self._current()
        return picture.json, picture.version

    def tree(self, limit: int = 2000) -> Tree:
        """Return the largest nodes in the form that can be added up with those of other hosts.

        Args:
            limit: nodes at most; below each, a leaf stands for what was left out.
        """
        picture = self._current()
        names, codes = np.unique(picture.names, return_inverse=True)
        whole = Tree(
            kinds=picture.kinds,
            count_field=picture.metrics[0],
            height_field=picture.metrics[1],
            texts=tuple(picture.texts.at(names)),
            parents=picture.parents.astype(np.int64),
            names=codes,
            fields=picture.fields.astype(np.int64),
            own=picture.own,
            heights=np.zeros_like(picture.own) if picture.tall is None else picture.tall,
        )
        return whole.pruned(limit)

    def snapshot_columns(
        self, min_share: float = MIN_SHARE, limit: int = 2000, focus: Sequence[Frame] = ()
    ) -> FlameColumns:
        """Return the visible nodes as arrays, ready for an icicle.

        Args:
            min_share: least share of the root's total.
            limit: nodes at most; the smallest go first.
            focus: the frames down to the one a view is zoomed to. Below it the share is one of its total, and
                its nodes go last. Without such a node it counts for nothing.
        """
        return self._current().columns(min_share, limit, focus)

    def folded(self) -> str:
        """Return all nodes with a value as collapsed stacks, one `frame;frame value` a line, sorted.

        In names `;` and line ends are escapes. Rows without any frame are `[unknown]`, folded ones `[other]`.
        """
        return self._current().folded

    def _current(self) -> Picture:
        with self._lock:
            waiting = 0 if self._picture is not None and self._picture.version == self._version else self._stacks.count
        for _ in range(self._placed, waiting, _STEP):  # who feeds gets the lock in between
            with self._lock:
                self._place(_STEP)
        with self._lock:
            if self._picture is None or self._picture.version != self._version:
                self._work_off()
                self._settle()
                nodes, count = self._nodes, self._nodes.count
                self._picture = Picture(
                    version=self._version,
                    texts=nodes.texts,
                    kinds=self._fields,
                    metrics=(self._count_field, self._height_field),
                    parents=nodes.parents[:count],
                    fields=nodes.fields[:count],
                    names=nodes.names[:count],
                    depths=nodes.depths[:count],
                    own=nodes.own[:count].copy(),
                    tall=None if nodes.heights is None else nodes.heights[:count].copy(),
                )
            return self._picture

    def _add(self, rows: list[np.ndarray]) -> None:
        """Add rows to their combinations."""
        columns, measured = rows[: len(self._columns)], rows[len(self._columns) :]
        keys = self._stacks.numbers(columns).astype(np.intp, copy=False)
        known, count = len(self._leaves), self._stacks.count
        if count > known:
            self._leaves, self._gathered = grown(self._leaves, count), grown(self._gathered, count)
            self._leaves[known:] = -1
            self._sums = [grown(sums, count) for sums in self._sums]
        for sums, values in zip(self._sums, measured, strict=True):
            np.add.at(sums, keys, 1 if is_one_value(values) and values[0] == 1 else values)
        if count - self._placed > _LATER:
            self._place(count - self._placed - _LATER)
        if max(len(self._stacks), len(self._nodes.texts), *map(len, self._sequences)) > max(_REMEMBERED, 2 * self._cap):
            self._settle()
            self._nodes.renamed()
            self._forget(self._tables)

    def _settle(self) -> None:
        """Bring all sums to the nodes."""
        known = self._leaves[: self._placed]
        waiting = np.logical_or.reduce([sums[: self._placed] != 0 for sums in self._sums])
        there = rows_of(waiting & (known != -1))
        self._bring(there)
        folded = there[known.take(there) < 0]
        self._leaves[folded[self._gathered.take(folded) > self._bar]] = -1  # it has earned nodes of its own
        self._walk(rows_of(waiting & (known == -1)))
        self._place(self._stacks.count)

    def _place(self, count: int) -> None:
        """Find the nodes of the next combinations that never were looked up, so many at most."""
        first, self._placed = self._placed, min(self._placed + count, self._stacks.count)
        self._walk(np.arange(first, self._placed))

    def _bring(self, keys: np.ndarray) -> None:
        """Add sums of combinations to their leaves; `_gathered` has what each gave to one of folded frames so far."""
        leaves = self._leaves.take(keys)
        folded = rows_of(leaves < 0)
        leaves[folded] = -2 - leaves[folded]
        brought = [sums.take(keys) for sums in self._sums]
        for sums in self._sums:
            sums[keys] = 0
        self._gathered[keys.take(folded)] += brought[0].take(folded)
        self._nodes.add(leaves, *brought)

    def _walk(self, keys: np.ndarray) -> None:
        """Find the nodes of combinations that have none, so few at a time that folding keeps up."""
        while len(keys):
            first = keys[:_STEP]
            numbers = [
                sequence.numbers(self._stacks.values[self._columns.index(FIELDS[name].column)][first])
                for name, sequence in zip(self._fields, self._sequences, strict=True)
            ]
            frames = sum(s.lengths[n] for s, n in zip(self._sequences, numbers, strict=True))
            few = max(1, int(np.searchsorted(np.cumsum(frames), max(self._cap // 4, _STEP), side="right")))
            numbers, first, keys = [number[:few] for number in numbers], first[:few], keys[few:]
            large = self._gathered.take(first) + self._sums[0].take(first) > self._bar
            self._leaves[first] = self._nodes_of(numbers, large)
            self._gathered[first[large]] = 0
            self._bring(first)
            if self._nodes.count - 1 > self._cap:
                moved, self._bar = self._nodes.fold(self._cap * 3 // 4)
                self._leaves = np.where(self._leaves >= 0, moved[np.maximum(self._leaves, 0)], np.int32(-1))

    def _nodes_of(self, numbers: list[np.ndarray], large: np.ndarray) -> np.ndarray:
        """Return the node of each stack, making those that are missing.

        Up from its last frame a stack is looked for, for most of it is there; what is missing is made downwards.

        Args:
            numbers: of each field the numbers of values, shape (n,).
            large: whose frames are made, shape (n,). For another one that is not there the result is -2 less the leaf
                of folded frames below its deepest frame.
        """
        count = len(numbers[0])
        depth, above = np.zeros(count, np.int64), np.zeros(count, np.uint64)
        parts = []
        for sequence, number in zip(self._sequences, numbers, strict=True):
            starts, lengths = sequence.starts.take(number), sequence.lengths.take(number)
            factors = powers(depth)
            parts.append(_Part(sequence, starts, lengths, depth, above, factors))
            depth = depth + lengths
            above = above + factors * np.where(lengths > 0, sequence.hashes.take(starts + lengths - 1), 0)
        nodes, there = self._known_nodes(parts)
        folded = np.zeros(count, bool)
        for field, (part, known) in enumerate(zip(parts, there, strict=True)):
            sequence, starts, lengths, depth, above, factors = part
            missing = lengths - known
            folded |= missing > 0
            missing *= large
            some = rows_of(missing)
            if len(some):
                ends = missing.take(some).cumsum()
                row = some.repeat(missing.take(some))
                at = known.take(row) + np.arange(len(row)) - (ends - missing.take(some)).repeat(missing.take(some))
                places = starts.take(row) + at
                made = self._nodes.make(
                    above.take(row) + factors.take(row) * sequence.hashes.take(places),
                    field,
                    sequence.flat.take(places),
                    depth.take(row) + at + 1,
                    np.where(at == known.take(row), nodes.take(row), -1),
                )
                nodes[some] = made.take(ends - 1)
        folded &= ~large
        nodes[folded] = -2 - self._nodes.others_of(nodes[folded])
        return nodes

    def _known_nodes(self, parts: list[_Part]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the deepest node of each stack that is there, and how many frames of each field are."""
        count = len(parts[0].starts)
        nodes, lost = np.zeros(count, np.int32), np.ones(count, bool)
        there = []
        for sequence, starts, lengths, _, above, factors in reversed(parts):
            known = lengths.copy()
            at = rows_of(lost & (lengths > 0))
            while len(at):
                places = starts.take(at) + known.take(at) - 1
                found = self._nodes.find(above.take(at) + factors.take(at) * sequence.hashes.take(places))
                hit = rows_of(found >= 0)
                nodes[at.take(hit)] = found.take(hit)
                lost[at.take(hit)] = False
                at = at.take(rows_of(found < 0))
                known[at] -= 1
                at = at.take(rows_of(known.take(at)))
            there.append(known)
        return nodes, there[::-1]


def _frames(field: str, tables: Mapping[str, StringTable]) -> Callable[[int], list[str]]:
    """Return the function from what a column holds to frames; text columns hold codes of a string table."""
    spec = FIELDS[field]
    table = tables.get(spec.column)
    return spec.frames if table is None else lambda code: spec.frames(table[code])
