"""From a sheet to the snapshot that views show."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ior_nb.runtime.sheet.histogram import BUCKETS, COARSE_EDGES, coarse, decades, quantiles
from ior_nb.runtime.sheet.ranked import ACTIVITY, Ranked
from ior_nb.runtime.sheet.sheet import CALL, MEASURES, NEVER, RECENT, SLOT_NS, Calls, Sheet, Totals
from ior_nb.runtime.stacks import parsed
from ior_nb.runtime.statistics import (
    DirectoryRow,
    FamilyRow,
    FileRow,
    LineRow,
    ProcessRow,
    Rates,
    Snapshot,
    SyscallRow,
    Trend,
)

__all__ = ["RANKINGS", "shown", "trend"]

RANKINGS: Final = ("count", "bytes", "latency")
"""What files, directories, processes and lines can be ranked by."""
_OTHER: Final = "(other)"
_NONE: Final = "(no file)"
_NO_STACK: Final = "(no Python)"
_UNRECORDED: Final = "(not recorded)"
_STEADY_PERCENT: Final = 5.0
_PERCENTILES: Final = ("p50_ns", "p90_ns", "p95_ns", "p99_ns", "p999_ns")


def shown(sheet: Sheet, *, top: int, by: str) -> Snapshot:
    """Return a sheet as a snapshot.

    Args:
        sheet: the sheet.
        top: files, directories, processes and lines at most, the rest in a row `other`.
        by: what they are ranked by, one of `RANKINGS`.
    """
    calls, hidden, end = sheet.calls, sheet.hidden, sheet.end
    elapsed = sheet.elapsed_ns / 1e9
    in_window = min(sheet.now_ns - (end - RECENT + 1) * SLOT_NS, sheet.elapsed_ns, RECENT * SLOT_NS)
    window = max(in_window, 0) / 1e9
    totals = {name: int(calls.column("count" if name == "calls" else name).sum()) for name in Totals._fields}
    recent = dict(zip(MEASURES, sheet.series[:, -RECENT:].sum(axis=1).tolist(), strict=True))
    timed_rows = _dense(calls, np.arange(len(calls.names)))
    series = dict(zip(MEASURES, sheet.series, strict=True))
    return Snapshot(
        generated_at=sheet.generated_ns / 1e9,
        elapsed_s=elapsed,
        calls=totals["calls"],
        errors=totals["errors"],
        probes=int(calls.column("probes").sum()),
        waiting_ns=sheet.waited,
        fetched_bytes=sheet.fetched,
        parts=sheet.parts,
        bytes=totals["bytes"],
        bytes_read=totals["read"],
        bytes_written=totals["written"],
        address_space_bytes=sheet.address,
        in_flight=int(calls.column("in_flight").sum()),
        recorded=int(calls.column("recorded").sum()),
        timed=totals["timed"],
        latency_total_ns=totals["latency"],
        gaps=sheet.gaps,
        gap_total_ns=sheet.gap_total,
        run=_rates({**totals, "address": sheet.address}, elapsed),
        window=_rates(recent, window),
        **_over_time(series, end),
        latency_histogram=decades(sheet.latency_decades, timed_rows, sheet.unseen),
        gap_histogram=decades(sheet.gap_decades),
        latency_counts=coarse(timed_rows),
        latency_edges_ns=COARSE_EDGES,
        syscalls=_syscalls(calls, elapsed, window),
        families=_families(calls, elapsed, window),
        files=_files(sheet.files.best(top, by), hidden),
        directories=_directories(sheet.directories.best(top, by), hidden),
        processes=_processes(sheet, hidden, elapsed, top, by),
        lines=_lines(sheet.lines, hidden, top, by),
    )


# ---- system calls and families


def _dense(calls: Calls, of: np.ndarray) -> np.ndarray:
    """Return one histogram, of some calls together: int64, shape (BUCKETS,)."""
    merged = np.zeros(BUCKETS, np.int64)
    starts = np.searchsorted(calls.buckets, of * BUCKETS)
    ends = np.searchsorted(calls.buckets, (of + 1) * BUCKETS)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        merged[calls.buckets[start:end] % BUCKETS] += calls.counts[start:end]
    return merged


def _syscalls(calls: Calls, elapsed: float, window: float) -> tuple[SyscallRow, ...]:
    """Return a row for every system call, by count, then name."""
    errors: dict[str, dict[str, int]] = {}
    for (name, number), count in sorted(calls.errnos.items(), key=lambda item: (-item[1], item[0])):
        errors.setdefault(name, {})[errno.errorcode.get(number, str(number))] = count
    rows = [
        SyscallRow(
            name=calls.names[i],
            family=calls.families[i],
            errors_by_errno=errors.get(calls.names[i], {}),
            **_common(calls, np.array([i]), elapsed, window),
        )
        for i in np.flatnonzero(calls.column("count")).tolist()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.count, row.name)))


def _families(calls: Calls, elapsed: float, window: float) -> tuple[FamilyRow, ...]:
    """Return a row for every family, by count, then name."""
    members: dict[str, list[int]] = {}
    for i in np.flatnonzero(calls.column("count")).tolist():
        members.setdefault(calls.families[i], []).append(i)
    rows = [FamilyRow(name=name, **_common(calls, np.array(at), elapsed, window)) for name, at in members.items()]
    return tuple(sorted(rows, key=lambda row: (-row.count, row.name)))


def _common(calls: Calls, at: np.ndarray, elapsed: float, window: float) -> dict[str, Any]:
    """Return what rows of one or several system calls have in common."""
    sums = dict(zip(CALL, calls.sums[at].sum(axis=0).tolist(), strict=True))
    low = int(calls.lowest[at].min())
    low = 0 if low == NEVER else low
    high = int(calls.highest[at].max())
    percentiles = [min(max(p, low), high) for p in quantiles(_dense(calls, at))] if sums["measured"] else [0] * 5
    return {
        "count": sums["count"],
        "errors": sums["errors"],
        "probes": sums["probes"],
        "bytes": sums["bytes"],
        "bytes_read": sums["read"],
        "bytes_written": sums["written"],
        "rate": _per_second(sums["count"], elapsed),
        "window_rate": _per_second(int(calls.recent[at].sum()), window),
        "in_flight": sums["in_flight"],
        "recorded": sums["recorded"],
        "timed": sums["timed"],
        "measured": sums["measured"],
        "latency_total_ns": sums["latency"],
        "latency_min_ns": low,
        "latency_max_ns": high,
        **dict(zip(_PERCENTILES, percentiles, strict=True)),
    }


# ---- ranked tables


def _files(table: Ranked, hidden: Totals) -> tuple[FileRow, ...]:
    rows = [FileRow(path=path, **_row(table, i, hidden)) for i, path in enumerate(table.keys)]
    if table.cut():
        rows.append(FileRow(path=_OTHER, **_other(table, hidden)))
    if table.none[0]:
        rows.append(FileRow(path=_NONE, **_none(table, hidden)))
    if any(hidden):
        rows.append(FileRow(path=_UNRECORDED, **_unrecorded(hidden)))
    return tuple(rows)


def _directories(table: Ranked, hidden: Totals) -> tuple[DirectoryRow, ...]:
    files = table.sums[:, ACTIVITY.index("files")].tolist()
    rows = [DirectoryRow(directory=name, files=files[i], **_row(table, i, hidden)) for i, name in enumerate(table.keys)]
    if table.cut():
        more = int(table.other[ACTIVITY.index("files")])
        rows.append(DirectoryRow(directory=_OTHER, files=more, **_other(table, hidden)))
    if table.none[0]:
        rows.append(DirectoryRow(directory=_NONE, **_none(table, hidden)))
    if any(hidden):
        rows.append(DirectoryRow(directory=_UNRECORDED, **_unrecorded(hidden)))
    return tuple(rows)


def _processes(sheet: Sheet, hidden: Totals, elapsed: float, top: int, by: str) -> tuple[ProcessRow, ...]:
    moved = sheet.processes.sums[:, [ACTIVITY.index("read"), ACTIVITY.index("written")]].sum(axis=1).tolist()
    table = sheet.processes.best(top, by, lambda i: -moved[i])
    rows = []
    for i, key in enumerate(table.keys):
        who = sheet.who[key]
        common = _row(table, i, hidden)
        rows.append(
            ProcessRow(
                host=key.host,
                pid=key.pid,
                lifetime=key.life,
                comm=who.comm,
                ppid=who.ppid,
                ended=who.ended,
                rate=_per_second(common["count"], elapsed),
                **common,
            )
        )
    if table.cut():
        other = _other(table, hidden)
        rows.append(ProcessRow(pid=0, comm=_OTHER, rate=_per_second(other["count"], elapsed), **other))
    if any(hidden):
        rate = _per_second(hidden.calls, elapsed)
        rows.append(ProcessRow(pid=0, comm=_UNRECORDED, rate=rate, **_unrecorded(hidden)))
    return tuple(rows)


def _lines(table: Ranked, hidden: Totals, top: int, by: str) -> tuple[LineRow, ...]:
    frames = [parsed(text)[0] for text in table.keys]
    places = dict(zip(table.keys, frames, strict=True))
    table = table.best(top, by, lambda i: (frames[i].file, frames[i].line))
    rows = [LineRow(**places[text]._asdict(), **_row(table, i, hidden)) for i, text in enumerate(table.keys)]
    if table.cut():
        rows.append(LineRow(function=_OTHER, **_other(table, hidden)))
    if table.none[0]:
        rows.append(LineRow(function=_NO_STACK, **_none(table, hidden)))
    if any(hidden):
        rows.append(LineRow(function=_UNRECORDED, **_unrecorded(hidden)))
    return tuple(rows)


def _row(table: Ranked, at: int, hidden: Totals) -> dict[str, Any]:
    return _fields(table.sums[at]) | {"at_least": bool(table.partial[at]) or hidden.calls > 0}


def _other(table: Ranked, hidden: Totals) -> dict[str, Any]:
    what = {"special": "other", "folded": table.folded, "at_least": hidden.calls > 0}
    return _fields(table.other) | what


def _none(table: Ranked, hidden: Totals) -> dict[str, Any]:
    return _fields(table.none) | {"special": "none", "at_least": hidden.calls > 0}


def _fields(values: np.ndarray) -> dict[str, Any]:
    """Return the fields of an `Activity` by its own names."""
    known = dict(zip(ACTIVITY, values.tolist(), strict=True))
    return {
        "count": known["count"],
        "errors": known["errors"],
        "bytes_read": known["read"],
        "bytes_written": known["written"],
        "fetched_bytes": known["fetched"],
        "faulted_bytes": known["faulted"],
        "latency_total_ns": known["latency"],
        "latency_max_ns": known["max"],
        "timed": known["count"] - known["untimed"],
    }


def _unrecorded(hidden: Totals) -> dict[str, Any]:
    """Return the fields of the row of calls that are no rows."""
    return {
        "count": hidden.calls,
        "errors": hidden.errors,
        "bytes_read": hidden.read,
        "bytes_written": hidden.written,
        "latency_total_ns": hidden.latency,
        "timed": hidden.timed,
        "special": "unrecorded",
    }


# ---- rates and series


def _per_second(amount: int, seconds: float) -> float:
    """Return a rate; 0 where no time has passed."""
    return amount / seconds if seconds > 0 else 0.0


def _rates(amounts: Mapping[str, int], seconds: float) -> Rates:
    return Rates(
        seconds=seconds,
        calls_per_s=_per_second(amounts["calls"], seconds),
        errors_per_s=_per_second(amounts["errors"], seconds),
        bytes_per_s=_per_second(amounts["bytes"], seconds),
        read_bytes_per_s=_per_second(amounts["read"], seconds),
        written_bytes_per_s=_per_second(amounts["written"], seconds),
        address_space_bytes_per_s=_per_second(amounts["address"], seconds),
    )


def _over_time(columns: Mapping[str, np.ndarray], end: int) -> dict[str, Any]:
    """Return the series of a snapshot, and their trends; `end` is the last slot."""
    latency, gap = _means(columns["latency"], columns["timed"]), _means(columns["gap"], columns["gaps"])
    throughput = _read_only(columns["bytes"] / (SLOT_NS / 1e9))
    return {
        "latency_trend": trend(latency, columns["timed"] > 0),
        "gap_trend": trend(gap, columns["gaps"] > 0),
        "throughput_trend": trend(throughput, columns["calls"] > 0),
        "series_slot_ns": SLOT_NS,
        "series_end_ns": (end + 1) * SLOT_NS,
        "calls_series": _read_only(columns["calls"] / (SLOT_NS / 1e9)),
        "latency_series_ns": latency,
        "gap_series_ns": gap,
        "throughput_series": throughput,
    }


def trend(values: np.ndarray, filled: np.ndarray) -> Trend:
    """Compare the mean of the last 20 complete slots with that of the 20 before; empty slots are left out.

    Args:
        values: float64, shape (n,), oldest first; the last slot is still filling and is not looked at.
        filled: bool, shape (n,): which slots have data.
    """
    recent, before = slice(-1 - RECENT, -1), slice(-1 - 2 * RECENT, -1 - RECENT)
    if len(values) <= 2 * RECENT or not filled[recent].any() or not filled[before].any():
        return Trend()
    now = float(values[recent][filled[recent]].mean())
    then = float(values[before][filled[before]].mean())
    if then == 0.0:
        return Trend(direction="rising", delta_percent=100.0) if now else Trend()
    delta = (now - then) / abs(then) * 100
    if abs(delta) < _STEADY_PERCENT:
        return Trend(delta_percent=delta)
    return Trend(direction="rising" if delta > 0 else "falling", delta_percent=delta)


def _read_only(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return _read_only(sums / np.maximum(counts, 1))
