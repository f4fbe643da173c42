"""An ended trace on the desk, and the rows of a ring that a filter accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ior_nb.clock import boot_clock
from ior_nb.errors import ConfigError
from ior_nb.flamegraph import LiveTrie
from ior_nb.runtime import EventBatch, Filter, FlameChoices, FlameColumns, SnapshotNode
from ior_nb.statsengine import Engine
from ior_nb.streamrow import RingBuffer

if TYPE_CHECKING:
    from ior_nb.result import Trace
    from ior_nb.run import Run

__all__ = ["Passing", "Past", "Refilled"]

_MOST_ROWS: Final = 2_000_000
"""Rows of an ended trace that are counted again when the user asks for something else: about two seconds."""


class Passing:
    """The rows of a ring from one on that a filter accepts, and the warnings."""

    def __init__(self, ring: RingBuffer, wanted: Filter, first: int = 0) -> None:
        self._ring, self._wanted, self._first = ring, wanted, first

    def __len__(self) -> int:
        return len(self.snapshot())

    def snapshot(self) -> EventBatch:
        return self.tail(-1)[0]

    def tail(self, after: int) -> tuple[EventBatch, int]:
        rows, pushed = self._ring.tail(after)
        if len(rows):
            keep = rows["seq"] >= self._first
            if self._wanted.active:
                keep &= self._wanted.mask(rows)
            warning = rows.tables["state"].code("warning")
            if warning is not None:
                keep |= rows["state"] == warning
            rows = rows if keep.all() else rows.take(keep)
        return rows, pushed


class Refilled:
    """A trie of an ended trace: who changes what it shows gets the kept rows counted again, not an empty picture."""

    def __init__(self, trie: LiveTrie, past: Past) -> None:
        self._trie, self._past = trie, past

    @property
    def version(self) -> int:
        return self._trie.version

    @property
    def fields(self) -> tuple[str, ...]:
        return self._trie.fields

    @property
    def count_field(self) -> str:
        return self._trie.count_field

    @property
    def height_field(self) -> str:
        return self._trie.height_field

    def choices(self) -> FlameChoices:
        return self._trie.choices()

    def snapshot_tree(self) -> tuple[SnapshotNode, int]:
        return self._trie.snapshot_tree()

    def snapshot_json(self) -> tuple[bytes, int]:
        return self._trie.snapshot_json()

    def snapshot_columns(self, min_share: float = 0.001, limit: int = 2000, focus: Sequence[str] = ()) -> FlameColumns:
        return self._trie.snapshot_columns(min_share, limit, focus)

    def reconfigure(self, fields: Sequence[str]) -> None:
        self._trie.reconfigure(fields)
        self._past.refill(self._trie)

    def set_count_field(self, name: str) -> None:
        if name != self._trie.count_field:
            self._trie.set_count_field(name)
            self._past.refill(self._trie)

    def set_height_field(self, name: str) -> None:
        if name != self._trie.height_field:
            self._trie.set_height_field(name)
            self._past.refill(self._trie)

    def reset(self) -> None:
        """Show all of the trace again."""
        self._trie.reset()
        self._past.refill(self._trie)


class Past:
    """An ended trace: its rows, and what was made of them.

    The statistics of its run are the exact ones, and are kept as long as no other filter is asked for.
    """

    def __init__(self, trace: Trace, ring: RingBuffer, run: Run | None = None, shown: Filter | None = None) -> None:
        counted = run is not None and run.watched and not run.counted_since
        self.trace = trace
        self.ring = ring
        self.statistics: Engine = run.statistics if run is not None else Engine(clock=boot_clock)
        self.trie: Refilled = Refilled(run.trie if run is not None else LiveTrie(), self)
        self._filter = shown if counted else None  # what they were counted with

    def count(self, wanted: Filter) -> None:
        """Count the rows a filter accepts."""
        if wanted == self._filter:
            return
        rows = self._rows(wanted)
        start, end = self.trace.window
        now = [start]
        statistics = Engine(clock=lambda: now[0])  # it began with the trace, and reads the clock again at each snapshot
        now[0] = end
        for part in _parts(rows):
            statistics.ingest(part)
        self._filter, self.statistics = wanted, statistics
        self.trie.reset()
        if not len(self.ring):
            self.ring.push(rows)

    def refill(self, trie: LiveTrie) -> None:
        """Add the rows to an empty trie."""
        for part in _parts(self._rows(self._filter or Filter())):
            trie.ingest(part)

    def _rows(self, wanted: Filter) -> EventBatch:
        rows = self.trace.batch
        if len(rows) > _MOST_ROWS:
            raise ConfigError(
                f"the trace has {len(rows):,} rows; the dashboard counts at most {_MOST_ROWS:,} again: "
                "narrow it with Trace.filter(...) first"
            )
        return rows.take(wanted.mask(rows)) if wanted.active else rows


def _parts(rows: EventBatch) -> list[EventBatch]:
    return [rows[at : at + 32_768] for at in range(0, len(rows), 32_768)]
