"""One cheap call as fast as it goes: who adds how much, who loses how many.

Rounds are interleaved (A B C A B C ...) and medians taken, since the machine is never quite idle. bpftrace and perf
need
tracefs; they get it in a mount namespace of their own, so that this machine's mounts stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import ior_nb
from ior_nb import errors
from ior_nb.engine.collector.compiler import import_bcc
from tests.bench.report import Row, log
from tests.bench.tools import HERE, Load, cpu_seconds, load_program, median, peak_mib, trace_load, with_tracefs
from tests.collectors import collector_pid

TITLE = "full blast: 1-byte preads of /dev/zero; the caller's CPU ns per call (bpftrace, perf: private tracefs mount)"
EMPTY = "RAW_TRACEPOINT_PROBE(sys_enter) { return 0; }\nRAW_TRACEPOINT_PROBE(sys_exit) { return 0; }\n"
OURS = "ior-nb, all columns and counters"
GOAL = 0.75
MEMORY_MIB = 256


@dataclass(frozen=True, slots=True)
class Ours:
    """A traced load, and what tracing it took."""

    load: Load
    rows: int
    lost: dict[str, int]
    complete: bool
    collector_ns: float
    """Processor time of the collector for each row."""
    decoder_ns: float
    """Processor time of this process for each row."""
    collector_mib: float


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    many = 2_000_000 if quick else 50_000_000
    few = 1_000_000 if quick else 5_000_000
    rounds = 3 if quick else 7
    rows: list[Row] = []
    for processes in (1, 3):
        rows += _compare(few, processes, rounds)
    for processes in (1, 3):
        rows += _endure(many, processes)
    return rows + _slow_ones(20_000 if quick else 100_000)


def _compare(calls: int, processes: int, rounds: int) -> list[Row]:
    bpftrace = shutil.which("bpftrace") is not None and os.geteuid() == 0
    with ior_nb.TracerSession() as session:
        session.prepare()
        runs: dict[str, Callable[[], Load]] = {
            "untraced": lambda: Load.run(calls, processes),
            "empty pair of raw tracepoints": lambda: _empty(calls, processes),
            OURS: lambda: _ours(session, calls, processes).load,
        }
        if bpftrace:
            runs["bpftrace: count and hist, by call"] = lambda: _bpftrace("count_by_call.bt", calls, processes)
            runs["bpftrace: count and hist, this call only"] = lambda: _bpftrace("count_one_call.bt", calls, processes)
        found: dict[str, list[Load]] = {name: [] for name in runs}
        for number in range(rounds):
            log(f"{processes} x {calls // processes:,} calls, round {number + 1} of {rounds}")
            for name, run in runs.items():
                found[name].append(run())
    # Judged by the caller's own processor time: what else runs on the machine does not count, and three processes on
    # two cores wait for each other. On a quiet machine the wall clock of one thread says the same.
    base = found["untraced"]
    added = {
        name: median(run.cpu_ns - plain.cpu_ns for run, plain in zip(found[name], base, strict=True)) for name in runs
    }
    ours = added[OURS]
    what = "1 thread" if processes == 1 else f"{processes} processes"
    rows = []
    for name, loads in found.items():
        cpu, wall = median(run.cpu_ns for run in loads), median(run.wall_ns for run in loads)
        versus = ""
        if name.startswith("bpftrace"):
            versus = f"ior-nb ÷ this: {ours / added[name]:.2f}"
        rows.append(
            Row(
                what=f"{what}: {name}",
                measured=f"{cpu:,.0f} ns (wall {wall:,.0f})",
                added="" if name == "untraced" else f"+{added[name]:,.0f} ns",
                ratio=versus,
                goal=f"≤ {GOAL}" if versus else "",
                met=ours / added[name] <= GOAL if versus else None,
            )
        )
    if not bpftrace:
        rows.append(Row(what=f"{what}: bpftrace", measured="not available", goal=f"≤ {GOAL}"))
    return rows


def _endure(calls: int, processes: int) -> list[Row]:
    log(f"{processes} x {calls // processes:,} calls, all rows drained and decoded")
    plain = Load.run(min(calls, 5_000_000), processes)
    with ior_nb.TracerSession() as session:
        run = _ours(session, calls, processes)
    ratio = run.load.wall_ns / plain.wall_ns
    lost = ", ".join(f"{n:,} ({reason})" for reason, n in run.lost.items() if n) or "0"
    what = "1 thread" if processes == 1 else f"{processes} processes"
    rate = 1e3 * processes / run.load.wall_ns
    return [
        Row(
            what=f"{what}, {calls:,} calls: rows received",
            measured=f"{run.rows:,}",
            added=f"{rate:.2f} M/s",
            ratio=f"wall ÷ untraced: {ratio:.1f}",
            goal=f"≥ {calls:,}",
            met=run.rows >= calls,
        ),
        Row(what=f"{what}: lost", measured=lost, goal="0", met=run.complete),
        Row(what=f"{what}: collector CPU for each row", measured=f"{run.collector_ns:,.0f} ns"),
        Row(what=f"{what}: decode and summary CPU for each row", measured=f"{run.decoder_ns:,.0f} ns"),
        Row.judged(f"{what}: collector memory at its peak", run.collector_mib, MEMORY_MIB, "MiB", digits=0),
    ]


def _ours(session: ior_nb.TracerSession, calls: int, processes: int) -> Ours:
    command, out = trace_load(calls, processes)
    session.prepare()
    pid = collector_pid(session)
    collector, mine = cpu_seconds(pid), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.LostEventsWarning)
        with ior_nb.trace(command=command, keep_rows=False, session=session) as t:
            pass
    collector, mine = cpu_seconds(pid) - collector, time.process_time() - mine
    rows = t.accounting.emitted
    return Ours(
        load=Load.parse(out.read_text()),
        rows=rows,
        lost={**t.accounting.lost, "names": t.accounting.names_lost, "skipped": t.accounting.skipped_runs},
        complete=t.accounting.complete and t.accounting.unaccounted == 0,
        collector_ns=collector * 1e9 / rows,
        decoder_ns=mine * 1e9 / rows,
        collector_mib=peak_mib(pid),
    )


def _empty(calls: int, processes: int) -> Load:
    """Measure two programs that do nothing, attached where ours are: what is left when all work is taken away."""
    bpf = import_bcc().BPF(text=EMPTY, cflags=["-w"])
    try:
        return Load.run(calls, processes)
    finally:
        bpf.cleanup()


@contextlib.contextmanager
def _waiting_load(calls: int, processes: int) -> Iterator[subprocess.Popen[str]]:
    command = [load_program(), "-w", str(calls // processes), str(processes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        try:
            yield load
        finally:
            load.kill()


def _bpftrace(script: str, calls: int, processes: int) -> Load:
    with _waiting_load(calls, processes) as load:
        assert load.stdout is not None
        pids = load.stdout.readline().split()
        command = with_tracefs(["bpftrace", str(HERE / script), *(pids * 3)[:3]])
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tracer:
            try:
                _wait_for(tracer, "Attaching")
                out, _ = load.communicate("\n", timeout=600)
            finally:
                tracer.send_signal(signal.SIGINT)
                said, _ = tracer.communicate(timeout=60)
    result = Load.parse(out)
    counted = sum(int(line.split(": ")[1]) for line in said.splitlines() if line.startswith("@calls"))
    if counted < calls // processes * processes:
        raise RuntimeError(f"bpftrace counted {counted} of {calls} calls: {said}")
    return result


def _wait_for(tracer: subprocess.Popen[str], word: str) -> None:
    assert tracer.stdout is not None
    said = ""
    while word not in said:
        line = tracer.stdout.readline()
        if not line:
            raise RuntimeError(f"bpftrace did not start: {said}")
        said += line
    time.sleep(1)  # it says so before it does it


def _slow_ones(calls: int) -> list[Row]:
    """Measure strace and perf trace, with few calls, for they take tens of microseconds for each."""
    rows = []
    plain = Load.run(calls).wall_ns
    tools = {
        "strace -c": ["strace", "-f", "-c", "-o", "/dev/null"],
        "perf trace -s": with_tracefs(["perf", "trace", "-s", "-o", "/dev/null"]),
    }
    for name, under in tools.items():
        log(name)
        what = f"1 thread, {calls:,} calls: {name}"
        program = name.split()[0]
        if shutil.which(program) is None:
            rows.append(Row(what=what, measured="not available", ratio="not installed"))
            continue
        try:
            times = Load.run(calls, under=under).wall_ns
        except (subprocess.CalledProcessError, RuntimeError) as error:
            rows.append(Row(what=what, measured="not available", ratio=str(error)[:60]))
            continue
        rows.append(Row(what=what, measured=f"{times:,.0f} ns", added=f"+{times - plain:,.0f} ns"))
    return rows
