"""Syscalls: one row for each system call, or for each family, with latency percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import traitlets

from ior_nb.runtime import FamilyRow, Snapshot, SyscallRow
from ior_nb.runtime.text import show_bytes, show_ns
from ior_nb.widgets.page import packed, script, style
from ior_nb.widgets.plotlyjs import bundle_name
from ior_nb.widgets.table import TablePanel, numbers

__all__ = ["SyscallsPanel"]

_NUMBERS: Final = {
    "count": "count",
    "recent": "window_rate",
    "rate": "rate",
    "min": "latency_min_ns",
    "p50": "p50_ns",
    "p90": "p90_ns",
    "p95": "p95_ns",
    "p99": "p99_ns",
    "p999": "p999_ns",
    "max": "latency_max_ns",
    "total": "latency_total_ns",
    "bytes": "bytes",
    "errors": "errors",
    "probes": "probes",
    "inflight": "in_flight",
    "timed": "timed",
    "measured": "measured",
}
_ERRNOS: Final = 8


class SyscallsPanel(TablePanel):
    """System calls and their families."""

    name = "syscalls"
    dimensions = {"syscall": str, "family": str}  # noqa: RUF012 - never changed
    top = 0
    _esm = script("syscalls.js")
    _css = style("table.css")
    plotly = traitlets.Unicode("").tag(sync=True)

    def __init__(self, runtime: Any) -> None:
        super().__init__(runtime, plotly=bundle_name())

    def sections(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return the system calls and the families."""
        return {
            "syscalls": _section(snapshot.syscalls, [_errnos(row) for row in snapshot.syscalls]),
            "families": _section(snapshot.families, [""] * len(snapshot.families)),
        }

    def still_rows(self, snapshot: Snapshot) -> tuple[list[str], list[list[str]]]:
        """Return the system calls."""
        rows = [
            [
                row.name,
                row.family,
                f"{row.count:,}",
                *(["–"] if row.no_latency else [show_ns(row.latency_mean_ns)]),
                *(["–"] * 3 if row.no_percentiles else [show_ns(v) for v in (row.p50_ns, row.p95_ns, row.p99_ns)]),
                show_bytes(row.bytes),
                f"{row.errors:,}",
            ]
            for row in snapshot.syscalls
        ]
        return ["syscall", "family", "calls", "mean", "p50", "p95", "p99", "bytes", "errors"], rows


def _section(rows: Sequence[SyscallRow | FamilyRow], errnos: list[str]) -> dict[str, Any]:
    return packed(
        {
            **numbers(rows, _NUMBERS),
            "name": [row.name for row in rows],
            "family": [row.family if isinstance(row, SyscallRow) else row.name for row in rows],
            "special": ["other" if row.name == "(other)" else "" for row in rows],
            "errnos": errnos,
        }
    )


def _errnos(row: SyscallRow) -> str:
    """Return the failures by errno, the most frequent first: `ENOENT 12, EAGAIN 3`."""
    found = list(row.errors_by_errno.items())
    shown = found[:_ERRNOS]
    rest = row.errors - sum(count for _, count in shown)
    if rest > 0:
        shown.append(("other" if len(found) > _ERRNOS else "not recorded", rest))
    return ", ".join(f"{name} {count:,}" for name, count in shown)
