"""A sheet as a host sends it."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.runtime.schema import PARTS
from ior_nb.runtime.sheet.histogram import BUCKETS, OCTAVES
from ior_nb.runtime.sheet.packed import Contents, pack, unpack
from ior_nb.runtime.sheet.ranked import ACTIVITY, Ranked
from ior_nb.runtime.sheet.sheet import CALL, MEASURES, NEVER, RECENT, SLOTS, Calls, Process, Sheet, Totals, Who

__all__ = ["sheet_from_bytes", "sheet_to_bytes"]

_KIND: Final = 1
_NUMBERS: Final = ("generated_ns", "elapsed_ns", "now_ns", "end", "gaps", "gap_total", "address", "waited", "fetched")
_TABLES: Final = ("files", "directories", "processes", "lines")
_CALLS: Final = 1024
"""Different system calls at most."""
_ROWS: Final = 1 << 16
"""Rows of a table at most."""


def sheet_to_bytes(sheet: Sheet) -> bytes:
    """Return a sheet as bytes: some 10 kB with 256 files."""
    calls = sheet.calls
    place = {name: at for at, name in enumerate(calls.names)}
    errnos = [[place[name], number, count] for (name, number), count in calls.errnos.items()]
    keys: tuple[Process, ...] = sheet.processes.keys
    who = [sheet.who[key] for key in keys]
    texts = {
        "calls": calls.names,
        "families": calls.families,
        "files": sheet.files.keys,
        "directories": sheet.directories.keys,
        "lines": sheet.lines.keys,
        "hosts": [key.host for key in keys],
        "comms": [known.comm for known in who],
    }
    arrays = {
        "numbers": np.array([getattr(sheet, name) for name in _NUMBERS]),
        "parts": np.array([sheet.parts.get(name, -1) for name in PARTS]),
        "series": sheet.series,
        "hidden": np.array(sheet.hidden),
        "unseen": sheet.unseen,
        "latency_decades": sheet.latency_decades,
        "gap_decades": sheet.gap_decades,
        "calls": calls.sums,
        "bounds": np.stack([calls.lowest, calls.highest]),
        "recent": calls.recent,
        "buckets": calls.buckets,
        "counts": calls.counts,
        "errnos": np.array(errnos, np.int64).reshape(-1, 3),
        "processes_who": np.array(
            [[key.pid, key.life, known.ppid, known.ended] for key, known in zip(keys, who, strict=True)], np.int64
        ).reshape(-1, 4),
    }
    for name in _TABLES:
        table: Ranked = getattr(sheet, name)
        arrays[name] = np.concatenate([table.sums, [table.other, table.none]])
        arrays[f"{name}_partial"] = table.partial.astype(np.int64)
        arrays[f"{name}_folded"] = np.array([table.folded])
    return pack(_KIND, texts, arrays)


def sheet_from_bytes(data: bytes) -> Sheet:
    """Return the sheet that a host sent.

    Raises:
        SourceError: it is no sheet, of another version, or says what cannot be.
    """
    return unpack(_KIND, data, _sheet)


def _sheet(contents: Contents) -> Sheet:
    numbers = dict(zip(_NUMBERS, contents.numbers("numbers", len(_NUMBERS), least=-1).tolist(), strict=True))
    if min(value for name, value in numbers.items() if name != "fetched") < 0:
        raise ValueError("a number is below 0")
    parts = dict(zip(PARTS, contents.numbers("parts", len(PARTS), least=-1).tolist(), strict=True))
    calls = _calls(contents)
    decades = contents.sums("latency_decades", 8)
    if int(decades.sum()) != int(calls.column("measured").sum()):
        raise ValueError("its latencies are not those of its calls")
    processes, who = _processes(contents)
    return Sheet(
        **numbers,
        series=contents.sums("series", len(MEASURES), SLOTS),
        calls=calls,
        hidden=Totals(*contents.sums("hidden", len(Totals._fields)).tolist()),
        unseen=contents.sums("unseen", OCTAVES),
        latency_decades=decades,
        gap_decades=contents.sums("gap_decades", 8),
        parts={name: amount for name, amount in parts.items() if amount >= 0},
        files=_table(contents, "files", _keys(contents, "files")),
        directories=_table(contents, "directories", _keys(contents, "directories")),
        processes=processes,
        lines=_table(contents, "lines", _keys(contents, "lines")),
        who=who,
    )


def _calls(contents: Contents) -> Calls:
    names = contents.texts("calls")
    count = len(names)
    if count > _CALLS or len(set(names)) < count:
        raise ValueError("its system calls are too many, or the same twice")
    lowest, highest = contents.numbers("bounds", 2, count, most=NEVER)
    buckets = contents.numbers("buckets", -1, most=max(count * BUCKETS - 1, 0))
    counts = contents.sums("counts", len(buckets))
    sums = contents.sums("calls", count, len(CALL))
    measured = np.zeros(count + 1, np.int64)
    np.add.at(measured, buckets // BUCKETS, counts)
    if (np.diff(buckets) <= 0).any() or (measured[:count] != sums[:, CALL.index("measured")]).any() or measured[count]:
        raise ValueError("its histograms are not those of its calls")
    errnos = contents.sums("errnos", -1, 3)
    if len(errnos) and int(errnos[:, 0].max()) >= count:
        raise ValueError("it has an error of no call")
    return Calls(
        names=names,
        families=contents.texts("families", count),
        sums=sums,
        lowest=lowest,
        highest=highest,
        recent=contents.sums("recent", count, RECENT),
        buckets=buckets,
        counts=counts,
        errnos={(names[at], number): amount for at, number, amount in errnos.tolist()},
    )


def _keys(contents: Contents, name: str) -> tuple[str, ...]:
    keys = contents.texts(name)
    if name == "lines" and not all(keys):
        raise ValueError("a line has no name")
    return keys


def _table(contents: Contents, name: str, keys: tuple[object, ...]) -> Ranked:
    count = len(keys)
    if count > _ROWS or len(set(keys)) < count:
        raise ValueError(f"its {name} are too many, or the same twice")
    sums = contents.sums(name, count + 2, len(ACTIVITY))
    return Ranked(
        keys=keys,
        sums=sums[:count],
        partial=contents.numbers(f"{name}_partial", count, most=1) != 0,
        other=sums[count],
        none=sums[count + 1],
        folded=int(contents.sums(f"{name}_folded", 1)[0]),
    )


def _processes(contents: Contents) -> tuple[Ranked, dict[Process, Who]]:
    hosts = contents.texts("hosts")
    comms = contents.texts("comms", len(hosts))
    ids = contents.numbers("processes_who", len(hosts), 4).tolist()
    keys = tuple(Process(host, pid, life) for host, (pid, life, _, _) in zip(hosts, ids, strict=True))
    known = [Who(comm, ppid, bool(ended)) for comm, (_, _, ppid, ended) in zip(comms, ids, strict=True)]
    return _table(contents, "processes", keys), dict(zip(keys, known, strict=True))
