"""Rows as a test thinks of them, and the same sums in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from ior_nb.runtime import Activity, EventBatch, Snapshot, StringTable, new_tables
from ior_nb.sinks.statsengine import Statistics
from ior_nb.syscalls import BY_NAME
from tests.fakes import batch

START = 1_000_000_000_000
SLOT = 500_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Event:
    """One row, as a test thinks of it."""

    syscall: str = "read"
    file: str = "/d/a"
    old_file: str = ""
    bytes: int = 0
    latency: int = 100
    gap: int = 10
    ret: int = 0
    state: str = "done"
    first: bool = False
    time: int = START
    pid: int = 7
    tid: int = 7
    comm: str = "python"
    address: int = 0

    @property
    def failed(self) -> bool:
        return -4095 <= self.ret < 0

    @property
    def timed(self) -> bool:
        return self.state == "done"

    @property
    def read(self) -> int:
        return self.bytes if BY_NAME[self.syscall].bytes_class in ("read", "transfer") else 0

    @property
    def written(self) -> int:
        return self.bytes if BY_NAME[self.syscall].bytes_class in ("write", "transfer") else 0

    @property
    def source(self) -> str:
        return self.old_file if self.old_file and self.read and self.written else self.file


def rows(events: Sequence[Event], tables: dict[str, StringTable] | None = None) -> EventBatch:
    """Build a batch."""
    return batch(
        tables if tables is not None else new_tables(),
        syscall=[e.syscall for e in events],
        family=[BY_NAME[e.syscall].family for e in events],
        file=[e.file for e in events],
        old_file=[e.old_file for e in events],
        bytes=[e.bytes for e in events],
        latency_ns=[e.latency for e in events],
        gap_ns=[e.gap for e in events],
        ret=[e.ret for e in events],
        is_error=[e.failed for e in events],
        state=[e.state for e in events],
        first_on_tid=[e.first for e in events],
        time_ns=[e.time for e in events],
        pid=[e.pid for e in events],
        tid=[e.tid for e in events],
        comm=[e.comm for e in events],
        address_space_bytes=[e.address for e in events],
    )


class Clock:
    """A clock a test moves."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def engine(clock: Callable[[], int] | None = None, **limits: Any) -> Statistics:
    """Make an engine that shows everything, on a clock of our own."""
    return Statistics(clock=clock or Clock(), wall_clock=lambda: 1.5, **{"top": 10_000, **limits})


def fed(events: Iterable[Sequence[Event]], clock: Clock | None = None, **limits: Any) -> tuple[Statistics, Snapshot]:
    """Ingest batches of one trace."""
    made, tables = engine(clock, **limits), new_tables()
    for part in events:
        made.ingest(rows(part, tables))
    return made, made.snapshot()


def nearest_rank(values: Sequence[int], thousandths: int) -> int:
    """The exact percentile."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * thousandths // 1000), 1) - 1] if ordered else 0


def total(table: Sequence[Activity], name: str) -> int:
    """Sum of a column of a table."""
    return sum(getattr(row, name) for row in table)


def grouped(events: Iterable[Event], key: Callable[[Event], Any]) -> dict[Any, list[Event]]:
    """Events by key."""
    groups: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return groups


def some_events(chance: random.Random, count: int) -> list[Event]:
    """Make events of every kind, repeated names and extreme values among them."""
    pick, up_to = chance.choice, chance.randrange
    return [
        Event(
            syscall=pick(["read", "write", "sendfile64", "openat", "exit_group", "brk", "futex"]),
            file=pick(["/d/a", "/d/b", "/top", "pipe:[1]", "", "//u/x", "<b>"]),
            old_file=pick(["", "", "/d/a", "/src/only"]),
            bytes=pick([0, up_to(100), up_to(1 << 40)]),
            latency=pick([0, 1, up_to(100), up_to(10**10)]),
            gap=pick([0, up_to(10), up_to(10**10)]),
            ret=pick([0, 5, -2, -9, -4095]),
            state=pick(["done", "done", "done", "no return", "in flight"]),
            first=pick([True, False]),
            time=START + pick([0, up_to(SLOT), up_to(-70 * SECOND, 90 * SECOND)]),
            pid=pick([7, 8, 4_194_304]),
            tid=pick([7, 8, 70, 80]),
            comm=pick(["", "python", "worker"]),
            address=up_to(1 << 40),
        )
        for _ in range(count)
    ]


def parts_of(sizes: list[int], seed: int) -> list[list[Event]]:
    """Make batches of these sizes."""
    chance = random.Random(seed)
    return [some_events(chance, size) for size in sizes]


# Hypothesis draws the shape and a seed: drawing every field of every event would take minutes.
SEED = st.integers(0, 1 << 32)
CHECKED = settings(deadline=None, max_examples=100)
