from __future__ import annotations

from contextvars import Context
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.runtime import (
    COLUMNS,
    EventBatch,
    Filter,
    StringTable,
    context_with_runtime_bindings,
    context_with_trace_filters,
    new_tables,
    runtime_bindings_from_context,
    runtime_publisher_from_context,
    trace_filters_from_context,
)
from ior_nb.runtime.filter import Number
from ior_nb.runtime.schema import is_error
from ior_nb.runtime.text import escaped_html, middle_cut, printable, show_bytes, show_ns
from ior_nb.session.session import TracerSession
from tests.fakes import batch

REFERENCE = (
    "seq time_ns gap_ns latency_ns comm pid tid syscall family fd ret bytes address_space_bytes requested_sleep_ns "
    "nfds timeout_ns file is_error filter_epoch old_file epoll_op epoll_target_fd epoll_events"
).split()


def test_schema_begins_with_the_reference_columns() -> None:
    """The first 23 columns are those of the reference's Parquet file, in its order."""
    assert [c.name for c in COLUMNS[:23]] == REFERENCE
    assert all(c.doc for c in COLUMNS)


def test_string_table_gives_each_text_one_code() -> None:
    """The empty string is code 0; the same text always has the same code."""
    table = StringTable(["a", "b", "a"])

    assert list(table) == ["", "a", "b"]
    assert table.intern_many(["b", "", "c", "b"]).tolist() == [2, 0, 3, 2]
    assert table.code("nowhere") is None
    assert table.texts(np.array([3, 0, 2], np.int32)).tolist() == ["c", "", "b"]


def test_batch_fills_missing_columns_with_what_does_not_apply() -> None:
    """A column that is not given has the schema's value for "does not apply"."""
    events = batch(pid=[1, 2])

    assert events["fd"].tolist() == [-1, -1]
    assert events["cell"].tolist() == [-1, -1]
    assert events.text("file").tolist() == ["", ""]


def test_batch_refuses_columns_that_do_not_fit() -> None:
    """Different lengths and unknown names are refused."""
    with pytest.raises(ValueError, match="different lengths"):
        EventBatch({"pid": np.zeros(2, np.uint32), "tid": np.zeros(3, np.uint32)}, new_tables())
    with pytest.raises(ValueError, match="unknown columns"):
        EventBatch({"nonsense": np.zeros(2)}, new_tables())


def test_columns_of_a_batch_are_read_only() -> None:
    """Nobody writes into a batch, however it was made; the arrays it was made of stay their owner's."""
    mine = np.array([1, 2, 3], np.int32)
    made = EventBatch({"pid": mine}, new_tables())
    parts = [made, made[1:], made.take(np.array([0, 2])), made.with_columns(pid=mine), EventBatch.concat([made, made])]
    parts.append(made.recoded(new_tables()))

    for part in parts:
        for name, values in part.columns.items():
            with pytest.raises(ValueError, match="read-only"):
                values[0] = values[0]
            assert not values.flags.writeable, name
    mine[0] = 7


def test_rows_are_views_by_name_and_attribute() -> None:
    """Indexing and iterating give rows; text is text there."""
    events = batch(syscall=["read", "write"], file=["/a", "/b"], ret=[3, -9])

    assert events[1]["file"] == events[1].file == "/b"
    assert [r.syscall for r in events] == ["read", "write"]
    assert events[-1].ret == -9
    assert len(events[:1]) == 1
    assert set(events[0]) == {c.name for c in COLUMNS}


@given(st.lists(st.lists(st.sampled_from(["/a", "/b", "", "/ü"]), max_size=5), max_size=4), st.booleans())
def test_concat_keeps_every_row_in_order(parts: list[list[str]], shared: bool) -> None:
    """Batches are joined in order, whether they share their tables or not."""
    tables = new_tables()
    batches = [batch(tables if shared else None, file=list(part)) for part in parts if part]
    joined = EventBatch.concat(batches)

    assert joined.text("file").tolist() == [text for part in parts for text in part]


