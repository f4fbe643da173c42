"""`Stored`: the rows of recordings, which stay where they are until somebody asks for some of their columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ior_nb.export import arrow
from ior_nb.export.arrow import event_batch
from ior_nb.result.axis import Axis, moment_of, sane
from ior_nb.result.held import in_memory
from ior_nb.runtime import EventBatch, Filter, new_tables
from ior_nb.runtime.batch import MOST_STRINGS, Source, renewed
from ior_nb.runtime.completeness import json_of
from ior_nb.runtime.filter import check_columns
from ior_nb.runtime.passing import Passing
from ior_nb.runtime.rows import Rows
from ior_nb.runtime.text import middle_cut, printable
from ior_nb.sinks.parquet import Recording, RowGroup
from ior_nb.sinks.parquet.scan import between, overlaps

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Limits", "Stored", "at_once", "foreign_columns", "foreign_types", "passing"]

_FEW: Final = 4
"""Of so many rows one: then it is worth while to read only some."""
_MOST_OVERLAPS: Final = 1000
Limits = tuple[int | None, int | None]
"""Of `time_ns` in one recording: from where on, and before what."""


class Stored:
    """`runtime.rows.Rows` of recordings, one after the other; a piece is a row group.

    The rows of several are numbered anew, from 1 on, in the order in which they stand.

    Args:
        recordings: the files.
        axis: their clocks.
        limits: which rows are wanted of each.

    Attributes:
        foreign: the types of the columns that are not ours.
        apart: by the number of a recording those that are null in it, for what it has is of none of these types.
        told: which and why, in words.
    """

    def __init__(self, recordings: Sequence[Recording], axis: Axis, limits: Sequence[Limits]) -> None:
        self.recordings = recordings
        self.axis = axis
        self.foreign, self.apart, self.told = _agreed(recordings)
        self._tables = new_tables()
        self._pieces = []
        before = 0
        for number, (recording, wanted) in enumerate(zip(recordings, limits, strict=True)):
            groups = recording.groups()
            for group in groups:
                piece = _Part(self, group, number, before, wanted)
                if piece.overlaps():
                    self._pieces.append(piece)
            before += sum(group.rows for group in groups)

    def pieces(self) -> Sequence[_Part]:
        """Return the row groups with rows of the wanted stretch of time."""
        return self._pieces

    @cached_property
    def sources(self) -> list[Source]:
        """What the footers of the recordings say of them."""
        found = []
        runs = _runs([recording.metadata for recording in self.recordings])
        for number, recording in enumerate(self.recordings):
            footer = recording.metadata
            since, _ = self.on_axis(number, (at, at)) if (at := moment_of(footer, "started").boot) else (0, 0)
            spans = json_of(footer, "ior_nb.overlaps")
            overlaps = [
                self.on_axis(number, span) for span in map(_span, spans if isinstance(spans, list) else ()) if span
            ]
            found.append(Source(number, runs[number], since, tuple(overlaps[:_MOST_OVERLAPS])))
        return found

    def overlaps(self) -> list[tuple[int, int]]:
        """Return when, on the common axis, more than one recording of a boot of a host ran."""
        found = [span for source in self.sources for span in source.overlaps]
        spans = []
        for number, (recording, source) in enumerate(zip(self.recordings, self.sources, strict=True)):
            if source.of_boot and (ended := moment_of(recording.metadata, "ended").boot):
                spans.append((source.boot, recording.host, source.since, self.on_axis(number, (ended, ended))[1]))
        before, last = ("", ""), 0
        for boot, host, since, end in sorted(spans):
            last = last if (boot, host) == before else 0
            if since < last:
                found.append((since, min(end, last)))
            before, last = (boot, host), max(last, end)
        return sorted(found)[:_MOST_OVERLAPS]

    def of_recording(self, number: int) -> _Some:
        """Return the rows of one of them."""
        return _Some([piece for piece in self._pieces if piece.recording == number])

    def known_rows(self) -> int | None:
        """Return how many rows there are, None where that has to be counted."""
        return None if any(piece.narrowed for piece in self._pieces) else sum(p.group.rows for p in self._pieces)

    def read(self, group: RowGroup, columns: Sequence[str], which: np.ndarray | None = None) -> EventBatch:
        """Return columns of a row group; strings have one code as long as there are not too many of them."""
        self._tables = dict(renewed(self._tables, MOST_STRINGS))
        return group.read(event_batch, self._tables, columns or None, which)

    def moved(self, number: int, batch: EventBatch) -> EventBatch:
        """Return rows with their times on the common axis, and columns of the common types."""
        if number in self.apart:
            batch = batch.without(self.apart[number])
        return self.axis.moved(number, batch) if "time_ns" in batch.columns else batch

    def on_axis(self, number: int, times: tuple[int, int]) -> tuple[int, int]:
        """Return a stretch of time of one recording on the common axis."""
        return self.axis.window(number, times)


def _runs(footers: Sequence[Mapping[str, str]]) -> list[str]:
    """Return where the ids of each go on: in a boot, or one of the namespaces of processes that it is known to have."""
    known = [(footer.get("ior_nb.boot_id", ""), footer.get("ior_nb.pid_namespace", "")) for footer in footers]
    several = Counter(boot for boot, namespace in set(known) if boot and namespace)
    return [f"{boot} {namespace}" if several[boot] > 1 else boot for boot, namespace in known]


def _span(found: object) -> tuple[int, int] | None:
    """Return a stretch of time that a footer has; None where it is none."""
    times = [sane(time) for time in found] if isinstance(found, list) else []
    return (times[0], times[1]) if len(times) == 2 and all(times) else None


def at_once(rows: Rows, count: int) -> EventBatch:
    """Return rows as one batch in memory.

    Args:
        rows: the rows.
        count: how many.

    Raises:
        ConfigError: they would not fit.
    """
    return in_memory(rows, count)


def passing(rows: Rows, wanted: Filter) -> Passing:
    """Return the rows that a filter lets pass.

    Raises:
        ConfigError: none has a column that it asks for.
    """
    check_columns(wanted, foreign_columns(rows))
    return Passing(rows, wanted)


def foreign_columns(rows: Rows) -> set[str]:
    """Return the names of the columns of rows that are not ours."""
    if isinstance(rows, Passing):
        return foreign_columns(rows.rows)
    if isinstance(rows, Stored):
        return {name for recording in rows.recordings for name in recording.foreign}
    return {name for piece in rows.pieces() if isinstance(piece, EventBatch) for name in piece.extras}


def foreign_types(rows: Rows) -> dict[str, pa.DataType]:
    """Return the Arrow types of the columns of rows that are not ours."""
    if isinstance(rows, Passing):
        return foreign_types(rows.rows)
    if isinstance(rows, Stored):
        return rows.foreign
    return arrow.foreign_types(piece for piece in rows.pieces() if isinstance(piece, EventBatch))


def _agreed(recordings: Sequence[Recording]) -> tuple[dict[str, pa.DataType], dict[int, set[str]], list[str]]:
    """Return what becomes of columns that are not ours where recordings are put together.

    A column has the type it has in the first recording, or a wider one; where it is something else it is null.

    Returns:
        The types; by the number of a recording the columns that are null in it; and which and why, in words.
    """
    import pyarrow as pa

    found: dict[str, pa.DataType] = {}
    apart: dict[int, set[str]] = {}
    told = []
    for number, recording in enumerate(recordings):
        for name, given in recording.foreign.items():
            kind = given.value_type if pa.types.is_dictionary(given) else given
            both = _wider(found.get(name, kind), kind)
            if both is None:
                apart.setdefault(number, set()).add(name)
                was = f"{middle_cut(str(kind), 60)} in {middle_cut(printable(recording.path.name), 60)}"
                before = middle_cut(str(found[name]), 60)
                told.append(f"the column {printable(name)} is {was}, and {before} in one before")
            else:
                found[name] = both
    return {name: pa.string() if pa.types.is_null(kind) else kind for name, kind in found.items()}, apart, told


def _wider(one: pa.DataType, two: pa.DataType) -> pa.DataType | None:
    """Return a type that holds the values of both; None where there is none."""
    import pyarrow as pa

    if one == two or pa.types.is_null(two):
        return one
    if pa.types.is_null(one):
        return two
    if not any(is_such(one) and is_such(two) for is_such in _such()):
        return None
    if pa.uint64() in (one, two) and (pa.types.is_signed_integer(one) or pa.types.is_signed_integer(two)):
        return None
    try:
        fields = [pa.schema([("", kind)]) for kind in (one, two)]
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except pa.ArrowException:  # such as points in time with a time zone and without
        return None


def _such() -> list[Callable[[pa.DataType], bool]]:
    """Return what tells types of one sort, of which one may be wider."""
    from pyarrow import types

    return [
        lambda kind: types.is_integer(kind) or types.is_floating(kind),
        lambda kind: types.is_string(kind) or types.is_large_string(kind),
        lambda kind: types.is_binary(kind) or types.is_large_binary(kind),
        *(types.is_timestamp, types.is_duration, types.is_date),
    ]


class _Some:
    def __init__(self, pieces: Sequence[_Part]) -> None:
        self._pieces = pieces

    def pieces(self) -> Sequence[_Part]:
        return self._pieces


class _Part:
    """The wanted rows of a row group."""

    def __init__(self, stored: Stored, group: RowGroup, recording: int, before: int, limits: Limits) -> None:
        self._stored, self.group, self.recording = stored, group, recording
        self._before = before + group.first
        self._limits = limits
        self.narrowed = limits != (None, None) and not self._is_inside()

    def overlaps(self) -> bool:
        """Tell whether some of its rows may be wanted."""
        return overlaps(self.group.bounds("time_ns"), *self._limits)

    def _is_inside(self) -> bool:
        times, (start, end) = self.group.bounds("time_ns"), self._limits
        return times is not None and (start is None or start <= times[0]) and (end is None or times[1] < end)

    def read(self, *columns: str) -> EventBatch:
        """Return these columns of its rows; all without a name."""
        needed = dict.fromkeys((*columns, "time_ns")) if columns and self.narrowed else columns
        batch = self._stored.read(self.group, tuple(needed))
        batch = self._numbered(batch)
        if self.narrowed:
            batch = between(batch, *self._limits)
        batch = self._stored.moved(self.recording, batch)
        return batch.read(*columns)

    def some(self, which: np.ndarray, *columns: str) -> EventBatch:
        """Return these columns of some of its rows."""
        if self.narrowed or len(which) > self.group.rows // _FEW:
            return self.read(*columns).take(which)
        batch = self._numbered(self._stored.read(self.group, columns, which), which)
        return self._stored.moved(self.recording, batch).read(*columns)

    def _numbered(self, batch: EventBatch, which: np.ndarray | None = None) -> EventBatch:
        """Return rows, all or some, with their numbers among those of all recordings."""
        if "seq" not in batch.columns or len(self._stored.recordings) == 1:
            return batch
        which = np.arange(self.group.rows) if which is None else which
        return batch.with_columns(seq=(which + (self._before + 1)).astype(np.uint64))

    def size(self) -> int:
        """Return how many rows the row group has."""
        return self.group.rows

    def bounds(self, column: str) -> tuple[int, int] | None:
        """Return between which values a column is, where the file says it of just these rows."""
        if self.narrowed or column == "seq":
            return None
        found = self.group.bounds(column)
        return self._stored.on_axis(self.recording, found) if found is not None and column == "time_ns" else found

    def source(self) -> Source:
        """Return what the footer says of it."""
        return self._stored.sources[self.recording]
