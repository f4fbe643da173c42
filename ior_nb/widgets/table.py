"""`TablePanel`: what the tables of system calls, files and processes have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Final, TypeVar

import numpy as np

from ior_nb.runtime import LiveRuntime, Snapshot
from ior_nb.runtime.statistics import Activity
from ior_nb.runtime.text import show_bytes, show_ns
from ior_nb.widgets.checked import host_of, value_of
from ior_nb.widgets.page import still_table
from ior_nb.widgets.panel import Panel

__all__ = ["ACTIVITY", "STILL_ROWS", "TablePanel", "activity_cells", "fitted", "numbers", "section"]

MOST_ROWS: Final = 500
"""Rows of one table that are sent; the others are added to its row `(other)`."""
SECTION_BYTES: Final = 45_000
"""What one table may take on the wire: a message carries two of them at most, and stays below 100 kB."""
STILL_ROWS: Final = 15
RANKINGS: Final = ("count", "bytes", "latency")
ACTIVITY: Final = {
    "count": "count",
    "errors": "errors",
    "read": "bytes_read",
    "written": "bytes_written",
    "fetched": "fetched_bytes",
    "faulted": "faulted_bytes",
    "total": "latency_total_ns",
    "max": "latency_max_ns",
    "timed": "timed",
    "least": "at_least",
}
"""Columns all rows of an `Activity` have: name on the wire -> attribute."""
_SUMS: Final = (
    "count",
    "errors",
    "bytes_read",
    "bytes_written",
    "fetched_bytes",
    "faulted_bytes",
    "latency_total_ns",
    "timed",
    "rate",
    "files",
)
_IDLE_S: Final = 5.0
"""How often the rates of a trace in which nothing happens are sent."""

Row = TypeVar("Row", bound=Activity)


def numbers(rows: Sequence[Any], attributes: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return attributes of rows as columns, in the smallest type `packed` has and that holds them exactly.

    Args:
        rows: the rows.
        attributes: name of the column -> name of the attribute, a number or a bool.

    Returns:
        bool, int32 or float64 arrays, shape (len(rows),); integers are exact up to 2**53.
    """
    fetch = attrgetter(*attributes.values())
    table = np.array([fetch(row) for row in rows], np.float64).reshape(len(rows), len(attributes)).T
    columns: dict[str, np.ndarray] = {}
    for (name, attribute), values in zip(attributes.items(), table, strict=True):
        small = values.astype(np.int32) if not len(values) or np.abs(values).max() < 2**31 else values
        if attribute in ("at_least", "ended"):
            columns[name] = values != 0
        else:
            columns[name] = small if np.array_equal(small, values) else values
    return columns


