"""What a traced cell pays: a Python loop of preads, untraced and traced, in turns."""

from __future__ import annotations

import os
import time
import warnings

import ior_nb
from ior_nb import errors
from tests.bench.report import Row, log
from tests.bench.tools import median

TITLE = "a Python cell of preads: ns for each call"


def measure(quick: bool) -> list[Row]:
    """Run the loop in turns."""
    calls, rounds = (200_000, 3) if quick else (1_000_000, 5)
    log(f"{calls:,} preads, {rounds} rounds")
    plain, traced, ends = [], [], []
    complete = True
    rows = 0
    with ior_nb.TracerSession() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.LostEventsWarning)
        session.prepare()
        for _ in range(rounds):
            plain.append(_loop(calls))
            with ior_nb.trace(session=session) as t:
                traced.append(_loop(calls))
                begin = time.perf_counter()
            ends.append(time.perf_counter() - begin)
            rows = len(t)
            complete &= t.accounting.complete and rows >= calls
    added = median(b - a for a, b in zip(plain, traced, strict=True))
    return [
        Row(what="untraced", measured=f"{median(plain):,.0f} ns"),
        Row(
            what="traced",
            measured=f"{median(traced):,.0f} ns",
            added=f"+{added:,.0f} ns",
            ratio=f"traced ÷ untraced: {median(traced) / median(plain):.2f}",
        ),
        Row(what="rows, none lost", measured=f"{rows:,}", goal=f"≥ {calls:,}", met=complete),
        Row(what=f"end of the block: decoding {calls:,} rows", measured=f"{median(ends):.2f} s"),
    ]


def _loop(calls: int) -> float:
    fd = os.open("/dev/zero", os.O_RDONLY)
    pread = os.pread
    begin = time.perf_counter_ns()
    for _ in range(calls):
        pread(fd, 1, 0)
    spent = time.perf_counter_ns() - begin
    os.close(fd)
    return spent / calls
