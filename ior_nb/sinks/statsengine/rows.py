"""From copied sums to the rows of a snapshot. Nothing here needs a lock."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ior_nb.runtime.stacks import parsed
from ior_nb.runtime.statistics import DirectoryRow, FamilyRow, FileRow, LineRow, ProcessRow, SyscallRow
from ior_nb.sinks.statsengine.activity import MAXIMA, SUMS, choose, fields, numbers
from ior_nb.sinks.statsengine.calls import ERRNOS, OTHER, Calls, Exact, Totals
from ior_nb.sinks.statsengine.files import NO_FILE, Files, roll_up
from ior_nb.sinks.statsengine.histogram import quantiles
from ior_nb.sinks.statsengine.lines import NO_LINE, Lines
from ior_nb.sinks.statsengine.processes import Processes
from ior_nb.sinks.statsengine.table import Table

__all__ = ["CallRows", "FileRows", "LineRows", "ProcessRows", "per_second"]

NONE: Final = "(no file)"
NO_STACK: Final = "(no Python)"
UNRECORDED: Final = "(not recorded)"


def per_second(amount: int, seconds: float) -> float:
    """Return a rate; 0 where no time has passed."""
    return amount / seconds if seconds > 0 else 0.0


class CallRows:
    """A copy of the sums by system call, made under the lock; its methods need none."""

    def __init__(self, calls: Calls, now_ns: int) -> None:
        self.exact = Exact(calls)
        self.histogram = calls.histogram[: calls.used].copy()
        self._recent = calls.recent_calls(now_ns)
        self._errno_keys = calls.errnos.codes[1 : calls.errnos.used].copy()
        self._errno_counts = calls.errnos.columns["count"][1 : calls.errnos.used].copy()

    def syscalls(self, elapsed_s: float, window_s: float) -> tuple[SyscallRow, ...]:
        """Return a row for every system call, by count, then name."""
        exact = self.exact
        errors: dict[int, dict[str, int]] = {}
        for at in np.argsort(-self._errno_counts, kind="stable").tolist():
            entry, number = divmod(int(self._errno_keys[at]), ERRNOS)
            errors.setdefault(entry, {})[errno.errorcode.get(number, str(number))] = int(self._errno_counts[at])
        rows = [
            SyscallRow(
                name=exact.names[i],
                family=exact.families[i],
                bytes_read=int(exact.bytes[i] * exact.reads[i]),
                bytes_written=int(exact.bytes[i] * exact.writes[i]),
                errors_by_errno=errors.get(i, {}),
                **self._common(np.array([i]), elapsed_s, window_s),
            )
            for i in np.flatnonzero(exact.count).tolist()
        ]
        return tuple(sorted(rows, key=lambda row: (-row.count, row.name)))

    def families(self, elapsed_s: float, window_s: float) -> tuple[FamilyRow, ...]:
        """Return a row for every family, by count, then name."""
        exact = self.exact
        members: dict[str, list[int]] = {}
        for i in np.flatnonzero(exact.count).tolist():
            members.setdefault(exact.families[i], []).append(i)
        rows = [
            FamilyRow(
                name=name,
                bytes_read=int((exact.bytes[at] * exact.reads[at]).sum()),
                bytes_written=int((exact.bytes[at] * exact.writes[at]).sum()),
                **self._common(np.array(at), elapsed_s, window_s),
            )
            for name, at in members.items()
        ]
        return tuple(sorted(rows, key=lambda row: (-row.count, row.name)))

    def _common(self, at: np.ndarray, elapsed_s: float, window_s: float) -> dict[str, Any]:
        """Return what rows of one or several system calls have in common."""
        exact = self.exact
        timed = at[exact.timed[at] > 0]
        low = int(exact.lowest[timed].min()) if len(timed) else 0
        high = int(exact.highest[timed].max()) if len(timed) else 0
        merged = self.histogram[at[0]] if len(at) == 1 else self.histogram[at].sum(axis=0)
        p50, p90, p95, p99, p999 = (min(max(p, low), high) for p in quantiles(merged))
        count = int(exact.count[at].sum())
        return {
            "count": count,
            "errors": int(exact.errors[at].sum()),
            "probes": int(exact.probes[at].sum()),
            "bytes": int(exact.bytes[at].sum()),
            "rate": per_second(count, elapsed_s),
            "window_rate": per_second(int(self._recent[at].sum()), window_s),
            "in_flight": int(exact.in_flight[at].sum()),
            "recorded": int(exact.recorded[at].sum()),
            "timed": int(exact.timed[at].sum()),
            "measured": int(exact.measured[at].sum()),
            "latency_total_ns": int(exact.latency[at].sum()),
            "latency_min_ns": low,
            "latency_max_ns": high,
            "p50_ns": p50 if exact.measured[at].any() else 0,
            "p90_ns": p90 if exact.measured[at].any() else 0,
            "p95_ns": p95 if exact.measured[at].any() else 0,
            "p99_ns": p99 if exact.measured[at].any() else 0,
            "p999_ns": p999 if exact.measured[at].any() else 0,
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


def _columns(table: Table, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: table.columns[name][: table.used].copy() for name in names}


class FileRows:
    """A copy of the sums by file and directory, made under the lock; its methods need none."""

    def __init__(self, files: Files) -> None:
        self._paths, self._names = files.paths.own, files.directory_names
        self._codes = files.table.codes[: files.table.used].copy()
        self._files = _columns(files.table, SUMS + MAXIMA)
        self._folded, self._folds = dict(files.table.folded), files.table.folds
        directories = files.directories
        self._directory_of = files.directory_entries()
        self._directory_codes = directories.codes[: directories.used].copy()
        self._base = _columns(directories, (*SUMS, *MAXIMA, "files"))
        self._base_folded, self._base_folds = dict(directories.folded), directories.folds

    def files(self, hidden: Totals, *, by: str, top: int) -> tuple[FileRow, ...]:
        """Return the best files, then the special rows."""
        columns = self._files
        chosen = choose(columns, self._folded, self._folds, by=by, top=top, pinned=NO_FILE)
        at_least = hidden.calls > 0
        rows = [
            FileRow(path=self._paths[int(self._codes[i])], at_least=at_least, **numbers(columns, i))
            for i in chosen.entries.tolist()
        ]
        rows.sort(key=lambda row: (-_worth(row, by), row.path))
        if chosen.needed:
            rows.append(
                FileRow(path=OTHER, special="other", folded=chosen.folded, at_least=at_least, **fields(chosen.other))
            )
        none = numbers(columns, NO_FILE)
        if none["count"]:
            rows.append(FileRow(path=NONE, special="none", at_least=at_least, **none))
        if any(hidden):
            rows.append(FileRow(path=UNRECORDED, **_unrecorded(hidden)))
        return tuple(rows)

    def directories(self, hidden: Totals, *, by: str, top: int) -> tuple[DirectoryRow, ...]:
        """Return the best directories, then the special rows."""
        columns = roll_up(self._base, self._files, self._directory_of)
        chosen = choose(columns, self._base_folded, self._base_folds, by=by, top=top, pinned=NO_FILE)
        at_least = hidden.calls > 0
        rows = [
            DirectoryRow(
                directory=self._names[int(self._directory_codes[i])],
                files=int(columns["files"][i]),
                at_least=at_least,
                **numbers(columns, i),
            )
            for i in chosen.entries.tolist()
        ]
        rows.sort(key=lambda row: (-_worth(row, by), row.directory))
        if chosen.needed:
            files = int(columns["files"].sum()) - int(columns["files"][NO_FILE]) + self._base_folded["files"]
            rows.append(
                DirectoryRow(
                    directory=OTHER,
                    files=files - sum(row.files for row in rows),
                    special="other",
                    folded=chosen.folded,
                    at_least=at_least,
                    **fields(chosen.other),
                )
            )
        none = numbers(columns, NO_FILE)
        if none["count"]:
            rows.append(DirectoryRow(directory=NONE, special="none", at_least=at_least, **none))
        if any(hidden):
            rows.append(DirectoryRow(directory=UNRECORDED, **_unrecorded(hidden)))
        return tuple(rows)


class ProcessRows:
    """A copy of the sums by process, made under the lock; its methods need none."""

    def __init__(self, processes: Processes) -> None:
        table = processes.table
        self._comms = processes.comms.own
        self._pids = table.codes[: table.used].copy()
        self._columns = _columns(table, (*SUMS, *MAXIMA, "life", "comm", "ppid"))
        self._folded, self._folds = dict(table.folded), table.folds
        self._ended = processes.ended()

    def rows(self, hidden: Totals, elapsed_s: float, *, by: str, top: int) -> tuple[ProcessRow, ...]:
        """Return the best processes, then the special rows."""
        columns = self._columns
        chosen = choose(columns, self._folded, self._folds, by=by, top=top, pinned=0)
        at_least = hidden.calls > 0
        rows = [
            ProcessRow(
                pid=int(self._pids[i]),
                lifetime=int(columns["life"][i]),
                comm=self._comms[int(columns["comm"][i])],
                ppid=int(columns["ppid"][i]),
                ended=bool(self._ended[i]),
                rate=per_second(int(columns["count"][i]), elapsed_s),
                at_least=at_least,
                **numbers(columns, i),
            )
            for i in chosen.entries.tolist()
        ]
        rows.sort(key=lambda row: (-_worth(row, by), -(row.bytes_read + row.bytes_written), row.pid, row.lifetime))
        if chosen.needed:
            rows.append(
                ProcessRow(
                    pid=0,
                    comm=OTHER,
                    rate=per_second(chosen.other["count"], elapsed_s),
                    special="other",
                    folded=chosen.folded,
                    at_least=at_least,
                    **fields(chosen.other),
                )
            )
        if any(hidden):
            unrecorded = _unrecorded(hidden)
            rate = per_second(hidden.calls, elapsed_s)
            rows.append(ProcessRow(pid=0, comm=UNRECORDED, rate=rate, **unrecorded))
        return tuple(rows)


class LineRows:
    """A copy of the sums by line, made under the lock; its methods need none."""

    def __init__(self, lines: Lines) -> None:
        table = lines.table
        self._names = lines.names
        self._codes = table.codes[: table.used].copy()
        self._columns = _columns(table, SUMS + MAXIMA)
        self._folded, self._folds = dict(table.folded), table.folds

    def rows(self, hidden: Totals, *, by: str, top: int) -> tuple[LineRow, ...]:
        """Return the best lines, then the special rows."""
        columns = self._columns
        chosen = choose(columns, self._folded, self._folds, by=by, top=top, pinned=NO_LINE)
        at_least = hidden.calls > 0
        rows = []
        for i in chosen.entries.tolist():
            (frame,) = parsed(self._names[int(self._codes[i])])
            rows.append(LineRow(**frame._asdict(), at_least=at_least, **numbers(columns, i)))
        rows.sort(key=lambda row: (-_worth(row, by), row.file, row.line))
        if chosen.needed:
            other = fields(chosen.other)
            rows.append(LineRow(function=OTHER, special="other", folded=chosen.folded, at_least=at_least, **other))
        none = numbers(columns, NO_LINE)
        if none["count"]:
            rows.append(LineRow(function=NO_STACK, special="none", at_least=at_least, **none))
        if any(hidden):
            rows.append(LineRow(function=UNRECORDED, **_unrecorded(hidden)))
        return tuple(rows)


def _worth(row: FileRow | DirectoryRow | ProcessRow | LineRow, by: str) -> int:
    if by == "bytes":
        return row.bytes_read + row.bytes_written
    return row.latency_total_ns if by == "latency" else row.count
