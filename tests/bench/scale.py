"""Questions to recordings of any size, against DuckDB and Polars (one thread) for the same answer on the same files.

Each question is asked in a process of its own, which says what it cost: processor time without that of its imports, and
the most memory it held. Answers are compared. Large sets take a while to make: with IOR_NB_BENCH_FOLDER they are kept
in that folder, by their size, and made where they are missing; IOR_NB_BENCH_ROWS is how many rows all files have
together, and IOR_NB_BENCH_ASK names the questions.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.bench.report import Row, log

TITLE = "scale: questions to a folder of recordings of the fixed generator, of 4 hosts, against DuckDB (1 thread)"
_BY_NAME: Final = ("files", "syscalls", "slice", "filter")
_COMPARED: Final = ("calls", "errors", "bytes_read", "bytes_written", "time_ns")
_SPENT: Final = ("fetched_bytes", "on_cpu_ns", "wait_cpu_ns", "wait_device_ns", "wait_lock_ns", "wait_other_ns")
_MEASURES: Final = ", ".join(
    (
        "count(*) calls, count(*) FILTER (is_error AND NOT probe) errors, count(*) FILTER (probe) probes",
        "sum(bytes) FILTER (syscall IN ({reads})) bytes_read, sum(bytes) FILTER (syscall IN ({writes})) bytes_written",
        "sum(latency_ns) FILTER (state = 'done') time_ns, count(*) FILTER (state = 'done') timed",
        "max(latency_ns) FILTER (state = 'done') max_ns",
        *(f"sum({name}) FILTER ({name} >= 0) {name}" for name in _SPENT),
    )
)
_RANKS: Final = "quantile_disc(latency_ns, [.5, .9, .95, .99, .999]) FILTER (state = 'done') ranks"
_IMPORTED: Final = (
    *("pandas", "pyarrow.parquet", "lark", "plotly.io", "plotly.graph_objs._figure", "plotly.graph_objs._icicle"),
    *("ior_nb.result.load", "ior_nb.result.tables", "ior_nb.result.figures", "ior_nb.export.frame"),
)
"""What no question has to import any more, for that is no part of its answer."""
_FRESH: Final = (
    'r AS (SELECT host, file, inode, "offset" s, "offset" + bytes e FROM {rows} WHERE syscall IN ({reads}) '
    'AND bytes > 0 AND "offset" >= 0), w AS (SELECT file, e - s size, greatest(e - greatest(s, coalesce(max(e) OVER '
    "(PARTITION BY host, file, inode ORDER BY s ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), s)), 0) fresh "
    "FROM r), reread AS (SELECT file, sum(size) - sum(fresh) reread_bytes FROM w GROUP BY file)"
)
"""What of each file was read again."""
_FILES: Final = (
    f"WITH {_FRESH} SELECT * FROM (SELECT file, {{measures}} FROM {{rows}} GROUP BY file) "
    "LEFT JOIN reread USING (file) ORDER BY 5 DESC"
)
_SLOT: Final = 50_000_000
_FIRST: Final = 1_000_000_000_000
"""When the generator's rows begin, ns."""
_BEGIN: Final = _FIRST + 10_000_000
_END: Final = _FIRST + 30_000_000
"""Of the slice."""
SQL: Final[dict[str, str]] = {
    "files": _FILES,
    "syscalls": "SELECT syscall, any_value(family), {measures}, {ranks} FROM {rows} GROUP BY syscall ORDER BY 7 DESC",
    "processes": "SELECT host, pid, last(comm) FILTER (tid = pid), max(ppid), count(DISTINCT tid), min(time_ns), "
    "max(time_ns + latency_ns), {measures} FROM {rows} GROUP BY host, pid ORDER BY calls DESC",
    "slowest": "SELECT * FROM {rows} WHERE state = 'done' ORDER BY latency_ns DESC LIMIT 20",
    "timeline": f"SELECT (time_ns - {_FIRST}) // {_SLOT} slot, {{measures}} FROM {{rows}} GROUP BY 1 ORDER BY 1",
    "slice": _FILES,
    "filter": "SELECT file, {measures} FROM {rows} WHERE is_error AND NOT probe GROUP BY file ORDER BY 2 DESC",
    "flame": "SELECT comm, syscall, file, count(*) FROM {rows} GROUP BY ALL",
}
"""Question -> its query."""


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    files = 4 if quick else 16
    rows = int(os.environ.get("IOR_NB_BENCH_ROWS") or (2_000_000 if quick else 50_000_000)) // files
    kept = os.environ.get("IOR_NB_BENCH_FOLDER")
    asked = os.environ.get("IOR_NB_BENCH_ASK", " ".join((*SQL, "summary"))).split()
    with contextlib.nullcontext(kept) if kept else tempfile.TemporaryDirectory() as name:
        folder = Path(name, str(files * rows))  # a set of another size is another set
        folder.mkdir(exist_ok=True)
        for number in range(files):
            path = folder / f"node{number % 4}-{number // 4}.parquet"
            if not path.exists():
                log(f"scale: recording {number + 1} of {files}, {rows:,} rows")
                _ask("make", str(path), str(rows), str(number + 1))
        log(f"scale: {sum(f.stat().st_size for f in folder.iterdir()) / files / rows:.1f} bytes a row")
        return [_measured(folder, question, files * rows) for question in asked]


