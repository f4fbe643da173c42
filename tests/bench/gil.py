"""A notebook that holds the interpreter lock for seconds must not make the tracer lose anything."""

from __future__ import annotations

import ctypes
import threading
import time
import warnings

import ior_nb
from ior_nb import errors
from tests.bench.report import Row, log
from tests.bench.tools import peak_mib, trace_load
from tests.collectors import collector_pid

TITLE = "a lock held for seconds while a child makes calls"


def measure(quick: bool) -> list[Row]:
    """Trace a child at full blast while this process sleeps without letting go of its lock."""
    calls, seconds = (500_000, 2) if quick else (2_000_000, 5)
    log(f"{calls:,} calls, lock held for {seconds} s")
    command, _ = trace_load(calls)
    with ior_nb.TracerSession() as session:
        session.prepare()
        gap = _Gap()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.LostEventsWarning)
            with gap, ior_nb.trace(command=command, keep_rows=False, session=session) as t:
                ctypes.PyDLL(None).usleep(seconds * 1_000_000)  # PyDLL keeps the lock
                begin = time.perf_counter()
            after = time.perf_counter() - begin
        memory = peak_mib(collector_pid(session))
    books = t.accounting
    lost = books.lost_total + books.names_lost + books.skipped_runs
    return [
        Row.judged("longest time no other thread ran", gap.longest, seconds * 0.99, "s", most=False),
        Row(
            what="rows received",
            measured=f"{books.emitted:,}",
            goal=f"≥ {calls:,}",
            met=books.emitted >= calls and books.unaccounted == 0,
        ),
        Row(what="lost", measured=f"{lost:,}", goal="0", met=lost == 0),
        Row(what="until everything was decoded, after the lock was free", measured=f"{after:.2f} s"),
        Row(what="collector memory at its peak", measured=f"{memory:.0f} MiB"),
    ]


class _Gap:
    """Watches from a thread of its own for how long it was not let run."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        last = time.perf_counter()
        while not self._over.wait(0.01):
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()
