"""Rows that are taken out by their frames are missing nowhere: the counts do not know them either."""

from __future__ import annotations

import numpy as np

from ior_nb.engine import decode
from ior_nb.engine.collector import wire
from ior_nb.engine.counted import COUNTER
from ior_nb.engine.decode import Decoder
from ior_nb.engine.fields import EVENT
from ior_nb.syscalls import resolve
from tests.engine.test_stacks import code_fact, stack_fact

READ, OPEN = resolve("read").number, resolve("openat").number
TOTALS = {"seen": 9, "emitted": 8, "left_out": 2, "filtered": 1}


def decoder() -> Decoder:
    """Return one that knows two stacks: the first is ours, the second the user's."""
    made = Decoder()
    code = compile("x()", "a.py", "exec")
    made.stacks.learn(code_fact(1, code, file=decode.__file__.encode()) + code_fact(2, code))
    made.stacks.learn(stack_fact(1, (1, 2), owners=True) + stack_fact(2, (2, 2), owners=True))
    return made


def events(*rows: tuple[int, int, int, int, int]) -> bytes:
    """Return an EVENTS frame: number of the call, stack, result, latency and flags of each."""
    found = np.zeros(len(rows), EVENT)
    found["len"], found["args"] = wire.EVENT_BYTES, 64
    for name, values in zip(("nr", "stack", "ret", "latency", "flags"), zip(*rows, strict=True), strict=True):
        found[name] = np.array(values).astype(found[name].dtype)
    return found.tobytes()


def test_rows_of_ours_are_taken_out_and_counted_as_left_out() -> None:
    """The others stay, in their order; a call in flight has not been counted as one, and stays."""
    made = decoder()
    batch = made.events(
        events((READ, 2, 7, 1, 0), (READ, 1, 11, 1, 0), (READ, 0, 13, 1, 0), (READ, 1, 0, 1, wire.EF_IN_FLIGHT))
    )

    assert batch["ret"].tolist() == [7, 13, 0]
    assert made.machinery.totals(TOTALS) == TOTALS | {"seen": 8, "emitted": 7, "left_out": 3}


def test_the_kernel_s_counters_know_them_no_more() -> None:
    """What the kernel program has counted of the rows taken out is taken from its counters, call by call."""
    made = decoder()
    made.events(events((READ, 1, 11, 1024, 0), (READ, 1, -5, 1023, 0), (OPEN, 1, -2, 1, 0), (OPEN, 2, 3, 1, 0)))
    counted = np.zeros(wire.SPECS, COUNTER)
    counted["calls"], counted["errors"], counted["bytes"], counted["latency_ns"] = 5, 5, 100, 10_000
    counted["histogram"] = 5

    left = made.machinery.counters(counted)

    assert {name: left[name][[READ, OPEN]].tolist() for name in ("calls", "errors", "bytes", "latency_ns")} == {
        "calls": [3, 4],
        "errors": [4, 4],
        "bytes": [89, 100],
        "latency_ns": [7_953, 9_999],
    }
    assert left["histogram"][READ][8:12].tolist() == [5, 4, 4, 5]
    assert counted["calls"].tolist() == [5] * wire.SPECS


def test_nothing_is_taken_out_where_nothing_is_ours() -> None:
    """Batch, totals and counters are what they were."""
    made = decoder()
    batch = made.events(events((READ, 2, 7, 1, 0)))
    counted = np.ones(wire.SPECS, COUNTER)

    assert len(batch) == 1
    assert made.machinery.totals(TOTALS) is TOTALS
    assert made.machinery.counters(counted) is counted
