"""`Sheet`: what is known at one moment as whole numbers, so that those of several hosts can be added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from ior_nb.errors import ConfigError
from ior_nb.runtime.sheet.histogram import BUCKETS, OCTAVES
from ior_nb.runtime.sheet.ranked import Ranked

__all__ = [
    "CALL",
    "MEASURES",
    "NEVER",
    "RECENT",
    "SLOTS",
    "SLOT_NS",
    "Calls",
    "Process",
    "Sheet",
    "Totals",
    "Who",
    "merged",
]

SLOT_NS: Final = 500_000_000
SLOTS: Final = 120
"""Slots of the series."""
RECENT: Final = 20
"""Slots of the sliding window."""
MEASURES: Final = ("calls", "errors", "bytes", "read", "written", "latency", "timed", "address", "gap", "gaps")
"""What the series are of."""
CALL: Final = (
    *("count", "errors", "probes", "bytes", "read", "written", "latency", "timed", "measured"),
    *("in_flight", "recorded"),
)
"""What is summed up of each system call; `SyscallRow` says what it means."""
NEVER: Final = int(np.iinfo(np.int64).max)
"""The fastest of no calls."""
_MOST: Final = 2.0**62


class Totals(NamedTuple):
    """Sums over all system calls."""

    calls: int = 0
    errors: int = 0
    bytes: int = 0
    read: int = 0
    written: int = 0
    latency: int = 0
    timed: int = 0


class Process(NamedTuple):
    """Which process."""

    host: str
    """Empty where there is one host alone."""
    pid: int
    life: int
    """0 for the first of that id."""


class Who(NamedTuple):
    """What is known of a process."""

    comm: str
    ppid: int
    ended: bool


def zeros(*shape: int) -> np.ndarray:
    """Return whole numbers, all 0."""
    return np.zeros(shape, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calls:
    """What is known of each system call; arrays are int64, one row a call."""

    names: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    sums: np.ndarray = field(default_factory=lambda: zeros(0, len(CALL)))
    """By `CALL`."""
    lowest: np.ndarray = field(default_factory=lambda: zeros(0))
    """The fastest call, `NEVER` where none was timed."""
    highest: np.ndarray = field(default_factory=lambda: zeros(0))
    recent: np.ndarray = field(default_factory=lambda: zeros(0, RECENT))
    """Calls in each slot of the sliding window, the oldest first."""
    buckets: np.ndarray = field(default_factory=lambda: zeros(0))
    """Where the log-linear histograms of the recorded calls are not 0, ascending: number of the call * `BUCKETS` +
    bucket."""
    counts: np.ndarray = field(default_factory=lambda: zeros(0))
    """How many are there."""
    errnos: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Recorded failures, by name of the call and number of the error."""

    def column(self, name: str) -> np.ndarray:
        """Return one of `CALL`."""
        values: np.ndarray = self.sums[:, CALL.index(name)]
        return values

    @classmethod
    def merged(cls, parts: Sequence[Calls]) -> Calls:
        """Return the sums, by name."""
        families: dict[str, str] = {}
        for part in parts:
            for name, family in zip(part.names, part.families, strict=True):
                families[name] = max(family, families.get(name, ""))
        names = sorted(families)
        place = {name: at for at, name in enumerate(names)}
        sums, recent = zeros(len(names), len(CALL)), zeros(len(names), RECENT)
        lowest, highest = np.full(len(names), NEVER), zeros(len(names))
        keys, counts = [zeros(0)], [zeros(0)]
        errnos: dict[tuple[str, int], int] = {}
        for part in parts:
            at = np.fromiter(map(place.__getitem__, part.names), np.int64, len(part.names))
            sums[at] += part.sums
            recent[at] += part.recent
            lowest[at] = np.minimum(lowest[at], part.lowest)
            highest[at] = np.maximum(highest[at], part.highest)
            keys.append(at[part.buckets // BUCKETS] * BUCKETS + part.buckets % BUCKETS)
            counts.append(part.counts)
            for key, count in part.errnos.items():
                errnos[key] = errnos.get(key, 0) + count
        buckets, inverse = np.unique(np.concatenate(keys), return_inverse=True)
        summed = zeros(len(buckets))
        np.add.at(summed, inverse, np.concatenate(counts))
        return cls(
            names=tuple(names),
            families=tuple(families[name] for name in names),
            sums=sums,
            lowest=lowest,
            highest=highest,
            recent=recent,
            buckets=buckets,
            counts=summed,
            errnos=dict(sorted(errnos.items())),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """The statistics of one moment as whole numbers: `merged` adds up those of several hosts, or parts of a trace.

    `merged` is associative and commutative, and `Sheet()` adds nothing. All numbers but the tables' are those of all
    rows together; a table has every row that one of the merged tables has, the sums of all others, and says of which
    rows some may be among the others. Percentiles are as good as of one host: within 3 % of the exact rank.
    """

    generated_ns: int = 0
    """Wall clock; the latest of what was merged."""
    elapsed_ns: int = 0
    """Since the start or the last reset; the longest of what was merged."""
    now_ns: int = 0
    """On the clock of the rows; the latest."""
    end: int = 0
    """The last slot of the series, its start // `SLOT_NS`."""
    series: np.ndarray = field(default_factory=lambda: zeros(len(MEASURES), SLOTS))
    """Sums by `MEASURES` and slot, the oldest first."""
    calls: Calls = field(default_factory=Calls)
    hidden: Totals = field(default_factory=Totals)
    """What the sums of the calls have, and the rows have not."""
    unseen: np.ndarray = field(default_factory=lambda: zeros(OCTAVES))
    """Timed calls that are no rows, by power of two."""
    latency_decades: np.ndarray = field(default_factory=lambda: zeros(8))
    """Rows by decade of their latency."""
    gap_decades: np.ndarray = field(default_factory=lambda: zeros(8))
    """Rows by decade of their gap."""
    gaps: int = 0
    gap_total: int = 0
    address: int = 0
    waited: int = 0
    fetched: int = -1
    """-1 where nobody counts."""
    parts: Mapping[str, int] = field(default_factory=dict)
    files: Ranked = field(default_factory=Ranked)
    """By path."""
    directories: Ranked = field(default_factory=Ranked)
    """By directory; a file of several merged sheets counts once each."""
    processes: Ranked = field(default_factory=Ranked)
    """By `Process`."""
    lines: Ranked = field(default_factory=Ranked)
    """By the text of the one frame it is."""
    who: Mapping[Process, Who] = field(default_factory=dict)
    """The processes that have a row."""

    def merge(self, other: Sheet) -> Sheet:
        """Return the sum of two."""
        return merged((self, other))

    def of_host(self, host: str, ahead_ns: int = 0) -> Sheet:
        """Return the sheet as that of a host: its processes are no other host's.

        Args:
            host: its name.
            ahead_ns: what makes its clock the one that all hosts have in common. The series are moved by whole slots,
                so that they are right to a quarter of a second.
        """
        keys = [Process(host, key.pid, key.life) for key in self.processes.keys]
        return replace(
            self,
            now_ns=self.now_ns + ahead_ns,
            end=self.end + round(ahead_ns / SLOT_NS),
            processes=self.processes.renamed(keys),
            who={Process(host, key.pid, key.life): who for key, who in self.who.items()},
        )


def _aligned(values: np.ndarray, behind: int) -> np.ndarray:
    """Return slots that end later: the oldest go, new ones are empty."""
    if not behind:
        return values
    moved = np.zeros_like(values)
    if behind < values.shape[1]:
        moved[:, :-behind] = values[:, behind:]
    return moved


def _most(sheet: Sheet) -> float:
    """Return what the largest sum of a sheet comes to."""
    tables = (sheet.files, sheet.directories, sheet.processes, sheet.lines)
    sums = [np.concatenate([table.sums, [table.other, table.none]]) for table in tables]
    return max(float(values.sum(axis=0, dtype=np.float64).max(initial=0)) for values in (sheet.calls.sums, *sums))


def merged(sheets: Iterable[Sheet]) -> Sheet:
    """Return the sum of sheets; their rows come by name.

    Raises:
        ConfigError: the sums are too large to be counted.
    """
    parts = list(sheets)
    if (most := sum(map(_most, parts))) >= _MOST:
        raise ConfigError(f"{len(parts)} sheets cannot be added up: their sums come to {most:.3g}")
    end = max((part.end for part in parts), default=0)
    series = zeros(len(MEASURES), SLOTS)
    unseen, latencies, gaps = zeros(OCTAVES), zeros(8), zeros(8)
    spent: dict[str, int] = {}
    who: dict[Process, Who] = {}
    calls = []
    for part in parts:
        series += _aligned(part.series, end - part.end)
        calls.append(replace(part.calls, recent=_aligned(part.calls.recent, end - part.end)))
        unseen += part.unseen
        latencies += part.latency_decades
        gaps += part.gap_decades
        for name, amount in part.parts.items():
            spent[name] = spent.get(name, 0) + amount
        for process, known in part.who.items():
            who[process] = max(known, who.get(process, known))
    return Sheet(
        generated_ns=max((part.generated_ns for part in parts), default=0),
        elapsed_ns=max((part.elapsed_ns for part in parts), default=0),
        now_ns=max((part.now_ns for part in parts), default=0),
        end=end,
        series=series,
        calls=Calls.merged(calls),
        hidden=Totals(*(sum(column) for column in zip(*(part.hidden for part in parts), strict=True))),
        unseen=unseen,
        latency_decades=latencies,
        gap_decades=gaps,
        gaps=sum(part.gaps for part in parts),
        gap_total=sum(part.gap_total for part in parts),
        address=sum(part.address for part in parts),
        waited=sum(part.waited for part in parts),
        fetched=sum(counted) if (counted := [part.fetched for part in parts if part.fetched >= 0]) else -1,
        parts=spent,
        files=Ranked.merged([part.files for part in parts]),
        directories=Ranked.merged([part.directories for part in parts]),
        processes=Ranked.merged([part.processes for part in parts]),
        lines=Ranked.merged([part.lines for part in parts]),
        who=who,
    )
