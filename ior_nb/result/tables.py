"""DataFrames that answer the usual questions about rows: which calls, files, processes, errors, when, how slow.

Durations are nanoseconds (`_ns`), sizes bytes, times seconds (`_s`). Everything is exact, nothing is left out: calls
without a file have the empty name, calls that were counted and are no rows the name `(not recorded)`, so a column of
sums adds up to the total of the trace. What the rows lack stands in `attrs` and below the table. Text is raw, as
traced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ior_nb import aggregate
from ior_nb.aggregate.asked import amplification
from ior_nb.aggregate.columns import objects as texts
from ior_nb.aggregate.hosts import hosts_of
from ior_nb.errors import ConfigError
from ior_nb.globalfilter.values import seconds
from ior_nb.result.objects import Asked
from ior_nb.result.sources import Sources
from ior_nb.runtime import Completeness
from ior_nb.runtime.rows import Rows
from ior_nb.runtime.stacks import IMPORTS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "diff",
    "directories",
    "errors",
    "families",
    "files",
    "imports",
    "labels",
    "lines",
    "objects",
    "peers",
    "probes",
    "processes",
    "slowest",
    "stats",
    "syscalls",
    "tasks",
    "threads",
    "timeline",
]

_WHOLE: Final = Completeness()
_NOTHING: Final = Asked((), 0, 0, 0, 0)
_ASKED: Final = {"asked_bytes": "bytes", "distinct_bytes": "distinct"}
_HERE: Final = Sources()
_WHOSE: Final = ("task_prefix", "task", "worker", "host", "label")
_OF_TASKS: Final = ("bytes", "bytes_read", "bytes_written", "calls", "errors", "time_ns", "max_ns")
_UNITS: Final = {"_ns": "ns", "_s": "s", "bytes": "bytes"}
_SLOW: Final = (
    *("latency_ns", "syscall", "file", "bytes", "ret", "comm", "pid", "tid", "fd", "cell", "seq"),
    *("source", *aggregate.MEASURED),
)


def stats(rows: Rows, lacking: Completeness = _WHOLE, *, duration_s: float = 0.0) -> pd.DataFrame:
    """Return the totals: one row per measure, with its value and unit.

    Args:
        rows: the rows.
        lacking: what they lack.
        duration_s: length of the trace; with it, rates are there too.
    """
    import pandas as pd

    from ior_nb.export.frame import told

    values: dict[str, int | float] = dict(aggregate.totals(rows, lacking.unrecorded))
    if duration_s > 0:
        values |= {
            "duration_s": duration_s,
            "calls_per_s": values["calls"] / duration_s,
            "read_bytes_per_s": values["bytes_read"] / duration_s,
            "written_bytes_per_s": values["bytes_written"] / duration_s,
        }
    frame = pd.DataFrame(
        {"value": pd.Series(list(values.values()), dtype=object).to_numpy(), "unit": [_unit(n) for n in values]},
        index=pd.Index(list(values), name="measure"),
    )
    return told(frame, lacking)


def _unit(name: str) -> str:
    if name.endswith("_per_s"):
        return "bytes/s" if "bytes" in name else "1/s"
    return next((unit for end, unit in _UNITS.items() if name.endswith(end) or name.startswith(end)), "")


def syscalls(rows: Rows, lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per system call, most time first, with exact percentiles of its finished calls."""
    return _frame(aggregate.syscalls(rows, lacking.unrecorded), lacking)


