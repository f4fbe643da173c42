"""Questions to recordings of any size, against DuckDB (one thread) for the same answer on the same files in one run.

Each question is asked in a process of its own, which says what it cost: processor time without that of its imports, and
the most memory it held. Answers are compared.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.bench.report import Row, log

TITLE = "scale: questions to a folder of recordings of the fixed generator, one host each, against DuckDB (1 thread)"
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
_IMPORTED: Final = ("pandas", "pyarrow.parquet", "plotly.graph_objects", "ior_nb.result.load", "ior_nb.result.figures")
_FRESH: Final = (
    'r AS (SELECT file, inode, "offset" s, "offset" + bytes e FROM {rows} WHERE syscall IN ({reads}) AND bytes > 0 '
    'AND "offset" >= 0), w AS (SELECT file, e - s size, greatest(e - greatest(s, coalesce(max(e) OVER (PARTITION BY '
    "file, inode ORDER BY s ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), s)), 0) fresh FROM r), "
    "reread AS (SELECT file, sum(size) - sum(fresh) reread_bytes FROM w GROUP BY file)"
)
"""What of each file was read again."""
_SLOT: Final = 50_000_000
_FIRST: Final = 1_000_000_000_000
"""When the generator's rows begin, ns."""
SQL: Final[dict[str, str]] = {
    "files": f"WITH {_FRESH} SELECT * FROM (SELECT file, {{measures}} FROM {{rows}} GROUP BY file) "
    "LEFT JOIN reread USING (file) ORDER BY 5 DESC",
    "syscalls": "SELECT syscall, any_value(family), {measures}, {ranks} FROM {rows} GROUP BY syscall ORDER BY 7 DESC",
    "processes": "SELECT pid, last(comm) FILTER (tid = pid), max(ppid), count(DISTINCT tid), min(time_ns), "
    "max(time_ns + latency_ns), {measures} FROM {rows} GROUP BY pid ORDER BY calls DESC",
    "slowest": "SELECT * FROM {rows} WHERE state = 'done' ORDER BY latency_ns DESC LIMIT 20",
    "timeline": f"SELECT (time_ns - {_FIRST}) // {_SLOT} slot, {{measures}} FROM {{rows}} GROUP BY 1 ORDER BY 1",
    "slice": "SELECT file, {measures} FROM {rows} WHERE time_ns BETWEEN {begin} AND {end} GROUP BY file",
    "filter": "SELECT file, {measures} FROM {rows} WHERE is_error AND NOT probe GROUP BY file ORDER BY 2 DESC",
    "flame": "SELECT comm, syscall, file, count(*) FROM {rows} GROUP BY ALL",
}
"""Question -> its query."""


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    files, rows = (4, 500_000) if quick else (16, 1_000_000)
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(files):
            log(f"scale: recording {number + 1} of {files}, {rows:,} rows")
            _ask("make", str(folder / f"node{number:02d}.parquet"), str(rows), str(number + 1))
        log(f"scale: {sum(f.stat().st_size for f in folder.iterdir()) / files / rows:.1f} bytes a row")
        for question in SQL:
            log(f"scale: {question}")
            ours, theirs = _ask("ior", str(folder), question), _ask("duckdb", str(folder), question)
            ratio = ours["cpu"] / theirs["cpu"]
            found.append(
                Row(
                    what=f"{question}: {files * rows / 1e6:,.0f} M rows, {ours['memory']:,} MiB held",
                    measured=f"{ours['cpu']:.2f} s",
                    added=f"DuckDB {theirs['cpu']:.2f} s, {theirs['memory']:,} MiB",
                    ratio=f"{ratio:.2f}",
                    goal="≤ 1.00 × DuckDB, 1 GiB, the same answer",
                    met=ratio <= 1 and ours["memory"] <= 1024 and ours["answer"] == theirs["answer"],
                )
            )
        ours = _ask("ior", str(folder), "summary")
        found.append(Row(what=f"summary, {ours['memory']:,} MiB held", measured=f"{ours['cpu']:.2f} s"))
    return found


def _ask(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.scale", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    answer: dict[str, Any] = json.loads(done.stdout or "{}")
    return answer


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _make(path: Path, rows: int, seed: int) -> None:
    from ior_nb.engine.decode import Decoder
    from ior_nb.export.arrow import record_batch
    from ior_nb.runtime import Accounting, Completeness
    from ior_nb.sinks.parquet import Recorder
    from tests.bench.frames import frames

    decoder, recorder, before = Decoder(), Recorder(to_arrow=lambda b: record_batch(b, host=path.stem)), 0
    about = {
        "ior_nb.version": "0",
        "ior_nb.hostname": path.stem,
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
    return [*_COMPARED, *(["reread_bytes"] if question == "files" else [])]


def _in_order(question: str, table: Any, sums: Any, ranks: list[list[Any]]) -> list[list[Any]]:
    """Return the sums of each row of a table and its ranks, if there are any, in an order that is nobody's own."""
    names = table.iloc[:, 0].tolist() if question in _BY_NAME else range(len(sums))
    order = sorted(range(len(sums)), key=lambda i: (str(names[i]), *sums[i].tolist()))
    return [[*map(int, sums[i].tolist()), *(ranks[i] if ranks else ())] for i in order]


def _of_ior(folder: str, question: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """Return how to ask, and what of an answer is compared."""
    import ior_nb

    def asked() -> Any:
        if question == "slice":
            return ior_nb.load(folder, filter=f"time>={_FIRST + 10_000_000} and time<{_FIRST + 30_000_000}").files()
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
    query = SQL[question].format(
        rows=f"read_parquet('{folder}/*.parquet')",
        measures=measures,
        reads=quoted["read"],
        ranks=_RANKS,
        begin=_FIRST + 10_000_000,
        end=_FIRST + 30_000_000 - 1,
    )

    def compared(table: Any) -> Any:
        if question == "flame":
            return int(table.iloc[:, 3].sum())
        if question == "slowest":
            return table["latency_ns"].tolist()
        ranks = [[int(row[at]) for at in (0, 3, 4)] for row in table["ranks"]] if question == "syscalls" else []
        return _in_order(question, table, table[_summed(question)].fillna(0).to_numpy(), ranks)

    return lambda: connection.sql(query).df(), compared


def _main(what: str, *words: str) -> None:
    if what == "make":
        _make(Path(words[0]), int(words[1]), int(words[2]))
        return
    for name in _IMPORTED:  # which is no part of an answer
        importlib.import_module(name)
    ask, compared = (_of_ior if what == "ior" else _of_duckdb)(*words[:2])
    before = _spent()
    answer = ask()
    cost = _spent() - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    digest = hashlib.sha256(json.dumps(compared(answer), default=int).encode()).hexdigest()
    print(json.dumps({"cpu": cost, "memory": memory, "answer": digest}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
