"""The tables of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ior_nb import aggregate
from ior_nb.aggregate.hosts import hosts_of
from ior_nb.export.about import About
from ior_nb.runtime.peers import Named
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.schema import PARTS
from ior_nb.runtime.text import escaped_html, middle_cut, printable, show_bytes, show_count, show_ns

__all__ = ["all_tables"]

_WIDE: Final = 200
_TAIL: Final = 20
"""Characters at the end of a path that stay where the page is too narrow for it; the stylesheet has this number too."""
_ROWS: Final = 25
_SLOW: Final = ("time_ns", "latency_ns", "bytes", "tid", "comm", "syscall", "file", "host", *PARTS)


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    values: Sequence[Any]
    show: Callable[[Any], str] | None = None
    """How a number is written; None for text."""
    main: bool = False
    """Whether a bar behind the number shows its share of the first, the largest one."""
    alarm: bool = False
    """Whether a number other than 0 is bad news."""
    path: bool = False
    """Whether the page may cut the text, its middle first, to what room it has."""


def all_tables(rows: Rows, about: About) -> str:
    """Return the sections with files, system calls, slowest calls, errors, processes, labels and directories."""
    rows = Named(rows)
    by_file = aggregate.files(rows, about.unrecorded)
    return "".join(
        (
            _files(by_file, "Files", "file", opened=True),
            _syscalls(rows, about),
            _slowest(rows, about, "Slowest calls", waiting=False),
            _slowest(rows, about, "Longest waits", waiting=True),
            _errors("Errors", aggregate.errors(rows, about.unrecorded)),
            _errors("Probes, which are no errors", aggregate.probes(rows, about.unrecorded)),
            _processes(rows, about),
            _labels(rows, about),
            _files(aggregate.directories(by_file, about.unrecorded), "Directories", "directory", opened=False),
        )
    )


def _files(found: aggregate.Columns, title: str, name: str, *, opened: bool) -> str:
    named = found[name] != ""
    read, written = found["bytes_read"][named], found["bytes_written"][named]
    columns = [
        _Column("bytes", (read + written).tolist(), show_bytes, main=True),
        _Column("read", read.tolist(), show_bytes),
        *_fetched(found["fetched_bytes"][named]),
        *_some("by faults", found["faulted_bytes"][named]),
        *_some("read again", found["reread_bytes"][named]),
        *_amplified(found, named),
        _Column("written", written.tolist(), show_bytes),
        _Column("calls", found["calls"][named].tolist(), _count),
        _Column("errors", found["errors"][named].tolist(), _count, alarm=True),
        _Column("time", found["time_ns"][named].tolist(), show_ns),
        _Column("slowest", found["max_ns"][named].tolist(), show_ns),
        _Column(name, found[name][named].tolist(), path=True),
    ]
    more = ""
    if not named.all():
        calls = int(found["calls"][~named].sum())
        more = f"; {show_count(calls, 'call')} without a file"
    return _section(title, columns, opened=opened, more=more)


def _some(title: str, values: np.ndarray) -> list[_Column]:
    """Return a column of bytes that few tables have."""
    return [_Column(title, values.tolist(), show_bytes)] if values.any() else []


def _fetched(values: np.ndarray) -> list[_Column]:
    """Return the column of bytes fetched, where they were counted."""
    measured = (values >= 0).any()
    return [_Column("fetched", np.maximum(values, 0).tolist(), show_bytes)] if measured else []


def _amplified(found: aggregate.Columns, named: np.ndarray) -> list[_Column]:
    """Return the column of bytes fetched for each byte that calls asked for, where more than nothing was."""
    if "amplification" not in found:
        return []
    values = np.nan_to_num(found["amplification"][named])
    shown = _Column("amplification", values.tolist(), lambda value: f"{value:.1f}×" if value else "·")
    return [shown] if values.any() else []


def _syscalls(rows: Rows, about: About) -> str:
    found = aggregate.syscalls(rows, about.unrecorded)
    ranks = [("median", "p50_ns"), ("p90", "p90_ns"), ("p99", "p99_ns"), ("slowest", "max_ns")]
    columns = [
        _Column("time", found["time_ns"].tolist(), show_ns, main=True),
        _Column("calls", found["calls"].tolist(), _count),
        _Column("errors", found["errors"].tolist(), _count, alarm=True),
        _Column("bytes", found["bytes"].tolist(), show_bytes),
        *(_Column(name, found[key].tolist(), show_ns) for name, key in ranks),
        _Column("family", found["family"].tolist()),
        _Column("call", found["syscall"].tolist()),
    ]
    return _section("System calls", columns)


def _slowest(rows: Rows, about: About, title: str, *, waiting: bool) -> str:
    found = aggregate.slowest(rows, 20, waiting=waiting, columns=_SLOW)
    total = aggregate.finished(rows, waiting=waiting)
    start = about.origin_ns if about.origin_ns is not None else (aggregate.span(rows) or (0, 0))[0]
    columns = [
        _Column("time", found["latency_ns"].tolist(), show_ns, main=True),
        _Column("started at", ((found["time_ns"].astype(np.int64) - start) / 1e9).tolist(), _seconds),
        _Column("bytes", found["bytes"].tolist(), show_bytes),
        *_hosts(hosts_of(found)),
        _Column("thread", found["tid"].tolist(), str),
        _Column("name", found.text("comm").tolist()),
        _Column("call", found.text("syscall").tolist()),
        *([_Column("spent", why)] if any(why := aggregate.reasons(found)) else []),
        _Column("file", found.text("file").tolist(), path=True),
    ]
    return _section(title, columns, total=total)


def _errors(title: str, found: aggregate.Columns) -> str:
    columns = [
        _Column("calls", found["calls"].tolist(), _count, main=True),
        _Column("files", found["files"].tolist(), _count),
        _Column("call", found["syscall"].tolist()),
        _Column("error", found["error"].tolist()),
        _Column("meaning", found["message"].tolist()),
        _Column("for example", found["example"].tolist(), path=True),
    ]
    return _section(title, columns)


def _processes(rows: Rows, about: About) -> str:
    found = aggregate.processes(rows, about.unrecorded)
    columns = [
        _Column("calls", found["calls"].tolist(), _count, main=True),
        _Column("errors", found["errors"].tolist(), _count, alarm=True),
        _Column("read", found["bytes_read"].tolist(), show_bytes),
        _Column("written", found["bytes_written"].tolist(), show_bytes),
        _Column("time", found["time_ns"].tolist(), show_ns),
        _Column("threads", found["threads"].tolist(), _count),
        _Column("parent", found["ppid"].tolist(), lambda pid: str(pid) if pid else ""),
        *_hosts(found.get("host", np.zeros(0))),
        _Column("process", found["pid"].tolist(), str),
        _Column("name", found["comm"].tolist()),
        *_doubts(found.get("perhaps_several", np.zeros(0))),
    ]
    return _section("Processes", columns, opened=False)


def _hosts(names: np.ndarray) -> list[_Column]:
    """Return the column of hosts, where ids are of several."""
    return [_Column("host", names.tolist())] if len(names) else []


def _doubts(which: np.ndarray) -> list[_Column]:
    """Return the column that says of which ids recordings that overlap in time may mean several processes."""
    return [_Column("perhaps several", ["yes" if one else "" for one in which.tolist()])] if len(which) else []


def _labels(rows: Rows, about: About) -> str:
    if not any(batch["label"].any() for batch in read(rows, "label")):
        return ""
    found = aggregate.labels(rows, about.unrecorded)
    columns = [
        _Column("time", found["time_ns"].tolist(), show_ns, main=True),
        _Column("waiting", found["waiting_ns"].tolist(), show_ns),
        _Column("calls", found["calls"].tolist(), _count),
        _Column("errors", found["errors"].tolist(), _count, alarm=True),
        _Column("read", found["bytes_read"].tolist(), show_bytes),
        _Column("written", found["bytes_written"].tolist(), show_bytes),
        _Column("files", found["files"].tolist(), _count),
        _Column("processes", found["processes"].tolist(), _count),
        _Column("label", [name or "(none)" for name in found["label"].tolist()]),
    ]
    return _section("Labels", columns)


def _count(value: int) -> str:
    return f"{value:,}" if value else "·"


def _seconds(value: float) -> str:
    return f"{value:.3f} s"


def _section(
    title: str, columns: Sequence[_Column], *, opened: bool = True, total: int | None = None, more: str = ""
) -> str:
    """Return a table that can be folded away; nothing when it has no rows."""
    total = len(columns[0].values) if total is None else total
    shown = min(_ROWS, len(columns[0].values))
    if not shown:
        return ""
    head = "".join(
        f'<th data-sort=""{"" if c.show else f" class={chr(34)}l{chr(34)}"} scope="col">{c.heading}</th>'
        for c in columns
    )
    cells = [[_cell(c, c.values[row], last=c is columns[-1]) for c in columns] for row in range(shown)]
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    note = f"{f'{shown:,} of {total:,}' if shown < total else f'{total:,}'}{more}"
    return (
        f"<section><details{' open' if opened else ''}><summary><h2>{title}</h2><small>{note}</small></summary>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"</details></section>"
    )


def _cell(column: _Column, value: Any, *, last: bool) -> str:
    if column.show is None:
        text = printable(value)
        cut = middle_cut(text, _WIDE if last else 32)
        tip = f' title="{escaped_html(value)}"' if cut != text or (column.path and len(text) > _TAIL) else ""
        shown = escaped_html(cut)
        if column.path and len(cut) > 2 * _TAIL:  # the page takes from the head what has no room, the tail stays
            shown = f"<span>{escaped_html(cut[:-_TAIL])}</span>{escaped_html(cut[-_TAIL:])}"
        return f'<td class="l{" wide" if last else ""}{" path" if column.path else ""}"{tip}>{shown}</td>'
    style = ""
    if column.main:
        share = value / max(1, column.values[0])
        style = f' class="main" style="--w:{share:.1%}"'
    elif column.alarm and value:
        style = ' class="e"'
    return f'<td data-v="{value}"{style}>{escaped_html(column.show(value))}</td>'
