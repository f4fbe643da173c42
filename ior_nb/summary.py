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

from ior_nb.runtime import Accounting, EventBatch
from ior_nb.runtime.text import escaped_html, middle_cut, printable, show_bytes, show_count, show_ns
from ior_nb.syscalls import SYSCALLS

__all__ = ["CallRow", "ErrorRow", "FileRow", "SlowRow", "Summary", "Tally"]

SLOWEST: Final = 5
TOP: Final = 10
_COUNTED: Final = {"calls": "calls", "errors": "errors", "bytes": "bytes", "latency": "latency_ns"}
_CLASS: Final = {c.name: c.bytes_class for c in SYSCALLS}


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
                "Files",
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
            '<div style="font-size:13px;line-height:1.45;max-width:100%;overflow-x:auto">',
            f"<div><b>{escaped_html(self.headline())}</b></div>",
            f'<div style="opacity:.75;{warn}">{escaped_html(self.accounting.line())}</div>',
            *(f'<div style="opacity:.75">{escaped_html(note)}</div>' for note in self.notes),
        ]
        for index, (title, names, rows) in enumerate(self.tables()):
            state = " open" if index < 2 else ""
            out.append(f'<details{state}><summary style="cursor:pointer;margin-top:6px">{title}</summary>')
            out.append('<table style="border-collapse:collapse;margin:2px 0 4px">')
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
    """Adds up batches that share their string tables. One thread at a time."""

    def __init__(self) -> None:
        self._calls = _Columns(("calls", "errors", "bytes", "latency", "max"))
        self._files = _Columns(("calls", "read", "written", "latency"))
        self._errors: dict[tuple[int, int], list[int]] = {}  # (syscall code, ret) -> [count, file code of the last]
        self._pids: set[int] = set()
        self._slow: EventBatch | None = None
        self._bar = 0
        self._last: EventBatch | None = None
        self._read_codes = np.zeros(0, bool)
        self._write_codes = np.zeros(0, bool)

    def add(self, batch: EventBatch) -> None:
        """Count these rows. Calls in flight count as calls, without a latency."""
        if not len(batch):
            return
        self._last = batch
        call, file, moved = batch["syscall"], batch["file"], batch["bytes"]
        latency = batch["latency_ns"]
        done = batch["state"] == (batch.tables["state"].code("done") or 0)
        if not done.all():
            latency = np.where(done, latency, 0)
        failed = batch["is_error"]
        self._calls.add(call, calls=None, errors=failed, bytes=moved, latency=latency)
        self._calls.raise_to(call, latency)
        names = batch.tables["syscall"]
        if len(self._read_codes) < len(names):
            classes = [_CLASS.get(names[i], "none") for i in range(len(names))]
            self._read_codes = np.array([c in ("read", "transfer") for c in classes])
            self._write_codes = np.array([c in ("write", "transfer") for c in classes])
        reads, writes = self._read_codes[call], self._write_codes[call]
        old = batch["old_file"]
        source = np.where(reads & writes & (old != 0), old, file)  # a transfer reads from its source
        self._files.add(file, calls=None, written=moved * writes, latency=latency)
        self._files.add(source, read=moved * reads)
        rows = np.flatnonzero(failed)
        if len(rows):
            keys, at, counts = np.unique(
                call[rows].astype(np.int64) << 16 | (-batch["ret"][rows]), return_index=True, return_counts=True
            )
            for key, position, count in zip(keys.tolist(), at.tolist(), counts.tolist(), strict=True):
                entry = self._errors.setdefault((key >> 16, -(key & 0xFFFF)), [0, 0])
                entry[0] += count
                entry[1] = int(file[rows[position]])
        pids = batch["pid"]
        self._pids.update(pids[:1].tolist() if (pids == pids[0]).all() else np.unique(pids).tolist())
        self._keep_slowest(batch, latency)

    def _keep_slowest(self, batch: EventBatch, latency: np.ndarray) -> None:
        """Remember the slowest rows so far; a batch with none of them costs one maximum."""
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
        files: list[FileRow] = []
        calls: list[CallRow] = []
        errors: list[ErrorRow] = []
        slowest: list[SlowRow] = []
        distinct = 0
        totals = {name: int(values.sum()) for name, values in self._calls.columns.items()}
        read, written = (int(self._files.columns[name].sum()) for name in ("read", "written"))
        if self._last is not None and self._slow is not None:
            tables = self._last.tables
            columns = self._files.columns
            used = np.flatnonzero((columns["calls"] > 0) | (columns["read"] > 0))
            used = used[used != 0]
            distinct = len(used)
            moved = columns["read"][used] + columns["written"][used]
            order = np.lexsort((columns["latency"][used], columns["calls"][used], moved))[::-1][:TOP]
            files = [
                FileRow(tables["file"][i], *(int(columns[n][i]) for n in ("calls", "read", "written", "latency")))
                for i in used[order].tolist()
            ]
            columns = self._calls.columns
            used = np.flatnonzero(columns["calls"])
            order = np.lexsort((columns["calls"][used], columns["latency"][used]))[::-1][:TOP]
            calls = [
                CallRow(
                    tables["syscall"][i], *(int(columns[n][i]) for n in ("calls", "errors", "bytes", "latency", "max"))
                )
                for i in used[order].tolist()
            ]
            ranked = sorted(self._errors.items(), key=lambda item: -item[1][0])[:TOP]
            errors = [
                ErrorRow(tables["syscall"][call], errno.errorcode.get(-ret, str(ret)), count, tables["file"][file])
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
            read, written = (
                sum(c["bytes"] for name, c in counters.items() if _CLASS.get(name) in (direction, "transfer"))
                for direction in ("read", "write")
            )
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
            processes=len(self._pids),
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

    def _grow(self, top: int) -> None:
        size = len(next(iter(self.columns.values())))
        if top >= size:
            extra = max(size, top + 1 - size)
            self.columns = {n: np.concatenate([c, np.zeros(extra, np.int64)]) for n, c in self.columns.items()}

    def add(self, codes: np.ndarray, **values: np.ndarray | None) -> None:
        """Add a value per row to the entry of its code; None adds one."""
        self._grow(int(codes.max()))
        size = int(codes.max()) + 1
        for name, value in values.items():
            # Sums in float64 are exact up to 2**53.
            total = np.bincount(codes, weights=value, minlength=size)
            self.columns[name][:size] += total.astype(np.int64)

    def raise_to(self, codes: np.ndarray, values: np.ndarray) -> None:
        """Keep the largest value of each code in `max`."""
        np.maximum.at(self.columns["max"], codes, values.astype(np.int64))
