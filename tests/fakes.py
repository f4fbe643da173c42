"""Fakes and small builders the tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pytest

from ior_nb import errors
from ior_nb.engine import ENGINES
from ior_nb.engine.bcc import Ended
from ior_nb.engine.counted import COUNTER
from ior_nb.engine.moves import Moves
from ior_nb.runtime import EventBatch, Pushdown, StringTable, TraceOptions, new_tables
from ior_nb.syscalls import SYSCALLS


def batch(tables: dict[str, StringTable] | None = None, /, **columns: list[object]) -> EventBatch:
    """Build a batch from plain lists; text columns take strings."""
    tables = tables if tables is not None else new_tables()
    arrays: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        if name in tables:
            arrays[name] = tables[name].intern_many([str(v) for v in values])
        else:
            arrays[name] = np.array(values)
    if "state" not in arrays and columns:
        length = len(next(iter(columns.values())))
        arrays["state"] = tables["state"].intern_many(["done"] * length)
    return EventBatch(arrays, tables)


class FakeEngine:
    """An engine whose events a test hands out itself."""

    name = "fake"
    replays = False
    counts_only = False
    can_wait = True
    filters = False
    syscalls = SYSCALLS
    title = ""
    notes: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    unfilled: Mapping[str, str] = MappingProxyType({})
    pages: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    moves = Moves()
    how = ""

    def __init__(self) -> None:
        self.options: TraceOptions | None = None
        self.send: Callable[[EventBatch], None] = lambda _: None
        self.totals: dict[str, int] = dict.fromkeys(
            "seen emitted sampled_out lost_ring lost_names unpaired compat unknown slots_full killed "
            "skipped_runs lost_buffer open".split(),
            0,
        )
        self.started = 0
        self.closed = 0
        self.fail: Exception | None = None

    def open(self) -> None:
        """Nothing to load."""

    def start(self, options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        if self.fail is not None:
            raise self.fail
        self.options = options
        self.send = on_batch
        self.started += 1
        return 0

    def emit(self, events: EventBatch) -> None:
        """Hand out finished calls, and count them as the kernel would."""
        self.totals["seen"] += len(events)
        self.totals["emitted"] += len(events)
        self.send(events)

    def go_live(self) -> None:
        """It always is."""

    def flush(self) -> dict[str, int]:
        return dict(self.totals)

    def counters(self) -> np.ndarray:
        return np.zeros(512, COUNTER)

    def set_specs(self, enabled: frozenset[int], rates: dict[int, int]) -> None:
        """Every probe is a dream."""

    def set_filter(self, pushdown: Pushdown, generation: int) -> None:
        """Nothing is judged here."""

    def deaths(self) -> list[tuple[int, int]]:
        return []

    def stop(self) -> Ended:
        return Ended(totals=dict(self.totals), counters=self.counters())

    def close(self) -> None:
        self.closed += 1


class RefusedEngine(FakeEngine):
    """An engine that may not work here."""

    why = "cannot load BPF programs: uid 7 lacks CAP_BPF"

    def open(self) -> None:
        raise errors.PermissionDenied(f"{self.why}. A remedy.\nMore.")


def refuse_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this a machine where no engine that traces may work, and no recording stands in."""
    for row in ENGINES.values():
        if row.traces:
            monkeypatch.setattr(row.home.replace(":", "."), RefusedEngine)
    monkeypatch.delenv("IOR_NB_REPLAY", raising=False)
