"""Latency: how long calls take and how long threads wait between them, and a map of latency over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from ior_nb.aggregate import WORDS
from ior_nb.runtime import LiveRuntime, Snapshot, SnapshotSource
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.filter import Node, Number, Text
from ior_nb.runtime.schema import PARTS
from ior_nb.runtime.statistics import Bucket, Histogram, SyscallRow
from ior_nb.runtime.text import show_ns
from ior_nb.widgets.checked import LONGEST_NAME, text, whole
from ior_nb.widgets.page import packed, script, still_table, style
from ior_nb.widgets.panel import Panel

__all__ = ["LatencyMap", "LatencyPanel"]

SLOTS: Final = 120
"""Columns of the map: 60 s of a trace that runs, the whole of one that has ended."""
_WATCHED: Final = 3
"""A column of more slots than that is marked: nobody looked, and when in that time a call was is not known."""
_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


class _Column(NamedTuple):
    first: int
    """Its first slot: time on the clock of the rows, in slots."""
    last: int
    """Its last slot; more than one where nobody looked."""
    counts: np.ndarray
    """Calls by row of the map: int64, shape (129,)."""


class LatencyMap:
    """What came to the cumulative histogram between two looks: a column a slot, whatever the number of events.

    Attributes:
        number: grows when the map begins anew: after a reset, or for another trace.
        columns: oldest first, none without a call.
        slot_ns: length of a slot.
    """

    def __init__(self) -> None:
        self.number = 0
        self.columns: list[_Column] = []
        self.end = 0
        self.slot_ns = 0
        self._source: SnapshotSource | None = None
        self._before: Snapshot | None = None
        self._looked_ns = 0

    def update(self, source: SnapshotSource, snapshot: Snapshot, *, running: bool) -> bool:
        """Take the new calls over; return whether the map has changed. It moves on while a trace runs."""
        slot_ns, end_ns = snapshot.series_slot_ns, snapshot.series_end_ns
        # The statistics know their slot; this machine's clock, where it is the one of the rows, knows it to the point.
        now = min(max(boot_clock(), end_ns - slot_ns), end_ns - 1)
        before, counts = self._before, snapshot.latency_counts
        if (
            before is None
            or source is not self._source
            or snapshot.elapsed_s < before.elapsed_s
            or (counts < before.latency_counts).any()
        ):
            self._looked_ns, self.columns, self.number = now - int(snapshot.elapsed_s * 1e9), [], self.number + 1
            before, new, self.slot_ns = None, counts, slot_ns
        else:
            new = counts - before.latency_counts
            if running and self.slot_ns != slot_ns:  # it had ended, and goes on
                self.columns, self.number, self.slot_ns = [], self.number + 1, slot_ns
        self._source, self._before = source, snapshot
        if new.any() and self.slot_ns == slot_ns:
            self._add(_rows(new), now, slot_ns)
        moved = False
        if before is None or (self.slot_ns == slot_ns and (running or new.any())):
            moved, self.end = now // slot_ns != self.end, now // slot_ns
            self.columns = [c for c in self.columns if c.last > self.end - SLOTS]
        self._looked_ns = now
        return before is None or bool(new.any()) or (moved and bool(self.columns))

    def spread(self, ends_ns: np.ndarray, latency_ns: np.ndarray, snapshot: Snapshot, *, running: bool) -> bool:
        """Make the map anew from all calls; return whether those of the snapshot are the ones given, else do nothing.

        Args:
            ends_ns: when each ended, int64, shape (n,).
            latency_ns: how long it took.
            snapshot: what was counted.
            running: whether the trace goes on; an ended one fills the map with its own length.
        """
        edges = _row_edges(snapshot)
        rows = np.minimum(np.searchsorted(edges, latency_ns, side="right") - 1, len(edges) - 2)
        if not np.array_equal(np.bincount(rows, minlength=len(edges) - 1), _rows(snapshot.latency_counts)):
            return False
        first = int((ends_ns - latency_ns).min())
        slot_ns = snapshot.series_slot_ns if running else max(1, -(-(int(ends_ns.max()) - first + 1) // (SLOTS - 1)))
        slots = ends_ns // slot_ns
        found, at = np.unique(slots, return_inverse=True)
        counts = np.zeros((len(found), len(edges) - 1), np.int64)
        np.add.at(counts, (at, rows), 1)
        if running and not self.end - SLOTS < found[-1] <= self.end:
            return False  # rows of another time
        self.number, self.slot_ns = self.number + 1, slot_ns
        if not running:
            self.end = max(int(found[-1]), first // slot_ns + SLOTS - 1)
        self.columns = [
            _Column(slot, slot, row)
            for slot, row in zip(found.tolist(), counts, strict=True)
            if slot > self.end - SLOTS
        ]
        return True

    def _add(self, new: np.ndarray, now: int, slot_ns: int) -> None:
        # Looks are put to the nearest edge of a slot, so that columns neither overlap nor leave holes.
        first, end = (self._looked_ns + slot_ns // 2) // slot_ns, (now + slot_ns // 2) // slot_ns
        if first == end:
            first -= 1
            if self.columns and self.columns[-1].last >= first:
                at = self.columns.pop()
                first, end, new = at.first, at.last + 1, at.counts + new
        self.columns.append(_Column(first, end - 1, new))


class LatencyPanel(Panel):
    """Histograms of latency and gap, percentiles, and calls by time and latency."""

    name = "latency"
    every_s = 0.45  # at every second tick
    _esm = script("latency.js")
    _css = style("latency.css")

    def __init__(self, runtime: LiveRuntime, **traits: Any) -> None:
        self._map = LatencyMap()
        self._ran = False
        self._key: Any = None
        self._snapshot: Snapshot | None = None
        super().__init__(runtime, **traits)

    def content(self) -> dict[str, Any] | None:
        """Return both histograms, the percentiles of every call, and the last minute of the map."""
        source, running = self.runtime.statistics(), self.runtime.control.state().running
        snapshot = self.snapshot()
        if source is None or snapshot is None or not snapshot.calls:
            key: Any = ("empty", running)
            if key == self._key:
                return None
            self._key, self._snapshot = key, None
            return {"empty": True, "running": running}
        begun = self._map.number
        moved = self._map.update(source, snapshot, running=running)
        if self._map.number != begun or (not running and self._ran):
            self._spread(snapshot, running=running)
        self._ran = running
        key = (running, snapshot.calls, snapshot.timed, snapshot.gaps)
        if moved:
            self._key = None  # until it has been shown
        if key == self._key:
            return None
        shown = {
            "empty": False,
            "running": running,
            "latency": _bars(snapshot.latency_histogram),
            "gap": _bars(snapshot.gap_histogram),
            "exact": snapshot.latency_histogram.exact,
            "percentiles": _percentiles(snapshot),
            "spent": {name: float(ns) for name, ns in snapshot.parts.items()},
            "map": self._picture(snapshot),
        }
        self._key, self._snapshot = key, snapshot
        return shown

    def _spread(self, snapshot: Snapshot, *, running: bool) -> None:
        """What came before somebody looked: where the stream still has every call, the map knows when each was."""
        rows, _ = self.runtime.stream().tail(-1)
        rows = rows.take(rows.done)[: snapshot.timed]  # those counted: later ones come with the next look
        if len(rows) and len(rows) == snapshot.timed:
            latency = rows["latency_ns"].view(np.int64)
            self._map.spread(rows["time_ns"].view(np.int64) + latency, latency, snapshot, running=running)

    def _picture(self, snapshot: Snapshot) -> dict[str, Any]:
        filled = np.flatnonzero(_rows(snapshot.latency_counts))  # since the reset: the axis only grows
        low, high = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 1)
        columns, end = self._map.columns, self._map.end
        cells = np.array([c.counts[low:high] for c in columns], np.int64).reshape(-1)
        many = np.flatnonzero(cells >> 8)
        return {
            "number": self._map.number,
            "slots": SLOTS,
            "watched": _WATCHED,
            "slot_s": self._map.slot_ns / 1e9,
            "end": end,
            "end_s": snapshot.generated_at,
            "low": low,
            "recorded": int(snapshot.latency_counts.sum()),
            "timed": snapshot.timed,
            "counts": {"t": "u1", "b": (cells & 255).astype("u1").tobytes()},  # a byte does for nearly every cell
            **packed(
                {
                    "edges": _row_edges(snapshot)[low : high + 1],
                    "first": np.array([c.first - end for c in columns], "i4"),
                    "last": np.array([c.last - end for c in columns], "i4"),
                    "many_at": many.astype("i4"),
                    "many": np.minimum(cells[many] >> 8, 2**31 - 1).astype("i4"),
                }
            ),
        }

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`narrow`: to an interval of latency or gap, an interval of time, a call, a part of the time, or several."""
        if what != "narrow":
            return super().act(what, body)
        nodes = list(self._asked(body))
        if not nodes:
            raise ValueError("this narrows nothing: choose an interval first")
        return self.narrow(*nodes)

    def _asked(self, body: Mapping[str, Any]) -> Iterator[Node]:
        if body.get("syscall"):
            yield Text("syscall", "=", text(body, "syscall", LONGEST_NAME))
        if "part" in body:
            if body["part"] not in PARTS:
                raise ValueError(f"a latency has no part {body['part']!r:.80}; it has {', '.join(PARTS)}")
            yield Number(str(body["part"]).removesuffix("_ns"), ">", 0)
        slack = 0
        if "dimension" in body:
            dimension = str(body["dimension"])
            if dimension not in ("latency", "gap"):
                raise ValueError(f"no interval of {dimension!r} here; latency or gap")
            lower, upper = (whole(body, key, 0, 1 << 64) for key in ("lower", "upper"))
            if upper and upper <= lower:
                raise ValueError(f"an interval from {lower} to {upper} ns holds nothing")
            if lower or not upper:
                yield Number(dimension, ">=", lower)
            if 0 < upper < 1 << 63:
                yield Number(dimension, "<", upper)
                slack = upper
        if "first" in body:
            slot_ns = self._map.slot_ns or 500_000_000
            first, last = (whole(body, key, 0, (1 << 62) // slot_ns) for key in ("first", "last"))
            if last < first:
                raise ValueError(f"there is no time from slot {first} to {last}")
            # A call lies where it ended, and was counted up to a slot later: it began at most its duration before.
            yield Number("time", ">=", max((first - 1) * slot_ns - slack, 0))
            yield Number("time", "<", (last + 1) * slot_ns)

    def still(self) -> str:
        """Return the histograms and the percentiles as tables."""
        snapshot = self._snapshot
        if snapshot is None:
            return ""
        calls = snapshot.syscalls[:10]
        return "".join(
            [
                _table("latency of calls", snapshot.latency_histogram, snapshot.timed),
                _table("gap between the calls of a thread", snapshot.gap_histogram),
                *_spent_table(snapshot),
                still_table(
                    ["call", "p50", "p90", "p95", "p99", "p99.9", "max"],
                    [
                        [
                            r.name,
                            *(
                                show_ns(v)
                                for v in (r.p50_ns, r.p90_ns, r.p95_ns, r.p99_ns, r.p999_ns, r.latency_max_ns)
                            ),
                        ]
                        for r in calls
                        if r.timed
                    ],
                    "percentiles of the latency",
                ),
            ]
        )


def _rows(counts: np.ndarray) -> np.ndarray:
    """Return the rows of the map: two to a power of two, the first is the value 0; int64, shape (129,)."""
    return np.concatenate([counts[:1], counts[1:].reshape(-1, 2).sum(axis=1)])


def _row_edges(snapshot: Snapshot) -> np.ndarray:
    """Return their edges: float64, shape (130,)."""
    return np.concatenate([snapshot.latency_edges_ns[:1], snapshot.latency_edges_ns[1::2]])


def _bars(histogram: Histogram) -> list[list[int]]:
    return [[b.lower_ns, b.upper_ns, b.count] for b in histogram.buckets]


def _percentiles(snapshot: Snapshot) -> dict[str, Any]:
    """Return them of every system call, behind those of all calls, as columns."""
    rows = [_all_calls(snapshot), *(r for r in snapshot.syscalls if r.timed)]
    numbers = np.array(
        [
            (r.p50_ns, r.p90_ns, r.p95_ns, r.p99_ns, r.p999_ns, r.latency_max_ns, r.latency_min_ns, r.measured, r.timed)
            for r in rows
        ],
        "f8",
    )
    names = (*_QUANTILES, "max", "min", "measured", "timed")
    return packed(
        {
            "name": [r.name for r in rows],
            **{name: numbers[:, i].astype("f4" if name in _QUANTILES else "f8") for i, name in enumerate(names)},
        }
    )


def _all_calls(snapshot: Snapshot) -> SyscallRow:
    timed = [r for r in snapshot.syscalls if r.timed]
    high = max((r.latency_max_ns for r in timed), default=0)
    running = np.concatenate([[0], np.cumsum(snapshot.latency_counts)])
    measured = int(running[-1])
    ranks = [q * measured for q in _QUANTILES.values()]
    # Inside a bucket the calls are taken to be evenly spread.
    at = np.interp(ranks, running, snapshot.latency_edges_ns) if measured else ranks
    p50, p90, p95, p99, p999 = (min(int(v), high) for v in at)
    return SyscallRow(
        name="",
        family="",
        count=snapshot.calls,
        p50_ns=p50,
        p90_ns=p90,
        p95_ns=p95,
        p99_ns=p99,
        p999_ns=p999,
        latency_max_ns=high,
        latency_min_ns=min((r.latency_min_ns for r in timed), default=0),
        measured=measured,
        timed=snapshot.timed,
    )


def _interval(bucket: Bucket) -> str:
    lower, upper = show_ns(bucket.lower_ns), show_ns(bucket.upper_ns)
    if not bucket.upper_ns:
        return f"{lower} or more"
    return f"{lower} - {upper}" if bucket.lower_ns else f"under {upper}"


def _spent_table(snapshot: Snapshot) -> list[str]:
    """Return what the time went to, where it was measured."""
    whole = sum(snapshot.parts.values())
    rows = [[WORDS[name], show_ns(ns), f"{ns / whole:.1%}"] for name, ns in snapshot.parts.items() if ns]
    return [still_table(["time in calls", "", "share"], rows)] if rows else []


def _table(title: str, histogram: Histogram, timed: int = 0) -> str:
    if histogram.total < timed:
        title += f", {histogram.total:,} of {timed:,}: of the rows"
    total, running, rows = max(histogram.total, 1), 0, []
    for bucket in histogram.buckets:
        running += bucket.count
        rows.append([_interval(bucket), f"{bucket.count:,}", f"{bucket.count / total:.1%}", f"{running / total:.1%}"])
    return still_table([title, "count", "share", "cumulative"], rows)