def section(rows: Sequence[Activity], attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of the rows of one table: their numbers, and which of them are special."""
    return {**numbers(rows, attributes), "special": [row.special for row in rows]}


def fitted(
    rows: Sequence[Row], attributes: Mapping[str, str], size: Callable[[Row], int], blank: Mapping[str, Any]
) -> list[Row]:
    """Return the rows that may be sent, those without room added to the row `other`.

    Args:
        rows: best first, the special ones last.
        attributes: the numbers that are sent, as in `numbers`.
        size: bytes of the texts of a row; called once for each, in order.
        blank: what the row `other` has in place of a name.
    """
    real = [row for row in rows if not row.special]
    special = [row for row in rows if row.special]
    most = real[:MOST_ROWS]
    room = SECTION_BYTES - sum(c.itemsize for c in numbers(most, attributes).values()) * len(most)
    keep = int(np.searchsorted(np.cumsum([size(row) for row in most]), max(room, 0), side="right"))
    if keep == len(real):
        return [*real, *special]
    gone = [*real[keep:], *(row for row in special if row.special == "other")]
    sums = {name: sum(getattr(row, name) for row in gone) for name in _SUMS if hasattr(gone[0], name)}
    other = dataclasses.replace(
        gone[0],
        special="other",
        folded=len(real) - keep + sum(row.folded for row in gone),
        latency_max_ns=max(row.latency_max_ns for row in gone),
        **sums,
        **blank,
    )
    return [*real[:keep], other, *(row for row in special if row.special != "other")]


class TablePanel(Panel):
    """A table that adds up to the totals of the statistics. A subclass defines `sections` and `still_rows`."""

    dimensions: ClassVar[Mapping[str, type[str] | type[int]]] = {}
    """What a click may narrow by, and the type of the value."""
    top: ClassVar[int] = MOST_ROWS
    """Rows of the ranked tables (files, directories, processes) it needs."""

    def __init__(self, runtime: LiveRuntime, **traits: Any) -> None:
        self._by = "count"
        self._looked_at: tuple[Any, ...] = ()
        self._sent: tuple[Any, ...] = ()
        self._snapshot: Snapshot | None = None
        super().__init__(runtime, **traits)

    # ---- for subclasses

    def sections(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return what is shown of a snapshot: packed columns by the name of the table."""
        raise NotImplementedError

    def still_rows(self, snapshot: Snapshot) -> tuple[list[str], list[list[str]]]:
        """Return head and rows of the static table."""
        raise NotImplementedError

    # ---- a panel

    def content(self) -> dict[str, Any] | None:
        """Return totals and rows; None while an ended trace is what it was, or nothing happens in a running one."""
        source, state = self.runtime.statistics(), self.runtime.control.state()
        filtered = self.runtime.filters.active.active
        looking_at = (source, state, filtered, self._by)
        if not state.running and looking_at == self._looked_at:
            return None
        snapshot = self.snapshot(self.top, self._by)
        sent = (state.running, filtered, self._by, snapshot and _version(snapshot, running=state.running))
        shown: dict[str, Any] | None = None
        if sent != self._sent:
            if snapshot is None or not snapshot.calls:
                why = "filtered" if filtered and snapshot is not None else "waiting" if state.running else "nothing"
                shown = {"empty": why}
            else:
                shown = {"running": state.running, **self._shown(snapshot)}
            self._sent, self._snapshot = sent, snapshot
        self._looked_at = looking_at  # not before: what has failed is tried again
        return shown

    def _shown(self, snapshot: Snapshot) -> dict[str, Any]:
        return {
            "empty": "",
            "by": self._by,
            "totals": {
                "count": snapshot.calls,
                "errors": snapshot.errors,
                "bytes": snapshot.bytes,
                "read": snapshot.bytes_read,
                "written": snapshot.bytes_written,
                "fetched": max(snapshot.fetched_bytes, 0),
                "total": snapshot.latency_total_ns,
                "timed": snapshot.timed,
                "inflight": snapshot.in_flight,
                "rate": snapshot.run.calls_per_s,
                "recent": snapshot.window.calls_per_s,
                "unrecorded": max(snapshot.calls - snapshot.recorded, 0),
            },
            **self.sections(snapshot),
        }

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`narrow`: the value of a cell; `rank`: what decides which rows are shown when there are too many."""
        if what == "narrow":
            dimension, value = value_of(body, self.dimensions)
            directory = body.get("directory") is True and dimension == "file"
            self.narrow_to(dimension, value, directory=directory, host=host_of(body))
        elif what == "rank":
            if body["by"] not in RANKINGS:
                raise ValueError(f"cannot rank by {body['by']!r}; one of {', '.join(RANKINGS)}")
            self._by = body["by"]
        else:
            super().act(what, body)

    def still(self) -> str:
        """Return the first rows as a static table."""
        snapshot = self._snapshot
        if snapshot is None or not snapshot.calls:
            return ""
        head, rows = self.still_rows(snapshot)
        more = f"{STILL_ROWS} of {len(rows):,} rows, " if len(rows) > STILL_ROWS else ""
        return still_table(head, rows[:STILL_ROWS], f"{self.name}: {more}{snapshot.calls:,} calls")


def _version(s: Snapshot, *, running: bool) -> tuple[Any, ...]:
    """Return what differs when the tables do."""
    moving = s.generated_at if s.window.calls_per_s else s.elapsed_s // _IDLE_S  # rates fall by themselves
    return (s.calls, s.recorded, s.errors, s.bytes, s.in_flight, s.timed, s.latency_total_ns, moving if running else 0)


def activity_cells(row: Activity) -> list[str]:
    """Return the cells of a static table that all activities have."""
    least = "≥ " if row.at_least else ""
    return [
        f"{least}{row.count:,}",
        f"{least}{show_bytes(row.bytes_read)}",
        f"{least}{show_bytes(row.bytes_written)}",
        show_ns(row.latency_mean_ns) if row.timed else "–",
        f"{least}{row.errors:,}",
    ]
