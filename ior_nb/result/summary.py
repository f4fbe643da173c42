"""The short answer to "which files, how many bytes, which calls, how long, what failed?".

A `Tally` takes batches as they come and stays small: it is as long as there are distinct calls and files, however many
events there were. `Summary` is its frozen result, as text and as HTML.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.aggregate import latencies, source_files, ways
from ior_nb.real import Lock
from ior_nb.runtime import Accounting, EventBatch, Recoder, StringTable
from ior_nb.runtime.index import grown
from ior_nb.runtime.text import HTML_FONT, escaped_html, middle_cut, printable, show_bytes, show_count, show_ns

__all__ = ["CallRow", "ErrorRow", "FileRow", "SlowRow", "Summary", "Tally"]

_FIGURES: Final = "font-variant-numeric:tabular-nums;color:inherit;"
SLOWEST: Final = 5
TOP: Final = 10
_FILES: Final = 1 << 18
_FAILURES: Final = 1 << 14
"""Failed rows put aside before they are counted."""
_PIDS: Final = 1 + (1 << 22)  # PID_MAX_LIMIT of the kernel; recordings may have any
_COUNTED: Final = {"calls": "calls", "errors": "errors", "bytes": "bytes", "latency": "latency_ns"}


@dataclass(frozen=True, slots=True)
class CallRow:
    """One system call."""

    syscall: str
    calls: int
    errors: int
    bytes: int
    latency_ns: int
    max_ns: int


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file."""

    file: str
    calls: int
    bytes_read: int
    bytes_written: int
    latency_ns: int


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One way of failing."""

    syscall: str
    error: str
    calls: int
    example: str


@dataclass(frozen=True, slots=True)
class SlowRow:
    """One slow call."""

    syscall: str
    file: str
    latency_ns: int
    bytes: int
    pid: int
    comm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a trace found, ready to be shown. Tables hold at most `TOP` rows; totals are of everything."""

    title: str
    duration_s: float
    calls: int
    errors: int
    bytes_read: int
    bytes_written: int
    latency_ns: int
    processes: int
    distinct_files: int
    files: tuple[FileRow, ...]
    syscalls: tuple[CallRow, ...]
    failures: tuple[ErrorRow, ...]
    slowest: tuple[SlowRow, ...]
    accounting: Accounting
    notes: tuple[str, ...] = ()
    """Things the reader should know: a recording, rows not kept."""

    def headline(self) -> str:
        """Return the totals in one line."""
        parts = [
            f"{self.title}: {show_count(self.calls, 'call')} in {show_ns(self.duration_s * 1e9)}",
            f"{show_bytes(self.bytes_read)} read",
            f"{show_bytes(self.bytes_written)} written",
            show_count(self.distinct_files, "file"),
            f"{show_ns(self.latency_ns)} in calls",
        ]
        if self.errors:
            parts.append(show_count(self.errors, "error"))
        if self.processes > 1:
            parts.append(show_count(self.processes, "process", "processes"))
        return ", ".join(parts)

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Return (title, column names, rows) of every table that has rows; the text is raw."""
        found = [
            (
                "Files" if len(self.files) >= self.distinct_files else f"Files, the {len(self.files)} with most bytes",
                ["read", "written", "calls", "time", "file"],
                [
                    [
                        show_bytes(r.bytes_read),
                        show_bytes(r.bytes_written),
                        f"{r.calls:,}",
                        show_ns(r.latency_ns),
                        r.file,
                    ]
                    for r in self.files
                ],
            ),
            (
                "System calls",
                ["calls", "errors", "bytes", "time", "slowest", "call"],
                [
                    [
                        f"{r.calls:,}",
                        f"{r.errors:,}",
                        show_bytes(r.bytes),
                        show_ns(r.latency_ns),
                        show_ns(r.max_ns),
                        r.syscall,
                    ]
                    for r in self.syscalls
                ],
            ),
            (
                "Slowest",
                ["time", "bytes", "call", "process", "file"],
                [
                    [show_ns(r.latency_ns), show_bytes(r.bytes), r.syscall, f"{r.comm} {r.pid}", r.file]
                    for r in self.slowest
                ],
            ),
            (
                "Errors",
                ["calls", "call", "error", "for example"],
                [[f"{r.calls:,}", r.syscall, r.error, r.example] for r in self.failures],
            ),
        ]
        return [table for table in found if table[2]]

    def text(self, width: int = 110) -> str:
        """Return plain text, nothing wider than `width`, safe on a terminal."""
        lines = [self.headline(), self.accounting.line(), *self.notes]
        for title, names, rows in self.tables():
            shown = [[printable(cell) for cell in row] for row in rows]
            widths = [max(len(names[i]), *(len(row[i]) for row in shown)) for i in range(len(names))]
            last = max(16, width - sum(w + 2 for w in widths[:-1]) - 2)
            lines += ["", title]
            for row in [names, *shown]:
                left = "  ".join(cell.rjust(w) for cell, w in zip(row[:-1], widths[:-1], strict=True))
                lines.append(f"  {left}  {middle_cut(row[-1], last)}")
        return "\n".join(lines)

    def html(self) -> str:
        """Return self-contained HTML that fits a light and a dark page; every traced string is escaped."""
        warn = "" if self.accounting.complete else "color:#c62828;"
        out = [
            f'<div style="{HTML_FONT}max-width:100%;overflow-x:auto">',
            f"<div><b>{escaped_html(self.headline())}</b></div>",
            f'<div style="opacity:.75;{warn}">{escaped_html(self.accounting.line())}</div>',
            *(f'<div style="opacity:.75">{escaped_html(note)}</div>' for note in self.notes),
        ]
        for index, (title, names, rows) in enumerate(self.tables()):
            state = " open" if index < 2 else ""
            out.append(f'<details{state}><summary style="cursor:pointer;margin-top:6px">{title}</summary>')
            out.append(f'<table style="{HTML_FONT}{_FIGURES}border-collapse:collapse;margin:2px 0 4px">')
            cell = "padding:1px 10px 1px 0;border:0;background:transparent;white-space:nowrap;"
            head = "".join(
                f'<th style="{cell}opacity:.6;font-weight:normal;text-align:{_align(names, i)}">{name}</th>'
                for i, name in enumerate(names)
            )
            out.append(f"<tr>{head}</tr>")
            for row in rows:
                cells = []
                for i, value in enumerate(row):
                    long = printable(value)
                    tip = f' title="{escaped_html(value)}"' if len(long) > 90 else ""
                    cells.append(
                        f'<td style="{cell}text-align:{_align(names, i)}"{tip}>'
                        f"{escaped_html(middle_cut(long, 90))}</td>"
                    )
                out.append(f"<tr>{''.join(cells)}</tr>")
            out.append("</table></details>")
        out.append("</div>")
        return "".join(out)


def _align(names: list[str], index: int) -> str:
    return "left" if names[index] in ("file", "call", "error", "for example", "process") else "right"


class Tally:
    """Adds up batches; any thread may ask for the summary meanwhile.

    Of more than `_FILES` files the better half is kept, and a file that comes back counts as another one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._call_names, self._file_names = Recoder(), Recoder()
        self._calls = _Columns(("calls", "errors", "bytes", "latency", "max"))
        self._files = _Columns(("calls", "read", "written", "latency"))
        self._dropped = 0  # files
        self._errors: dict[tuple[int, int], tuple[int, str]] = {}  # (syscall, ret) -> count, file of the last
        self._failed: list[tuple[np.ndarray, np.ndarray, np.ndarray, StringTable]] = []  # call, ret, file, its table
        self._failures = 0
        self._seen = np.zeros(1024, bool)
        self._strange: set[int] = set()  # processes
        self._slow: EventBatch | None = None
        self._bar = 0
        self._ways = np.zeros((2, 0), np.int64)  # by syscall: 1 where it reads, where it writes

    def add(self, batch: EventBatch) -> None:
        """Count these rows. Calls in flight count as calls, without a latency."""
        if len(batch):
            with self._lock:
                self._add(batch)

    def _add(self, batch: EventBatch) -> None:
        tables = batch.tables
        # Of the machine's own width: what adds and looks up by them then needs no conversion.
        call = self._call_names.codes(batch["syscall"], tables["syscall"]).astype(np.intp)
        file = self._file_names.codes(batch["file"], tables["file"]).astype(np.intp)
        latency, moved = latencies(batch)[0], batch["bytes"].view(np.int64)
        failed = np.flatnonzero(batch["is_error"])
        names = self._call_names.own
        if self._ways.shape[1] < len(names):
            self._ways = ways(names)
        self._calls.grow(len(names))
        self._files.grow(len(self._file_names.own))
        np.add.at(self._calls.columns["calls"], call, 1)
        np.add.at(self._calls.columns["latency"], call, latency)
        bar = self._calls.columns["max"].take(call)
        above = np.flatnonzero(latency > bar)
        np.maximum.at(self._calls.columns["max"], call[above], latency[above])
        np.add.at(self._files.columns["calls"], file, 1)
        np.add.at(self._files.columns["latency"], file, latency)
        if moved.any():
            self._add_bytes(batch, call, file, moved)
        if len(failed):
            np.add.at(self._calls.columns["errors"], call[failed], 1)
            self._failed.append((call[failed], batch["ret"][failed], batch["file"][failed], tables["file"]))
            self._failures += len(failed)
            if self._failures >= _FAILURES:
                self._add_errors()
        pids = batch["pid"].astype(np.intp)
        self._seen = grown(self._seen, min(int(pids.max()) + 1, _PIDS))
        if int(pids.max()) >= len(self._seen):
            strange = pids >= len(self._seen)
            self._strange.update(pids[strange].tolist())
            pids = pids[~strange]
        self._seen[pids] = True
        self._keep_slowest(batch, latency)
        if len(self._file_names.own) > _FILES:
            self._drop_files()

    def _add_bytes(self, batch: EventBatch, call: np.ndarray, file: np.ndarray, moved: np.ndarray) -> None:
        np.add.at(self._calls.columns["bytes"], call, moved)
        reads, writes = self._ways
        read, written = moved * reads.take(call), moved * writes.take(call)
        np.add.at(self._files.columns["written"], file, written)
        if batch["old_file"].any():
            sources = source_files(batch, (reads & writes).take(call) != 0)
            credited = np.flatnonzero((sources != batch["file"]) & (moved != 0))
            file[credited] = self._file_names.codes(sources[credited], batch.tables["file"])
            self._files.grow(len(self._file_names.own))
        np.add.at(self._files.columns["read"], file, read)

    def _add_errors(self) -> None:
        """Count the failures put aside: few at a time would cost a sort each."""
        waiting, self._failed, self._failures = self._failed, [], 0
        if not waiting:
            return
        calls, rets, files = (np.concatenate(parts) for parts in list(zip(*waiting, strict=True))[:3])
        begins = np.cumsum([0, *(len(part[0]) for part in waiting)])
        keys, at, counts = np.unique(calls.astype(np.int64) << 16 | -rets, return_index=True, return_counts=True)
        for key, position, count in zip(keys.tolist(), at.tolist(), counts.tolist(), strict=True):
            known = self._errors.get((key >> 16, -(key & 0xFFFF)), (0, ""))[0]
            table = waiting[int(np.searchsorted(begins, position, side="right")) - 1][3]
            self._errors[key >> 16, -(key & 0xFFFF)] = known + count, table[int(files[position])]

    def _drop_files(self) -> None:
        """Forget the lesser half of the files."""
        best = self._ranked_files()
        kept = np.append(0, best[: _FILES // 2])
        self._dropped += len(best) - len(kept) + 1
        codes = self._file_names.keep(kept)
        for name, column in self._files.columns.items():
            fresh = np.zeros_like(column)
            fresh[codes] = column[kept]
            self._files.columns[name] = fresh

    def _ranked_files(self) -> np.ndarray:
        """Return the files that were used, the best first."""
        columns = self._files.columns
        used = np.flatnonzero((columns["calls"] > 0) | (columns["read"] > 0))
        used = used[used != 0]
        moved = columns["read"][used] + columns["written"][used]
        ranked: np.ndarray = used[np.lexsort((columns["latency"][used], columns["calls"][used], moved))[::-1]]
        return ranked

    def _keep_slowest(self, batch: EventBatch, latency: np.ndarray) -> None:
        """Remember the slowest rows so far; a batch with none of them costs one maximum."""
        if self._slow is not None:
            self._slow = self._slow.recoded(batch.tables)  # lest these few rows keep the strings of old tables
        if self._slow is not None and len(self._slow) >= SLOWEST and int(latency.max()) <= self._bar:
            return
        best = np.argpartition(latency, -SLOWEST)[-SLOWEST:] if len(batch) > SLOWEST else np.arange(len(batch))
        slow = batch.take(best)
        if self._slow is not None:
            slow = EventBatch.concat([self._slow, slow])
        order = np.argsort(-slow["latency_ns"].astype(np.int64), kind="stable")[:SLOWEST]
        self._slow = slow.take(order)
        self._bar = int(self._slow["latency_ns"].min())

    def summary(
        self,
        *,
        title: str,
        duration_s: float,
        accounting: Accounting,
        notes: tuple[str, ...] = (),
        counters: Mapping[str, Mapping[str, int]] | None = None,
    ) -> Summary:
        """Return what was added up so far.

        Args:
            title: heading.
            duration_s: length of the trace.
            accounting: where every call went.
            notes: what else the reader should know.
            counters: the kernel's exact counts by syscall, where rows are missing: they take the place of the sums of
                rows; files, errors and the slowest calls then are those of the rows alone.
        """
        with self._lock:
            self._add_errors()
            return self._summary(title, duration_s, accounting, notes, counters)

    def _summary(
        self,
        title: str,
        duration_s: float,
        accounting: Accounting,
        notes: tuple[str, ...],
        counters: Mapping[str, Mapping[str, int]] | None,
    ) -> Summary:
        files: list[FileRow] = []
        calls: list[CallRow] = []
        errors: list[ErrorRow] = []
        slowest: list[SlowRow] = []
        distinct = 0
        totals = {name: int(values.sum()) for name, values in self._calls.columns.items()}
        known = self._ways.shape[1]
        read, written = (self._calls.columns["bytes"][:known] * self._ways).sum(axis=1).tolist()
        if self._slow is not None:
            columns = self._files.columns
            ranked_files = self._ranked_files()
            distinct = len(ranked_files) + self._dropped
            paths, names = self._file_names.own, self._call_names.own
            files = [
                FileRow(paths[i], *(int(columns[n][i]) for n in ("calls", "read", "written", "latency")))
                for i in ranked_files[:TOP].tolist()
            ]
            columns = self._calls.columns
            used = np.flatnonzero(columns["calls"])
            order = np.lexsort((columns["calls"][used], columns["latency"][used]))[::-1][:TOP]
            calls = [
                CallRow(names[i], *(int(columns[n][i]) for n in ("calls", "errors", "bytes", "latency", "max")))
                for i in used[order].tolist()
            ]
            ranked = sorted(self._errors.items(), key=lambda item: -item[1][0])[:TOP]
            errors = [
                ErrorRow(names[call], errno.errorcode.get(-ret, str(ret)), count, file)
                for (call, ret), (count, file) in ranked
            ]
            order = np.argsort(-self._slow["latency_ns"].astype(np.int64), kind="stable")[:SLOWEST]
            slowest = [SlowRow(r.syscall, r.file, r.latency_ns, r.bytes, r.pid, r.comm) for r in self._slow.take(order)]
        if counters:
            worst = {row.syscall: row.max_ns for row in calls}
            exact = [
                CallRow(name, c["calls"], c["errors"], c["bytes"], c["latency_ns"], worst.get(name, 0))
                for name, c in counters.items()
            ]
            calls = sorted(exact, key=lambda row: (-row.latency_ns, row.syscall))[:TOP]
            totals = {n: sum(c[k] for c in counters.values()) for n, k in _COUNTED.items()}
            read, written = (ways(counters) * [c["bytes"] for c in counters.values()]).sum(axis=1).tolist()
            notes += (
                "totals and system calls are exact counts; files, errors and slowest calls are of the rows alone",
            )
        return Summary(
            title=title,
            duration_s=duration_s,
            calls=totals["calls"],
            errors=totals["errors"],
            bytes_read=read,
            bytes_written=written,
            latency_ns=totals["latency"],
            processes=int(np.count_nonzero(self._seen)) + len(self._strange),
            distinct_files=distinct,
            files=tuple(files),
            syscalls=tuple(calls),
            failures=tuple(errors),
            slowest=tuple(slowest),
            accounting=accounting,
            notes=notes,
        )


class _Columns:
    """Equal-length int64 columns indexed by string code, grown as codes appear."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.columns = {name: np.zeros(64, np.int64) for name in names}

    def grow(self, size: int) -> None:
        """Make room for codes below `size`."""
        self.columns = {name: grown(column, size) for name, column in self.columns.items()}
