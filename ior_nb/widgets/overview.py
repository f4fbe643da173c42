"""Overview: rates, bytes, errors, latency and gap with their trends, three series, the tops, completeness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ior_nb import aggregate
from ior_nb.runtime import LiveRuntime, Snapshot, TraceState
from ior_nb.runtime.text import middle_cut, show_bytes, show_ns
from ior_nb.widgets.checked import host_of, value_of
from ior_nb.widgets.page import packed, script, still_table, style
from ior_nb.widgets.panel import Panel

__all__ = ["OverviewPanel"]

_TOP: Final = 5
_SLOTS: Final = 100
"""Points of a trend at most."""
_DIMENSIONS: Final[dict[str, type[str] | type[int]]] = {"syscall": str, "file": str, "pid": int}


class OverviewPanel(Panel):
    """What is going on, at a glance."""

    name = "overview"
    every_s = 0.25
    _esm = script("overview.js")
    _css = style("overview.css")

    def __init__(self, runtime: LiveRuntime) -> None:
        self._key: object = None
        self._snapshot: Snapshot | None = None
        super().__init__(runtime)

    def content(self) -> dict[str, Any] | None:
        """Return the numbers of the snapshot, 60 s of series, and the five heaviest of everything."""
        state, snapshot = self.runtime.control.state(), self.snapshot()
        version = None if snapshot is None else _version(snapshot, running=state.running)
        key = (state.running, state.title, state.notes, state.completeness.line(), version)
        if key == self._key:
            return None
        shown = {"empty": True} if snapshot is None else self._shown(snapshot, state)
        self._key, self._snapshot = key, snapshot
        return shown

    def _shown(self, snapshot: Snapshot, state: TraceState) -> dict[str, Any]:
        return {
            "empty": False,
            "running": state.running,
            "numbers": _numbers(snapshot),
            "trends": {
                "latency": _trend(snapshot.latency_trend),
                "gap": _trend(snapshot.gap_trend),
                "throughput": _trend(snapshot.throughput_trend),
            },
            "series": packed({name: values.astype("f4") for name, values in self._series(snapshot, state).items()}),
            "slot_s": snapshot.series_slot_ns / 1e9,
            "tops": _tops(snapshot),
            "complete": state.completeness.complete,
            "accounting": state.completeness.line() if state.completeness.accounting.seen else "",
            "notes": list(state.notes),
        }

    def _series(self, snapshot: Snapshot, state: TraceState) -> dict[str, np.ndarray]:
        """Return the last minute; of a trace that has ended the whole of it, as finely as the stream knows it."""
        series = {
            "calls": snapshot.calls_series,
            "throughput": snapshot.throughput_series,
            "latency": snapshot.latency_series_ns,
        }
        if state.running:
            return series
        rows, _ = self.runtime.stream().tail(-1)
        if len(rows) and len(rows) == snapshot.calls:
            span = int(np.ptp(rows["time_ns"].view(np.int64)))
            slots = aggregate.timeline(rows, slot_ns=span // _SLOTS + 1)
            length = float(slots["slot_s"][0])
            return {
                "calls": slots["calls"] / length,
                "throughput": (slots["bytes_read"] + slots["bytes_written"]) / length,
                "latency": slots["mean_ns"],
            }
        used = np.flatnonzero(snapshot.calls_series)
        return {name: values[used[0] : used[-1] + 1] if len(used) else values for name, values in series.items()}

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`narrow`: a click on one of the tops."""
        if what != "narrow":
            return super().act(what, body)
        return self.narrow_to(*value_of(body, _DIMENSIONS), host=host_of(body))

    def still(self) -> str:
        """Return the numbers and the tops as tables."""
        snapshot = self._snapshot
        if snapshot is None:
            return ""
        head = [
            ["calls", f"{snapshot.calls:,}"],
            ["errors", f"{snapshot.errors:,}"],
            ["probes", f"{snapshot.probes:,}"],
            ["read", show_bytes(snapshot.bytes_read)],
            ["written", show_bytes(snapshot.bytes_written)],
            ["mean latency", show_ns(snapshot.latency_mean_ns)],
            ["waiting", show_ns(snapshot.waiting_ns)],
            ["mean gap", show_ns(snapshot.gap_mean_ns)],
        ]
        tops = _tops(snapshot)
        tables = [still_table(["overview", ""], head)]
        for title, rows in tops.items():
            tables.append(
                still_table(
                    [title, "calls", "bytes"],
                    [
                        [
                            middle_cut(r["text"], 60),
                            f"{r['least']}{r['count']:,}",
                            f"{r['least']}{show_bytes(r['bytes'])}",
                        ]
                        for r in rows
                    ],
                )
            )
        return "".join(tables)


def _version(s: Snapshot, *, running: bool) -> tuple[Any, ...]:
    """Return what differs when the picture does; rates and series move by themselves for a minute."""
    moving = s.generated_at if running and (s.window.calls_per_s or s.calls_series.any()) else 0
    return (s.calls, s.recorded, s.in_flight, s.timed, moving)


def _numbers(s: Snapshot) -> dict[str, float]:
    return {
        "calls": s.calls,
        "rate": s.window.calls_per_s,
        "run_rate": s.run.calls_per_s,
        "read": s.bytes_read,
        "read_rate": s.window.read_bytes_per_s,
        "written": s.bytes_written,
        "written_rate": s.window.written_bytes_per_s,
        "errors": s.errors,
        "probes": s.probes,
        "errors_rate": s.window.errors_per_s,
        "errors_share": s.errors / s.calls if s.calls else 0.0,
        "latency": s.latency_mean_ns,
        "latency_total": s.latency_total_ns,
        "waiting": s.waiting_ns,
        "fetched": s.fetched_bytes,
        **s.parts,
        "gap": s.gap_mean_ns,
        "in_flight": s.in_flight,
    }


def _trend(trend: Any) -> list[Any]:
    return [trend.direction, round(float(np.clip(trend.delta_percent, -999, 9999)), 1)]


def _tops(s: Snapshot) -> dict[str, list[dict[str, Any]]]:
    def row(
        dimension: str, value: str | int, text: str, count: int, moved: int, *, family: str = "", least: bool = False
    ) -> dict[str, Any]:
        return {
            "dimension": dimension, "value": value, "text": text, "count": count, "bytes": moved, "family": family,
            "least": "≥ " if least else "",
        }  # fmt: skip

    files = [r for r in s.files if not r.special][:_TOP]
    processes = [r for r in s.processes if not r.special][:_TOP]
    return {
        "syscalls": [row("syscall", r.name, r.name, r.count, r.bytes, family=r.family) for r in s.syscalls[:_TOP]],
        "files": [
            row("file", r.path, r.path, r.count, r.bytes_read + r.bytes_written, least=r.at_least) for r in files
        ],
        "processes": [
            row("pid", r.pid, f"{r.label} {r.comm}", r.count, r.bytes_read + r.bytes_written, least=r.at_least)
            | {"host": r.host}
            for r in processes
        ],
    }
