"""The short answer to "which files, how many bytes, which calls, how long, what failed?", as text and as HTML."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Final

from ior_nb.result import hosted, writeback
from ior_nb.result.cost import Packages
from ior_nb.result.imports import imports_html, imports_line
from ior_nb.result.labelled import LabelRow
from ior_nb.result.lines import Annotated
from ior_nb.result.overview import Overview
from ior_nb.result.pathcell import PATH_CELL, whole_path
from ior_nb.result.spent import Spending
from ior_nb.runtime import Accounting, Completeness
from ior_nb.runtime.host import HostCounts
from ior_nb.runtime.text import (
    HTML_FONT,
    NO_MATH,
    at_host,
    escaped_html,
    middle_cut,
    printable,
    show_bytes,
    show_count,
    show_ns,
)

__all__ = ["CallRow", "ErrorRow", "FileRow", "SlowRow", "Summary"]

_SOURCES: Final = 3
"""Cells shown at most."""
_TABLE: Final = "border-collapse:collapse;table-layout:auto;width:100%;margin:2px 0 4px"
_FIGURES: Final = "font-variant-numeric:tabular-nums;color:inherit;"


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
    why: str = ""
    """What took most of the time; empty where it was not measured."""
    host: str = ""
    """Where it ran, of several hosts; raw."""

    @property
    def process(self) -> str:
        """Whose call it was, as `python 8`; raw."""
        return f"{self.comm} {at_host(self.host, self.pid)}"


_WRITTEN: Final = "What became of bytes written"
_PROBES: Final = "Probes, which are no errors"
_ERROR_HEAD: Final = ["calls", "call", "error", "for example"]


def _slow_table(title: str, rows: tuple[SlowRow, ...]) -> tuple[str, list[str], list[list[str]]]:
    """Return a table of calls; what took their time is there where it was measured."""
    told = any(r.why for r in rows)
    head = ["time", "bytes", "call", "process", *(["spent"] if told else []), "file"]
    cells = [
        [show_ns(r.latency_ns), show_bytes(r.bytes), r.syscall, r.process, *([r.why] if told else []), r.file]
        for r in rows
    ]
    return title, head, cells


def _error_cells(rows: tuple[ErrorRow, ...]) -> list[list[str]]:
    return [[f"{r.calls:,}", r.syscall, r.error, r.example] for r in rows]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Summary:
    """What a trace found, ready to be shown. Tables hold the first rows; totals are of everything."""

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
    probes: int = 0
    """Failures that are none: answers to questions of normal work. `errors` has the others."""
    waiting_ns: int = 0
    """What of `latency_ns` was spent waiting for somebody else."""
    answers: tuple[ErrorRow, ...] = ()
    """Which probes."""
    waits: tuple[SlowRow, ...] = ()
    """The longest waits; they are not among the slowest."""
    labels: tuple[LabelRow, ...] = ()
    """Stretches of the user's work, most time first."""
    dirty: tuple[tuple[str, ...], ...] = ()
    """Files that were written to, as cells under `writeback.HEAD`."""
    overview: Overview
    """What to see of it first."""
    spending: Spending = field(default_factory=Spending)
    """What the device had to read, and what calls waited for."""
    completeness: Completeness
    notes: tuple[str, ...] = ()
    """Things the reader should know: a recording, rows not kept."""
    sources: tuple[Annotated, ...] = ()
    """Cells with what each of their lines made, most time first."""
    host: HostCounts | None = None
    """What the host counted, of a trace that has nothing else."""
    imports: Packages = ()
    """Packages with what their import made, most time first."""

    @property
    def accounting(self) -> Accounting:
        """Where every call went."""
        return self.completeness.accounting

    def headline(self) -> str:
        """Return what happened, in a sentence as a user would say it."""
        if self.host is not None:
            return f"{self.title}: {hosted.sentence(self.host)}"
        rows = "of the rows alone: " if self.completeness.partial else ""
        return f"{self.title}: {rows}{self.overview.sentence()}"

    def totals(self) -> str:
        """Return the totals in one line."""
        if self.host is not None:
            return hosted.times(self.host)
        parts = [
            f"{show_count(self.calls, 'call')} in {show_ns(self.duration_s * 1e9)}",
            f"{show_bytes(self.bytes_read)} read",
            f"{show_bytes(self.bytes_written)} written",
            show_count(self.distinct_files, "file"),
            f"{show_ns(self.latency_ns - self.waiting_ns)} in calls",
        ]
        if self.waiting_ns:
            parts.append(f"{show_ns(self.waiting_ns)} waiting")
        if self.errors or self.probes:
            probes = f"; {show_count(self.probes, 'probe')}" if self.probes else ""
            parts.append(f"{self.errors:,} failed{probes}")
        if self.processes > 1:
            parts.append(show_count(self.processes, "process", "processes"))
        return ", ".join(parts)

    def amounts(self) -> tuple[str, ...]:
        """Return what the time and the bytes went to, and the totals, in lines."""
        return (*self.spending.lines(), self.totals())

    @property
    def _imports_apart(self) -> bool:
        """Whether imports have to be said: not where all are those of one cell, which says so."""
        return bool(self.imports) and all(source.imports != self.imports for source in self.sources[:_SOURCES])

    def all_notes(self) -> tuple[str, ...]:
        """Return the notes, and what the rows themselves say cannot be seen."""
        if not self.overview.synced:
            return self.notes
        times = show_count(self.overview.synced, "time")
        return (*self.notes, f"mapped memory was written back {times} (msync): what goes through it is no call's bytes")

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Return (title, column names, rows) of every table that has rows; the text is raw."""
        if self.host is not None:
            return [table for table in hosted.tables(self.host) if table[2]]
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
                "Labels",
                ["time", "read", "written", "calls", "errors", "label"],
                [
                    [
                        show_ns(r.latency_ns),
                        show_bytes(r.bytes_read),
                        show_bytes(r.bytes_written),
                        f"{r.calls:,}",
                        f"{r.errors:,}",
                        r.label,
                    ]
                    for r in self.labels
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
            (_WRITTEN, [*writeback.HEAD], [list(row) for row in self.dirty]),
            _slow_table("Slowest", self.slowest),
            _slow_table("Waiting", self.waits),
            (
                "Errors",
                _ERROR_HEAD,
                _error_cells(self.failures),
            ),
            (
                _PROBES,
                _ERROR_HEAD,
                _error_cells(self.answers),
            ),
        ]
        return [table for table in found if table[2]]

    def text(self, width: int = 110) -> str:
        """Return plain text, nothing wider than `width`, safe on a terminal."""
        lines = [
            line
            for said in (self.headline(), *self.amounts())
            for line in textwrap.wrap(printable(said), width, subsequent_indent="    ", break_on_hyphens=False)
        ]
        lines += map(printable, (*self.completeness.lines(), *self.all_notes()))
        lines += self.overview.text(self.duration_s * 1e9, width)
        for source in self.sources[:_SOURCES]:
            lines += ["", source.text(width)]
        if self._imports_apart:
            lines += ["", imports_line(self.imports, width)]
        tables = self.tables()
        # Nothing in a text can be folded away: the overview says the most of the files.
        folded = (tables[0][0], _WRITTEN, _PROBES) if self.overview.lines else (_WRITTEN, _PROBES)
        for title, names, rows in tables:
            if title in folded:
                continue
            shown = [[printable(cell) for cell in row] for row in rows]
            widths = [max(len(names[i]), *(len(row[i]) for row in shown)) for i in range(len(names))]
            last = max(16, width - sum(w + 2 for w in widths[:-1]) - 2)
            lines += ["", title]
            for row in [names, *shown]:
                left = "  ".join(cell.rjust(w) for cell, w in zip(row[:-1], widths[:-1], strict=True))
                lines.append(f"  {left}  {middle_cut(row[-1], last)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()

    def html_overview(self) -> str:
        """Return the sentence, the strip and the files as HTML; every traced string is escaped."""
        said = f'<div style="overflow-wrap:anywhere"><b>{escaped_html(self.overview.sentence())}</b></div>'
        return f"{said}{self.overview.html(self.duration_s * 1e9)}"

    def html(self) -> str:
        """Return self-contained HTML that fits a light and a dark page; every traced string is escaped."""
        warn = "" if self.completeness.complete else "color:#c62828;"
        about, *caveats = self.completeness.lines()
        out = [
            f'<div {NO_MATH} style="{HTML_FONT}max-width:100%;overflow-x:auto">',
            f'<div style="overflow-wrap:anywhere"><b>{escaped_html(self.headline())}</b></div>',
            *(f'<div style="opacity:.75">{escaped_html(said)}</div>' for said in self.amounts()),
            f'<div style="opacity:.75;{warn}">{escaped_html(about)}</div>',
            *(f'<div style="opacity:.75">{escaped_html(note)}</div>' for note in (*caveats, *self.all_notes())),
            self.overview.html(self.duration_s * 1e9),
        ]
        for index, source in enumerate(self.sources[:_SOURCES]):
            state = "" if index else " open"
            title = f"Lines: {escaped_html(source.title)}"
            out.append(f'<details{state}><summary style="cursor:pointer;margin-top:6px">{title}</summary>')
            out.append(f"{source.html()}</details>")
        out.append(imports_html(self.imports) if self._imports_apart else "")
        for title, names, rows in self.tables():
            state = " open" if self.host is not None else ""
            out.append(f'<details{state}><summary style="cursor:pointer;margin-top:6px">{title}</summary>')
            out.append(f'<table style="{HTML_FONT}{_FIGURES}{_TABLE}">')
            cell = "padding:1px 10px 1px 0;border:0;background:transparent;white-space:nowrap;"
            head = "".join(
                f'<th style="{cell}opacity:.6;font-weight:normal;text-align:{_align(names, i)}">{name}</th>'
                for i, name in enumerate(names)
            )
            out.append(f"<tr>{head}</tr>")
            for row in rows:
                cells = [
                    f'<td style="{cell}text-align:{_align(names, i)}">{escaped_html(value)}</td>'
                    for i, value in enumerate(row[:-1])
                ]
                text = escaped_html(row[-1]) if names[-1] == "what" else whole_path(row[-1])
                last = f'<td style="{cell}{PATH_CELL}">{text}'
                out.append(f"<tr>{''.join(cells)}{last}</td></tr>")
            out.append("</table></details>")
        out.append("</div>")
        return "".join(out)


def _align(names: list[str], index: int) -> str:
    return (
        "left"
        if names[index] in ("what", "to be", "file", "label", "call", "error", "for example", "process", "spent")
        else "right"
    )