def _measured(folder: Path, question: str, rows: int) -> Row:
    log(f"scale: {question}")
    ours = _ask("ior", str(folder), question)
    what = f"{question}: {rows / 1e6:,.0f} M rows, {ours['memory']:,} MiB held"
    if question not in SQL:
        return Row(what=what, measured=f"{ours['cpu']:.2f} s")
    theirs, others = (_ask(engine, str(folder), question) for engine in ("duckdb", "polars"))
    ratio = ours["cpu"] / theirs["cpu"]
    same = [engine["answer"] == ours["answer"] for engine in (theirs, others)]
    if not all(same):
        log(f"scale: {question}: the answer is another one than that of {' and '.join(_differ(same))}")
    return Row(
        what=what,
        measured=f"{ours['cpu']:.2f} s",
        added=f"DuckDB {theirs['cpu']:.2f} s, {theirs['memory']:,} MiB; "
        f"Polars {others['cpu']:.2f} s, {others['memory']:,} MiB",
        ratio=f"{ratio:.2f}",
        goal="≤ 1.00 × DuckDB, 1 GiB, the same answer",
        met=ratio <= 1 and ours["memory"] <= 1024 and all(same),
    )


def _differ(same: list[bool]) -> list[str]:
    return [name for name, equal in zip(("DuckDB", "Polars"), same, strict=True) if not equal]


def _ask(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.scale", *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"POLARS_MAX_THREADS": "1"},
    )
    answer: dict[str, Any] = json.loads(done.stdout or "{}")
    return answer


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _make(path: Path, rows: int, seed: int) -> None:
    from ior_nb.engine.decode import Decoder
    from ior_nb.export.arrow import columns
    from ior_nb.runtime import Accounting, Completeness
    from ior_nb.sinks.parquet import Recorder
    from tests.bench.frames import frames

    host, decoder, before = path.stem.partition("-")[0], Decoder(), 0
    recorder = Recorder(to_arrow=functools.partial(columns, host=host))
    about = {
        "ior_nb.version": "0",
        "ior_nb.hostname": host,
        "ior_nb.engine": "bcc",
        "ior_nb.title": "bench",
        "ior_nb.boot_id": "bench",
        "ior_nb.started_at_boot_nano": str(_FIRST),
        "ior_nb.ended_at_boot_nano": str(_FIRST + 100_000_000_000),
        **Completeness(accounting=Accounting(seen=rows, emitted=rows)).pairs(),
    }
    recorder.start(path, metadata=about, block=True)
    for frame in frames(rows, seed=seed):
        decoder.names.take(frame.names)
        batch = decoder.events(frame.events)
        recorder.record(batch.with_columns(seq=np.arange(before + 1, before + 1 + len(batch), dtype=np.uint64)))
        before += len(batch)
    recorder.stop()


def _summed(question: str) -> list[str]:
    """Return the columns whose sums are compared."""
    return [*_COMPARED, *(["reread_bytes"] if question in ("files", "slice") else [])]


def _in_order(question: str, table: Any, sums: Any, ranks: list[list[Any]]) -> list[list[Any]]:
    """Return the sums of each row of a table and its ranks, if there are any, in an order that is nobody's own."""
    names = table.iloc[:, 0].tolist() if question in _BY_NAME else [""] * len(sums)
    order = sorted(range(len(sums)), key=lambda i: (str(names[i]), *sums[i].tolist()))
    return [[*map(int, sums[i].tolist()), *(ranks[i] if ranks else ())] for i in order]


