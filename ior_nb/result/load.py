"""Recordings become a `Trace` again: one file, several, or a folder of recordings of many machines."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ior_nb.aggregate import added, ended
from ior_nb.errors import ConfigError, RecordingError
from ior_nb.globalfilter import parse
from ior_nb.globalfilter.values import seconds
from ior_nb.result.axis import Axis, moment_of, started
from ior_nb.result.objects import asked_of
from ior_nb.result.sources import recorded
from ior_nb.result.stored import Limits, Stored
from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting, Completeness, Filter, own, progress
from ior_nb.runtime.completeness import (
    COUNTS,
    accounting_of,
    caveats_of,
    counters_of,
    is_map,
    json_of,
    pages_of,
    unfilled_of,
    whole_number,
)
from ior_nb.runtime.text import middle_cut, printable
from ior_nb.sinks.parquet import Recording, find, told_apart
from ior_nb.sinks.parquet.files import left_out

__all__ = ["lacking_of", "load", "of_recordings", "opened", "total"]

_TWICE: Final = "recordings overlap in time: what several of them hold counts once for each"
_ORIGIN: Final = tuple(
    f"ior_nb.{name}" for name in ("version", "hostname", "kernel", "machine", "boot_id", "pid_namespace")
)
_MOST_NOTES: Final = 20


@own.ours
@progress.told("load")
def load(
    path_or_glob: str | Path | Iterable[str | Path],
    *,
    start: float | str | None = None,
    end: float | str | None = None,
    filter: str | Filter | None = None,  # noqa: A002 - the field's own word
    keep_rows: bool = True,
) -> Trace:
    """Return a recording as a finished trace: ours, the temporary file a crash left, or one the Go program `ior` wrote.

        ior_nb.load("run.parquet").files()
        ior_nb.load("fleet/", filter="errors")        # a folder: one data set, its machines in the column `host`

    The rows stay in the files, however many there are: each question reads the columns it needs, a row group at a time,
    in the order of the files' names. `cell` stays that of each, and so does `seq` of a single one; the rows of several
    are numbered anew from 1, in the order in which they stand. Recordings of several machines, or of a machine before
    and after it started anew, are put on one time axis by the wall clocks in their footers: `time_ns` then is on the
    boot clock of the machine that has run longest. Columns that are not ours are kept; where one of them is text in one
    recording and a number in another, say, it is null in the latter, and the trace says so.

    Args:
        path_or_glob: a file, a pattern, a folder (every `.parquet` below it), or several of these.
        start: leave out calls that began earlier, in seconds since the first call of their recording, or as `1m30s`.
            Row groups that have none of the wanted calls are not read.
        end: leave out calls that began then or later.
        filter: which rows are wanted, as `comm~python and latency>=1ms`.
        keep_rows: whether there is more to ask for than the summary.

    Raises:
        RecordingError: nothing is there, or a file is no recording. Damage inside is found when its rows are read.
        ConfigError: start and end are no stretch of time.
        FilterSyntaxError: where the filter is wrong.
    """
    low = 0.0 if start is None else seconds(start, "start")
    high = float("inf") if end is None else seconds(end, "end")
    if not 0 <= low < float("inf") or not low <= high:
        raise ConfigError(f"from {low:g} s to {high:g} s is no stretch of a recording")
    wanted = filter if isinstance(filter, Filter) else parse(filter) if filter else Filter()
    several = path_or_glob if isinstance(path_or_glob, str | Path) else list(path_or_glob)
    trace = of_recordings(opened(several), None if start is None else low, None if end is None else high)
    trace.notes += tuple(left_out(several)[:_MOST_NOTES])
    if start is not None or end is not None:
        trace.caveats += (f"only calls that began from {low:g} s on{'' if end is None else f', before {high:g} s'}",)
    found = trace.filter(wanted) if wanted.active else trace
    found.recording = trace.recording
    if not keep_rows:
        found.leave_rows()
    return found


def of_recordings(recordings: list[Recording], start: float | None = None, end: float | None = None) -> Trace:
    """Return recordings as one trace, or a stretch of time of each; see `load`."""
    axis = Axis([r.metadata for r in recordings])
    trace = _empty_trace(recordings, axis)
    limits: list[Limits] = []
    for recording in recordings:
        begins = recording.span()[0] if start is not None or end is not None else 0
        limits.append(
            (
                None if start is None else begins + round(start * 1e9),
                None if end is None or end == float("inf") else begins + round(end * 1e9),
            )
        )
    stored = Stored(recordings, axis, limits)
    notes = [f"{told}: null in the former" for told in stored.told]
    notes += [_TWICE] if stored.overlaps() else []
    trace.notes = (*trace.notes, *notes)[:_MOST_NOTES]
    parts = [_Part(*about) for about in zip(recordings, itertools.count(), limits)]
    counts = functools.cache(lambda: [part.counted(stored) for part in parts])
    trace.stand_for(
        stored,
        count=lambda: known if (known := stored.known_rows()) is not None else sum(map(sum, counts())),
        books=lambda: total([part.books(*found) for part, found in zip(parts, counts(), strict=True)]),
    )
    _close(trace, parts, axis, whole=start is None and end is None)
    return trace


def opened(path_or_glob: str | Path | Iterable[str | Path]) -> list[Recording]:
    """Return recordings, whose footers have been read.

    Raises:
        RecordingError: nothing is there, or a file is no recording.
    """
    return told_apart([Recording(path) for path in progress.over(find(path_or_glob), lambda _: 1, "file")])


def lacking_of(path_or_glob: str) -> Completeness | None:
    """Return what the rows of recordings lack, as a trace of them says it; None where they cannot be read."""
    try:
        return of_recordings(opened(path_or_glob)).completeness
    except RecordingError:
        return None


def _empty_trace(recordings: list[Recording], axis: Axis) -> Trace:
    """Return a trace without rows that says what the footers say."""
    footers = [r.metadata for r in recordings]
    first = footers[0]
    name = middle_cut(printable(recordings[0].path.name), 80)
    alone = len(recordings) == 1
    title = (_shown(first, "ior_nb.title") or name) if alone else f"{len(recordings)} recordings"
    twins = dict.fromkeys(middle_cut(printable(r.own_host), 60) for r in recordings if r.host != r.own_host)
    several = (f"several hosts are called {name}: each has some letters behind its name" for name in twins)
    notes = (*axis.notes, *several, *(note for r in recordings for note in _notes(r, named=not alone)))
    if any(r.made_up for r in recordings):
        notes = ("demo data: made up, nothing was traced", *notes)
        title = title if "demo data" in title else f"{title} (demo data)"
    trace = Trace(
        title=title,
        scope=_common(_shown(f, "ior_nb.scope") for f in footers) or "as recorded",
        engine=_common(_shown(f, "ior_nb.engine", "ior" if _is_of_ior(f) else "") for f in footers) or "recording",
        options=_options(first) if alone else None,
    )
    trace.notes = notes[:_MOST_NOTES]
    trace.caveats = tuple(
        caveat if alone else f"{middle_cut(printable(r.path.name), 60)}: {caveat}"
        for r in recordings
        for caveat in caveats_of(r.metadata)
    )[:_MOST_NOTES]
    trace.unfilled = {names: why for r in recordings for names, why in unfilled_of(r.metadata).items()}
    if alone:
        trace.asked = asked_of(first)
    for footer in footers:
        texts, numbers = recorded(footer)
        trace.texts |= texts
        trace.cells = {**trace.cells, **numbers}
    trace.began = axis.began
    if alone:
        trace.recording = recordings[0].path
        trace.returncode = whole_number(first.get("ior_nb.returncode"))
    # What is not known, or not the same in all, is not what this machine is either.
    trace.origin = {key: first.get(key, "") for key in _ORIGIN if len({f.get(key, "") for f in footers}) == 1}
    trace.origin = dict.fromkeys(_ORIGIN[1:], "") | trace.origin
    hosts = {r.host for r in recordings}
    trace.origin["ior_nb.hostname"] = hosts.pop() if len(hosts) == 1 else ""
    return trace


def _close(trace: Trace, parts: list[_Part], axis: Axis, *, whole: bool) -> None:
    """Add the books of all recordings up."""
    windows = [part.window() for part in parts]
    if axis.common:
        known = [axis.window(i, window) for i, window in enumerate(windows) if window != (0, 0)]
        window = (min(w[0] for w in known), max(w[1] for w in known)) if known else (0, 0)
    else:  # what their clocks have in common is only how long they ran
        window = (0, max(end - begin for begin, end in windows))
    stored = [counters_of(part.recording.metadata) for part in parts]
    counters: dict[str, dict[str, int]] = {}
    for one in stored if whole and all(stored) else ():  # of some alone they would be no totals
        counters = added(counters, one)
    pages: dict[str, dict[str, int]] = {}
    for part in parts if whole else ():
        for path, row in pages_of(part.recording.metadata).items():
            pages[path] = _added_up([pages.get(path, {}), row])
    trace.pages = pages
    trace.finish(window=window, ended=axis.at(window[1]), counters=dict(sorted(counters.items())))


@dataclass(frozen=True, slots=True)
class _Part:
    """One recording."""

    recording: Recording
    number: int
    limits: Limits

    def window(self) -> tuple[int, int]:
        """Return the wanted stretch of its time."""
        begin, end = (moment_of(self.recording.metadata, what).boot for what in ("started", "ended"))
        if not 0 < begin <= end:
            begin, end = self.recording.span()
            end += 1 if self.recording.rows else 0
        first, last = self.limits
        low = begin if first is None else min(first, end)  # a stretch behind the end is an empty one there
        return low, end if last is None else max(min(end, last), low)

    def counted(self, stored: Stored) -> tuple[int, int]:
        """Return how many of the wanted calls had ended, and how many were in flight; by its footer where that does."""
        recorded = accounting_of(self.recording.metadata)
        whole = self.limits == (None, None) and not self.recording.unfinished
        if whole and recorded is not None and self.recording.rows == recorded.emitted + recorded.in_flight:
            return recorded.emitted, recorded.in_flight
        return ended(stored.of_recording(self.number))

    def books(self, done: int, flying: int) -> Accounting:
        """Return its accounting."""
        footer, rows = self.recording.metadata, done + flying
        whole = self.limits == (None, None)
        recorded = accounting_of(footer)
        dropped = whole_number(footer.get("ior.rows_dropped")) or 0
        if recorded is None:
            counted_only = _counted_only(footer)
            recorded = Accounting(
                seen=rows + dropped + counted_only,
                emitted=done,
                sampled_out=counted_only,
                in_flight=flying,
                lost={"recorder": dropped} if dropped else {},
            )
            outside = 0 if whole else self.recording.rows - rows
        elif whole:
            outside = 0
            missing = recorded.emitted - done
            if missing > 0:  # calls the trace had, and the file has not
                recorded = replace(
                    recorded,
                    emitted=recorded.emitted - missing,
                    lost={**recorded.lost, "recorder": recorded.lost.get("recorder", 0) + missing},
                )
        else:
            outside = recorded.emitted + recorded.in_flight - rows
            recorded = replace(recorded, seen=recorded.seen - outside, in_flight=flying)
        return replace(
            recorded,
            emitted=done,
            outside_window=recorded.outside_window + max(outside, 0),
            died=recorded.died or self.recording.unfinished,
        )


# ---- what footers say; anybody may have written them


def _notes(recording: Recording, *, named: bool) -> Iterable[str]:
    footer = recording.metadata
    host = middle_cut(printable(recording.host), 60)
    by = f"ior {_shown(footer, 'ior.version')}".rstrip() if _is_of_ior(footer) else ""
    if "ior_nb.version" in footer:
        by = f"ior-nb {_shown(footer, 'ior_nb.version')} with {_shown(footer, 'ior_nb.engine', '?')}"
    began = started(footer) / 1e9
    when = f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M:%S} UTC" if began else ""
    parts = [f"{word} {what}" for word, what in (("on", host), ("at", when), ("by", by)) if what]
    name = middle_cut(printable(recording.path.name), 60)
    if parts:
        yield f"{name + ': ' if named else ''}recorded {' '.join(parts)}"
    if recording.unfinished:
        yield f"{name} has no end: it is being written, or was cut off"
    if early := _shown(footer, "ior.ended_early"):
        yield f"{name} ended early: {early}"
    if rates := _shown(footer, "ior.sampling"):
        yield f"{name} is sampled: {rates}"


def _shown(footer: Mapping[str, str], key: str, default: str = "") -> str:
    return middle_cut(printable(footer.get(key, default)), 200)


def _common(values: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(v for v in values if v))
    return middle_cut(", ".join(distinct), 200)


def _is_of_ior(footer: Mapping[str, str]) -> bool:
    return "ior_nb.version" not in footer and any(key.startswith("ior.") for key in footer)


def _options(footer: Mapping[str, str]) -> dict[str, str]:
    found = json_of(footer, "ior_nb.options")
    return {printable(k): printable(v) for k, v in found.items() if isinstance(v, str)} if is_map(found) else {}


def _counted_only(footer: Mapping[str, str]) -> int:
    """Return how many calls `ior` counted without recording them, because they were sampled."""
    found = json_of(footer, "ior.sampling.totals")
    counts = [whole_number(one.get("counted_only")) for one in found if is_map(one)] if isinstance(found, list) else []
    return sum(c for c in counts if c is not None and c > 0)


# ---- sums


def total(books: list[Accounting]) -> Accounting:
    """Return the books of several traces as one."""
    lost = _added_up([one.lost for one in books])
    without = _added_up([one.without_stack for one in books])
    counts: dict[str, Any] = {name: sum(getattr(one, name) for one in books) for name in COUNTS}
    return Accounting(lost=lost, without_stack=without, died=any(one.died for one in books), **counts)


def _added_up(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for reason, count in part.items():
            total[reason] = total.get(reason, 0) + count
    return total
