"""What views read of a published object that has the members of its contract and no more: the rest is made of those."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ior_nb.errors import ConfigError
from ior_nb.runtime import (
    EventBatch,
    FlameChoices,
    FlameColumns,
    FlameSource,
    Frame,
    LiveTrieSource,
    ProbeControl,
    ProbeManager,
    ProbeState,
    Snapshot,
    SnapshotNode,
    SnapshotSource,
    StreamSource,
    StreamTail,
)
from ior_nb.runtime.frames import FIELDS
from ior_nb.runtime.shown import ROOT, UNTOLD
from ior_nb.sinks.flamegraph import METRICS, PRESETS

__all__ = ["drawn", "in_groups", "ranked", "with_tail"]


def ranked(source: SnapshotSource) -> SnapshotSource:
    """Return statistics that may be asked for a ranking: the source itself, or what it gives without one."""
    parameters = inspect.signature(source.snapshot).parameters
    return source if {"top", "by"} <= parameters.keys() else _Plain(source)


def with_tail(source: StreamSource) -> StreamTail:
    """Return a stream that can be asked for what came since."""
    return source if isinstance(source, StreamTail) else _Numbered(source)


def drawn(trie: LiveTrieSource) -> FlameSource:
    """Return a flame trie that gives its tree as columns."""
    return trie if isinstance(trie, FlameSource) else _Tree(trie)


def in_groups(manager: ProbeManager) -> ProbeControl:
    """Return a probe control that switches several probes."""
    return manager if isinstance(manager, ProbeControl) else _OneByOne(manager)


@dataclass(frozen=True, slots=True)
class _Plain:
    source: SnapshotSource

    def snapshot(self, *, top: int | None = None, by: str = "count") -> Snapshot | None:
        """Return the statistics as they come."""
        return self.source.snapshot()


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Rows are numbered for good: their last number says how many there were."""

    source: StreamSource

    def __len__(self) -> int:
        return len(self.source)

    def snapshot(self) -> EventBatch:
        """Return the rows."""
        return self.source.snapshot()

    def tail(self, after: int) -> tuple[EventBatch, int]:
        """Return the rows with a greater number, and the greatest."""
        rows = self.source.snapshot()
        last = int(rows["seq"].max()) if len(rows) else 0
        return (rows if after < 0 or after > last else rows.take(rows["seq"] > after)), last


@dataclass(frozen=True, slots=True)
class _OneByOne:
    manager: ProbeManager

    def states(self) -> list[ProbeState]:
        """Return every state."""
        return self.manager.states()

    def toggle(self, syscall: str) -> None:
        """Switch one."""
        self.manager.toggle(syscall)

    def active_count(self) -> tuple[int, int]:
        """Return how many are on, and how many there are."""
        return self.manager.active_count()

    def set_active(self, syscalls: Iterable[str], *, active: bool) -> None:
        """Switch those that are not so yet, one after the other."""
        states = {state.syscall: state.active for state in self.manager.states()}
        for name in syscalls:
            if states.get(name) is not active:
                self.manager.toggle(name)

    def set_family(self, family: str, *, active: bool) -> None:
        """Switch all of a family."""
        members = [s.syscall for s in self.manager.states() if s.family.lower() == family.lower()]
        if not members:
            raise ConfigError(f"unknown family {family!r}")
        self.set_active(members, active=active)

    def set_rate(self, syscall: str, rate: int) -> None:
        """Nothing is sampled here."""
        raise ConfigError(f"the probes of this trace are on or off: {syscall} cannot be sampled one in {rate}")


@dataclass(frozen=True, slots=True)
class _Tree:
    trie: LiveTrieSource

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self.trie.version

    @property
    def fields(self) -> tuple[str, ...]:
        """Frame fields, root first."""
        return self.trie.fields

    @property
    def count_field(self) -> str:
        """What gives a frame its width."""
        return self.trie.count_field

    @property
    def height_field(self) -> str:
        """There is no second metric."""
        return ""

    def choices(self) -> FlameChoices:
        """Return all there are; the trie refuses what it does not know."""
        return FlameChoices(
            fields={name: field.doc for name, field in FIELDS.items()},
            metrics={name: metric.unit for name, metric in METRICS.items()},
            presets=PRESETS,
        )

    def snapshot_tree(self) -> tuple[SnapshotNode, int]:
        """Return the tree."""
        return self.trie.snapshot_tree()

    def snapshot_json(self) -> tuple[bytes, int]:
        """Return the tree as JSON."""
        return self.trie.snapshot_json()

    def reconfigure(self, fields: Sequence[str]) -> None:
        """Set the fields."""
        self.trie.reconfigure(fields)

    def set_count_field(self, name: str) -> None:
        """Set the metric."""
        self.trie.set_count_field(name)

    def set_height_field(self, name: str) -> None:
        """There is no second metric."""
        if name:
            raise ConfigError(f"this flame graph has no second metric, and so not {name!r}")

    def reset(self) -> None:
        """Drop what was accumulated."""
        self.trie.reset()

    def snapshot_columns(
        self, min_share: float = 0.001, limit: int = 2000, focus: Sequence[Frame] = ()
    ) -> FlameColumns:
        """Return the nodes of at least that share, the largest of them, depth first."""
        root, version = self.trie.snapshot_tree()
        least = root.total * min_share
        rows: list[tuple[int, int, SnapshotNode]] = []
        waiting = [(0, -1, root)]
        while waiting:
            number, parent, node = waiting.pop()
            rows.append((number, parent, node))
            for child in reversed(node.children):
                if child.total >= least:
                    name = f"{number} {child.name}".encode("utf-8", "surrogatepass")
                    waiting.append((int.from_bytes(blake2b(name, digest_size=8).digest()) >> 11, number, child))
        largest = np.argsort([-node.total for _, _, node in rows], kind="stable")[: max(limit, 1)]
        numbers, parents, nodes = zip(*(rows[i] for i in sorted(largest.tolist())), strict=True)
        return FlameColumns(
            ids=np.array(numbers, np.int64),
            parents=np.array(parents, np.int64),
            labels=np.array([node.name for node in nodes], object),
            fields=np.array([ROOT, *[UNTOLD] * (len(nodes) - 1)], np.int8),
            values=np.array([node.value for node in nodes], np.int64),
            totals=np.array([node.total for node in nodes], np.int64),
            heights=np.array([node.height for node in nodes], np.int64),
            version=version,
        )