def families(rows: Rows, lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per family of system calls, most time first."""
    return _frame(aggregate.families(rows, lacking.unrecorded), lacking)


def files(rows: Rows, lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per file, most bytes first. Bytes a transfer reads are credited to its source.

    `faulted_bytes` of `bytes_read` were brought in by faults on the mapped file; `reread_bytes` were read by calls and
    had been before. `amplification` is what calls made devices read for each byte they asked for, each byte once.
    """
    return _frame(aggregate.files(rows, lacking.unrecorded), lacking)


def directories(rows: Rows, lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per directory that holds files acted on, most bytes first."""
    by_file = aggregate.files(rows, lacking.unrecorded)
    return _frame(aggregate.directories(by_file, lacking.unrecorded), lacking)


def lines(
    rows: Rows,
    lacking: Completeness = _WHOLE,
    *,
    file: str = "",
    library: bool = False,
    sources: Sources = _HERE,
) -> pd.DataFrame:
    """Return one row per line of Python, most time first, with its text where that can be found.

    Args:
        rows: the rows.
        lacking: what they lack.
        file: only lines of files whose path ends so.
        library: the line that made the call itself, whoever's it is, instead of the user's own.
        sources: where the texts are.
    """
    columns = aggregate.lines(rows, lacking.unrecorded, library=library)
    if file:
        chosen = np.array([name.endswith(file) for name in columns["file"]], bool)
        columns = {name: values[chosen] for name, values in columns.items()}
    places = zip(columns["file"], columns["line"].tolist(), strict=True)
    found = texts([sources.line(*place) for place in places])
    folded = (columns["function"] == IMPORTS.function) & (columns["file"] == "")
    if folded.any():
        found[folded] = ", ".join(aggregate.imports(rows)["package"].tolist())
    return _frame({**columns, "source": found}, lacking)


def peers(rows: Rows, lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per peer of sockets, most bytes first; `connections` are the sockets that talked with it."""
    return _frame(aggregate.peers(rows, lacking.unrecorded), lacking)


def objects(rows: Rows, asked: Mapping[str, Asked], lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per object of a store, most bytes first; calls without an object are not among them.

    `fetched_bytes` is all that came for it, heads of answers and what TLS adds among it. `amplification` is that over
    `distinct_bytes`, the bytes asked for by ranges, each once; unknown where the whole object was asked for.

    Args:
        rows: the rows.
        asked: what was asked of each.
        lacking: what the rows lack.
    """
    columns = aggregate.objects(rows)
    names = dict.fromkeys([*columns["object"].tolist(), *asked])
    more = [asked.get(name, _NOTHING) for name in names]
    numbers = {name: np.array([getattr(one, name) for one in more], np.int64) for name in ("requests", "whole")}
    numbers |= {name: np.array([getattr(one, how) for one in more], np.int64) for name, how in _ASKED.items()}
    sums = {k: np.pad(v, (0, len(names) - len(v))) for k, v in columns.items() if k != "object"}
    named = {"object": texts(list(names)), "methods": texts([", ".join(one.methods) for one in more])}
    known = np.where(numbers["whole"] > 0, -1, sums["fetched_bytes"])
    ratio = amplification(known, numbers["distinct_bytes"])
    return _frame({**named, **numbers, **sums, "amplification": ratio}, lacking)


def imports(rows: Rows, lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per package with the calls its import made, most time first."""
    return _frame(aggregate.imports(rows), lacking)


def processes(rows: Rows, lacking: Completeness = _WHOLE, *, origin_ns: int | None = None) -> pd.DataFrame:
    """Return one row per process, most calls first, with its first and last activity in seconds since the start.

    Args:
        rows: the rows.
        lacking: what they lack.
        origin_ns: the start on the boot clock; by default the earliest row.
    """
    columns = aggregate.processes(rows, lacking.unrecorded)
    return _frame(_since(columns, columns["threads"] > 0, _origin(rows, origin_ns)), lacking)


def labels(rows: Rows, lacking: Completeness = _WHOLE, *, origin_ns: int | None = None) -> pd.DataFrame:
    """Return one row per label, most time first, with its first and last activity in seconds since the start.

    Args:
        rows: the rows.
        lacking: what they lack.
        origin_ns: the start on the boot clock; by default the earliest row.
    """
    columns = aggregate.labels(rows, lacking.unrecorded)
    return _frame(_since(columns, columns["processes"] > 0, _origin(rows, origin_ns)), lacking)


def _since(columns: aggregate.Columns, known: np.ndarray, start: int) -> aggregate.Columns:
    """Return the columns with first and last activity in seconds; those of missing calls nobody knows."""
    for name in ("first", "last"):
        columns[f"{name}_s"] = np.where(known, (columns.pop(f"{name}_ns") - start) / 1e9, np.nan)
    return columns


def tasks(
    rows: Rows, lacking: Completeness = _WHOLE, *, metric: str = "bytes", by: str = "task_prefix"
) -> pd.DataFrame:
    """Return a matrix of a metric: a row per file, a column per task, the largest of both first.

    Args:
        rows: the rows, of a cluster.
        lacking: what they lack.
        metric: what is added up.
        by: the column that says whose the calls are.

    Raises:
        ConfigError: the rows have no such column, or there is no such metric.
    """
    import pandas as pd

    from ior_nb.export.frame import told

    if by not in _WHOSE or metric not in _OF_TASKS:
        raise ConfigError(
            f"there is no table of {metric!r:.40} by {by!r:.40}: choose from {', '.join(_OF_TASKS)}, "
            f"by {', '.join(_WHOSE)}"
        )
    columns = aggregate.tasks(rows, by, lacking.unrecorded)
    frame = pd.DataFrame({name: columns[name] for name in (by, "file", metric)})
    how: Literal["max", "sum"] = "max" if metric.startswith("max") else "sum"
    found = frame.pivot_table(index="file", columns=by, values=metric, aggfunc=how, fill_value=0)
    found = found.loc[_largest(found, 1), _largest(found, 0)]
    return told(found, lacking)


def _largest(frame: pd.DataFrame, axis: Literal[0, 1]) -> pd.Index:
    return frame.sum(axis=axis).sort_values(ascending=False, kind="stable").index


def threads(rows: Rows, lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per name of a thread, most time first."""
    return _frame(aggregate.threads(rows, lacking.unrecorded), lacking)


def errors(rows: Rows, lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per system call and error, most frequent first, with a file it happened to."""
    return _frame(aggregate.errors(rows, lacking.unrecorded), lacking)


def probes(rows: Rows, lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return one row per system call and error that is none, most frequent first, with a file it happened to."""
    return _frame(aggregate.probes(rows, lacking.unrecorded), lacking)


def slowest(
    rows: Rows,
    n: int = 20,
    lacking: Completeness = _WHOLE,
    *,
    origin_ns: int | None = None,
    waiting: bool = False,
) -> pd.DataFrame:
    """Return the n calls that took longest, the slowest first; where they are of several hosts, theirs too.

    Args:
        rows: the rows.
        n: how many, at most.
        lacking: what the rows lack.
        origin_ns: what `start_s` counts from, on the boot clock; by default the earliest row.
        waiting: those that waited for somebody else, instead of those that did not.
    """
    found = aggregate.slowest(rows, n, waiting=waiting, columns=("time_ns", *_SLOW, "host"))
    start_s = (found["time_ns"].astype(np.int64) - _origin(rows, origin_ns)) / 1e9
    text = ("syscall", "file", "comm", "source")
    columns = {name: found.text(name) if name in text else found[name].copy() for name in _SLOW}
    hosts = hosts_of(found)
    return _frame({"start_s": start_s} | columns | ({"host": hosts} if len(hosts) else {}), lacking)


def timeline(
    rows: Rows,
    lacking: Completeness = _WHOLE,
    *,
    slot_s: float | str | None = None,
    origin_ns: int | None = None,
) -> pd.DataFrame:
    """Return equal slots of time, quiet ones too. A call belongs to the slot it started in.

    Args:
        rows: the rows.
        lacking: what they lack; when a missing call was, nobody knows.
        slot_s: length of a slot in seconds, or with its unit, as in `1ms`; by default the shortest of 1, 2 or 5 times a
            power of ten that makes at most 60.
        origin_ns: start of the first slot on the boot clock; by default the earliest row.

    Raises:
        ConfigError: a slot that is no length of time, not positive, or so short that there would be more than 100,000.
    """
    slot = None if slot_s is None else seconds(slot_s, "slot_s")
    try:
        slot_ns = None if slot is None else round(slot * 1e9)
        return _frame(aggregate.timeline(rows, slot_ns=slot_ns, origin_ns=origin_ns), lacking)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"slot_s={slot:g}: {error}") from error


def diff(before: pd.DataFrame, after: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return two tables side by side, the largest change of time first.

    Args:
        before: of one trace: `files`, `syscalls` and the like.
        after: the same of the other.
        key: the column that says which rows belong together. What one of them lacks counts as 0 there.

    Returns:
        For every measure `_before`, `_after` and `_delta`, -1 and no difference where it was not measured; `time_ratio`
        is after / before, infinite for what is new.
    """
    import pandas as pd

    measures = [
        c
        for c in (
            *("calls", "recorded", "errors", "probes", "bytes_read", "bytes_written", "time_ns"),
            *("fetched_bytes", "reread_bytes", "faulted_bytes"),
        )
        if c in before.columns
    ]
    ranks = [c for c in ("mean_ns", "p50_ns", "p90_ns", "p95_ns", "p99_ns", "p999_ns", "max_ns") if c in before.columns]
    names = pd.Index(sorted(set(before[key]) | set(after[key])), dtype=object)
    sides = [t.set_index(key)[measures + ranks].reindex(names, fill_value=0) for t in (before, after)]
    result: aggregate.Columns = {key: names.to_numpy()}
    for name in measures + ranks:
        old, new = (side[name].to_numpy() for side in sides)
        known = (old >= 0) & (new >= 0)  # below 0: not measured
        result[f"{name}_before"], result[f"{name}_after"] = old, new
        result[f"{name}_delta"] = np.where(known, new - old, 0)
    if "amplification" in before.columns:
        for side, table in (("before", before), ("after", after)):
            result[f"amplification_{side}"] = table.set_index(key)["amplification"].reindex(names).to_numpy()
    old, new = (side["time_ns"].to_numpy().astype(float) for side in sides)
    with np.errstate(divide="ignore", invalid="ignore"):
        result["time_ratio"] = new / old
    order = np.lexsort([-np.abs(result[name]) for name in ("calls_delta", "time_ns_delta")])
    return pd.DataFrame({name: _series(values[order]) for name, values in result.items()})


def _origin(rows: Rows, origin_ns: int | None) -> int:
    if origin_ns is not None:
        return origin_ns
    return (aggregate.span(rows) or (0, 0))[0]


def framed(rows: list[dict[str, Any]], columns: Mapping[str, Any], lacking: Completeness = _WHOLE) -> pd.DataFrame:
    """Return rows as a DataFrame of these columns, each of its type however many rows there are."""
    import pandas as pd

    from ior_nb.export.frame import told

    return told(pd.DataFrame(rows, columns=list(columns)).astype(dict(columns)), lacking)


def _frame(columns: aggregate.Columns, lacking: Completeness) -> pd.DataFrame:
    import pandas as pd

    from ior_nb.export.frame import told

    return told(pd.DataFrame({name: _series(values) for name, values in columns.items()}), lacking)


def _series(values: np.ndarray) -> pd.Series:
    import pandas as pd

    # Without the dtype pandas would guess one from the first strings, another for an empty table.
    return pd.Series(values, dtype=object if values.dtype == object else None)