def test_restart_codes_are_no_errors() -> None:
    """-512, -513, -514 and -516 are the kernel's own business; -515 and -4 are errors."""
    codes = np.array([0, -1, -4, -512, -513, -514, -515, -516, -4095, -4096, 7])

    assert is_error(codes).tolist() == [False, True, True, False, False, False, True, False, True, False, False]


def test_context_carries_bindings_and_a_clone_of_the_filter() -> None:
    """What a session put into a context comes out of it; a foreign context gives None."""
    session = TracerSession()
    carrying = context_with_runtime_bindings(Context(), session)
    wanted = Filter(Number("pid", "=", 3))
    filtered = context_with_trace_filters(carrying, wanted)

    assert runtime_bindings_from_context(carrying) is session
    assert runtime_publisher_from_context(carrying) is session
    assert runtime_bindings_from_context(Context()) is None
    assert runtime_publisher_from_context(Context()) is None
    assert trace_filters_from_context(carrying) is None
    assert trace_filters_from_context(filtered) == wanted
    assert trace_filters_from_context(filtered) is not wanted


def test_a_context_gives_no_more_than_it_carries() -> None:
    """Who stored only the write side gets no full bindings back."""

    class Publisher:
        def set_dashboard_snapshot_source(self, source: object) -> None:
            """Nobody looks."""

        set_event_stream_source = set_live_trie = set_probe_manager = set_dashboard_snapshot_source
        set_live_filter_setter = set_live_trace = set_dashboard_snapshot_source

    publisher: Any = Publisher()
    context = context_with_runtime_bindings(Context(), publisher)

    assert runtime_bindings_from_context(context) is None
    assert runtime_publisher_from_context(context) is publisher


def test_hostile_text_is_made_visible() -> None:
    """Control, bidi and unassigned characters are shown as escapes, markup as entities."""
    assert printable("a\x1b[31m\n\u202eb") == "a\\x1b[31m\\x0a\\u202eb"
    assert printable("grün 文") == "grün 文"
    assert escaped_html("<script>\"'&\x00") == "&lt;script&gt;&quot;&#x27;&amp;\\x00"


def test_units() -> None:
    """Bytes have binary units, durations the fitting one, long text its middle cut."""
    assert [show_bytes(n) for n in (0, 1023, 1024, 5 << 30)] == ["0 B", "1,023 B", "1.0 KiB", "5.0 GiB"]
    assert [show_ns(n) for n in (0, 999, 1500, 2_000_000, 3.5e9)] == ["0 ns", "999 ns", "1.5 µs", "2 ms", "3.5 s"]
    assert middle_cut("/a/very/long/path/file.txt", 12) == "/a/v…ile.txt"


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (999.4, "999 ns"),
        (999.5, "1 µs"),
        (999_499, "999 µs"),
        (999_500, "1 ms"),
        (-999_500, "-1 ms"),
        (999_600_000, "1 s"),
        (999_400_000_000, "999 s"),
        (999_600_000_000, "1,000 s"),
        (1_234_500_000_000, "1,234 s"),
    ],
)
def test_a_duration_that_rounds_up_to_the_next_unit_is_shown_in_it(ns: float, shown: str) -> None:
    """Nothing is a thousand of a unit that has a larger one, and no exponent appears."""
    assert show_ns(ns) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (1023.4, "1,023 B"),
        (1023.5, "1.0 KiB"),
        (-1023.5, "-1.0 KiB"),
        (1023.94 * 1024, "1,023.9 KiB"),
        (1023.95 * 1024, "1.0 MiB"),
        (1023.96 * 1024**2, "1.0 GiB"),
        (1023.96 * 1024**3, "1.0 TiB"),
        (5000 * 1024**4, "5,000.0 TiB"),
    ],
)
def test_bytes_that_round_up_to_the_next_unit_are_shown_in_it(count: float, shown: str) -> None:
    """Nothing is 1024 of a unit that has a larger one."""
    assert show_bytes(count) == shown
