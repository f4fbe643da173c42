"""From packed words to the columns of what a call fetched and waited for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.engine.collector import wire
from ior_nb.engine.decode import Decoder
from ior_nb.engine.fields import EVENT
from ior_nb.engine.spent import ALL, FETCHED, LOCKS, RUN_DELAY, WAITS, unpacked
from ior_nb.runtime import EventBatch
from ior_nb.runtime.schema import PARTS
from ior_nb.syscalls import resolve
from tests.engine.records import named

UNKNOWN = wire.PACKED_UNKNOWN
WORDS = st.one_of(st.integers(0, 5000), st.integers(0, (1 << 32) - 2))


def pack(value: int) -> int:
    """Return a number as bpf/fetched.c packs it."""
    shifts = 0
    while value >> wire.PACKED_BITS and shifts < 3:
        value >>= wire.PACKED_SHIFT
        shifts += 1
    return shifts << wire.PACKED_BITS | (min(value, (1 << wire.PACKED_BITS) - 2) if shifts == 3 else value)


def decoded(
    *calls: dict[str, int], measured: frozenset[str] = ALL, mode: int = 0o100644, name: str = "read"
) -> EventBatch:
    """Return rows of reads of a file of that mode."""
    decoder = Decoder()
    decoder.spent.measured = measured
    decoder.names.take(named(1, "/f", mode=mode))
    events = np.zeros(len(calls), EVENT)
    events["len"], events["nr"], events["file"], events["pid"] = wire.EVENT_BYTES, resolve(name).number, 1, 1
    events["args"][:, 2], events["ret"] = 1 << 20, 100
    for event, call in zip(events, calls, strict=True):
        for field, value in call.items():
            event[field] = value
    return decoder.events(events.tobytes())


@given(st.integers(0, (1 << 57) - 1))
def test_a_packed_number_is_exact_where_it_is_small_or_whole_sectors(value: int) -> None:
    """Below 1 GiB to the unit, below 512 GiB in sectors; beyond, no more is lost than a millionth."""
    found = int(unpacked(np.array([pack(value)], np.uint32))[0])

    assert found <= value
    assert value - found <= value >> 20
    if value < 1 << wire.PACKED_BITS or (value < 1 << 39 and value % 512 == 0):
        assert found == value


@given(
    latency=st.lists(st.integers(0, 1 << 40), min_size=1, max_size=30),
    words=st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=30, max_size=30),
)
def test_the_parts_of_a_latency_add_up_to_it(latency: list[int], words: list[tuple[int, int, int, int]]) -> None:
    """Whatever two clocks say: waits are cut rather than that the work be less than nothing."""
    names = ("run_delay", "wait_device", "wait_lock", "wait_other")
    calls = [{"latency": ns, **dict(zip(names, row, strict=True))} for ns, row in zip(latency, words, strict=False)]
    rows = decoded(*calls)

    parts = np.array([rows[name] for name in PARTS])
    assert (parts >= 0).all()
    assert parts.sum(axis=0).tolist() == latency


def test_a_call_that_is_still_open_was_not_measured() -> None:
    """Its words say so, and no column has a number."""
    words = ("fetched", "run_delay", "wait_device", "wait_lock", "wait_other")
    rows = decoded({"latency": 5, "flags": wire.EF_IN_FLIGHT, **dict.fromkeys(words, UNKNOWN)}, {"latency": 7})

    assert [rows[name].tolist() for name in ("fetched_bytes", *PARTS[1:])] == [[-1, 0]] * 5
    assert rows["on_cpu_ns"].tolist() == [-1, 7]
    assert rows.text("source").tolist() == ["", "cache"]


@pytest.mark.parametrize(
    "measured", [ALL, ALL - {LOCKS}, ALL - {WAITS}, ALL - {FETCHED}, ALL - {RUN_DELAY}, frozenset()]
)
def test_what_nobody_measures_has_no_numbers(measured: frozenset[str]) -> None:
    """A kernel that does not count, or a trace without waits, leaves the columns as not measured."""
    rows = decoded({"latency": 9, "fetched": 4096, "run_delay": 2, "wait_other": 3}, measured=measured)

    assert rows["fetched_bytes"][0] == (4096 if FETCHED in measured else -1)
    assert rows.text("source")[0] == ("device" if FETCHED in measured else "")
    assert rows["wait_cpu_ns"][0] == (2 if RUN_DELAY in measured else -1)
    assert rows["wait_other_ns"][0] == (3 if WAITS in measured else -1)
    assert rows["wait_lock_ns"][0] == (0 if measured >= {WAITS, LOCKS} else -1)
    assert rows["on_cpu_ns"][0] == (4 if measured >= {WAITS, RUN_DELAY} else -1)


def test_where_bytes_were_is_told_of_reads_of_files() -> None:
    """Fetched by the call, past the cache, by another call that was waited for, or in the cache."""
    rows = decoded(
        {"fetched": 8192, "latency": 100, "wait_device": 50},
        {"fetched": 8192, "latency": 100, "flags": wire.EF_DIRECT},
        {"latency": 100, "wait_device": 50},
        {"latency": 100},
        {"latency": 100, "ret": 0},
    )

    assert rows.text("source").tolist() == ["device", "direct", "waited", "cache", ""]
    assert decoded({"latency": 100}, mode=0o010644).text("source").tolist() == [""]
    assert decoded({"latency": 100}, name="write").text("source").tolist() == [""]
    assert decoded({"latency": 100, "fetched": 4096}, name="write").text("source").tolist() == ["device"]
