"""The tracer is on and nothing happens: what it costs all the same."""

from __future__ import annotations

import time

import ior_nb
from tests.bench.report import Row, log
from tests.bench.tools import cpu_seconds
from tests.collectors import collector_pid

TITLE = "idle: share of one core"
GOAL = 1.0


def measure(quick: bool) -> list[Row]:
    """Sleep in a trace of a sleeping command, and of this process."""
    seconds = 2 if quick else 5
    rows = []
    with ior_nb.TracerSession() as session:
        with ior_nb.trace(command=["true"], session=session):
            pass  # what is only loaded by the first event is not idling
        pid = collector_pid(session)
        for what, command in (("a sleeping command", ["sleep", str(seconds + 1)]), ("this process", None)):
            log(f"{what}, {seconds} s")
            with ior_nb.trace(command=command, session=session):
                time.sleep(0.5)
                theirs, mine, begin = cpu_seconds(pid), time.process_time(), time.perf_counter()
                time.sleep(seconds)
                spent = time.perf_counter() - begin
                theirs, mine = cpu_seconds(pid) - theirs, time.process_time() - mine
            rows += [
                Row.judged(f"{what}: collector and our threads", 100 * (theirs + mine) / spent, GOAL, "%"),
                Row(what="  of it, collector", measured=f"{100 * theirs / spent:.2f} %"),
                Row(what="  of it, our threads", measured=f"{100 * mine / spent:.2f} %"),
            ]
    return rows