def _of_ior(folder: str, question: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """Return how to ask, and what of an answer is compared."""
    import ior_nb

    def asked() -> Any:
        if question == "slice":
            return ior_nb.load(folder, filter=f"time>={_BEGIN} and time<{_END}").files()
        if question == "filter":
            return ior_nb.load(folder, filter="errors").files()
        trace = ior_nb.load(folder)
        return trace.timeline(_SLOT / 1e9) if question == "timeline" else getattr(trace, question)()

    def compared(table: Any) -> Any:
        if question == "flame":
            return int(table.data[0]["values"][0])
        if question == "slowest":
            return table["latency_ns"].tolist()
        if question == "summary":
            return table.calls
        table = table[table["calls"] > 0]
        ranks = table[["p50_ns", "p99_ns", "p999_ns"]].to_numpy().tolist() if question == "syscalls" else []
        return _in_order(question, table, table[_summed(question)].to_numpy(), ranks)

    return asked, compared


def _of_duckdb(folder: str, question: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    import duckdb

    from ior_nb.aggregate import CLASS_OF

    quoted = {
        way: ", ".join(f"'{name}'" for name, kind in CLASS_OF.items() if kind in (way, "transfer"))
        for way in ("read", "write")
    }
    measures = _MEASURES.format(reads=quoted["read"], writes=quoted["write"])
    connection = duckdb.connect(config={"threads": "1"})
    rows = f"read_parquet('{folder}/*.parquet')"
    if question == "slice":
        rows = f"(SELECT * FROM {rows} WHERE time_ns BETWEEN {_BEGIN} AND {_END - 1})"
    query = SQL[question].format(
        rows=rows,
        measures=measures,
        reads=quoted["read"],
        ranks=_RANKS,
    )

    def compared(table: Any) -> Any:
        if question == "flame":
            return int(table.iloc[:, 3].sum())
        if question == "slowest":
            return table["latency_ns"].tolist()
        ranks = [[int(row[at]) for at in (0, 3, 4)] for row in table["ranks"]] if question == "syscalls" else []
        return _in_order(question, table, table[_summed(question)].fillna(0).to_numpy(), ranks)

    return lambda: connection.sql(query).df(), compared


def _of_polars(folder: str, question: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    import polars as pl

    from ior_nb.aggregate import CLASS_OF

    reads, writes = (
        pl.col("syscall").is_in([name for name, kind in CLASS_OF.items() if kind in (way, "transfer")])
        for way in ("read", "write")
    )
    done, bytes_, latency = pl.col("state") == "done", pl.col("bytes"), pl.col("latency_ns")
    measures = [
        pl.len().alias("calls"),
        (pl.col("is_error") & ~pl.col("probe")).sum().alias("errors"),
        pl.col("probe").sum().alias("probes"),
        bytes_.filter(reads).sum().alias("bytes_read"),
        bytes_.filter(writes).sum().alias("bytes_written"),
        latency.filter(done).sum().alias("time_ns"),
        done.sum().alias("timed"),
        latency.filter(done).max().alias("max_ns"),
        *(pl.col(name).filter(pl.col(name) >= 0).sum() for name in _SPENT),
    ]
    rows = pl.scan_parquet(f"{folder}/*.parquet")
    if question == "slice":
        rows = rows.filter(pl.col("time_ns").is_between(_BEGIN, _END - 1))
    ranks = [latency.filter(done).quantile(q, "higher").alias(f"rank{q}") for q in (0.5, 0.99, 0.999)]

    def asked() -> Any:
        match question:
            case "files" | "slice":
                parts = rows.filter(reads & (bytes_ > 0) & (pl.col("offset") >= 0)).select(
                    "host", "file", "inode", s="offset", e=pl.col("offset") + bytes_.cast(pl.Int64)
                )
                before = (
                    pl.col("e").cum_max().shift(1).over(["host", "file", "inode"], order_by="s").fill_null(pl.col("s"))
                )
                fresh = (pl.col("e") - pl.max_horizontal("s", before)).clip(0)
                again = (pl.col("e") - pl.col("s") - fresh).sum().alias("reread_bytes")
                found = rows.group_by("file").agg(measures).join(parts.group_by("file").agg(again), "file", "left")
            case "syscalls":
                found = rows.group_by("syscall").agg([pl.col("family").first(), *measures, *ranks])
            case "processes":
                more = [pl.col("tid").n_unique(), pl.col("ppid").max(), pl.col("time_ns").min().alias("first")]
                found = rows.group_by("host", "pid").agg([*measures, *more, pl.col("comm").last()])
            case "slowest":
                found = rows.filter(done).top_k(20, by="latency_ns")
            case "timeline":
                found = rows.group_by(slot=(pl.col("time_ns") - _FIRST) // _SLOT).agg(measures)
            case "filter":
                found = rows.filter(pl.col("is_error") & ~pl.col("probe")).group_by("file").agg(measures)
            case _:
                found = rows.group_by("comm", "syscall", "file").agg(pl.len())
        return found.collect(engine="streaming").to_pandas()

    def compared(table: Any) -> Any:
        if question == "flame":
            return int(table["len"].sum())
        if question == "slowest":
            return sorted(table["latency_ns"].tolist(), reverse=True)
        values = table[[c for c in table.columns if c.startswith("rank")]].to_numpy().astype(int).tolist()
        return _in_order(
            question, table, table[_summed(question)].fillna(0).to_numpy(), values if question == "syscalls" else []
        )

    return asked, compared


_ENGINES: Final = {"ior": _of_ior, "duckdb": _of_duckdb, "polars": _of_polars}


def _main(what: str, *words: str) -> None:
    if what == "make":
        _make(Path(words[0]), int(words[1]), int(words[2]))
        return
    for name in _IMPORTED:
        importlib.import_module(name)
    ask, compared = _ENGINES[what](*words[:2])
    before = _spent()
    answer = ask()
    cost = _spent() - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    digest = hashlib.sha256(json.dumps(compared(answer), default=int).encode()).hexdigest()
    print(json.dumps({"cpu": cost, "memory": memory, "answer": digest}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
