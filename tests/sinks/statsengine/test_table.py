"""The parts: the ranking, the table, the split of counted calls."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.runtime.sheet.histogram import BUCKETS, buckets_of, decades
from ior_nb.sinks.statsengine.table import Table, best
from tests.sinks.statsengine.events import CHECKED


@CHECKED
@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(-1, 35))
def test_best_is_a_stable_sort_cut_short(values: list[int], count: int) -> None:
    """The largest values come first, equal ones in their order, however many are asked for."""
    found = best(np.array(values, np.int64), count)

    assert found.tolist() == sorted(range(len(values)), key=lambda i: -values[i])[: max(count, 0)]


@CHECKED
@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), max_size=10), st.integers(2, 12))
def test_a_table_loses_nothing(parts: list[list[int]], limit: int) -> None:
    """Entries, overflow and folded sums together are what was added, and there are never more than the limit."""
    table = Table(("count", "sum"), maxima=("max",), limit=limit, pinned=0)
    for part in parts:
        codes = np.array(part)
        entries = table.entries(codes)
        table.add("count", entries, 1)
        table.add("sum", entries, codes)
        table.raise_to("max", entries, codes)
        assert all(table.codes[e] == c for e, c in zip(entries.tolist(), part, strict=True) if e)
    added = [c for part in parts for c in part]

    assert table.used <= limit + 1
    assert table.find(0) == 1
    assert int(table.columns["count"][: table.used].sum()) + table.folded["count"] == len(added)
    assert int(table.columns["sum"][: table.used].sum()) + table.folded["sum"] == sum(added)
    assert max(int(table.columns["max"][: table.used].max()), table.folded["max"]) == max(added, default=0)


def test_counted_calls_are_split_where_a_power_of_two_holds_an_edge() -> None:
    """512 to 1023 ns hold the edge at 1 us: calls only counted are split as the rows are, else by width."""
    unseen = np.zeros(48, np.int64)
    unseen[9] = 1024
    nothing = np.zeros(BUCKETS, np.int64)
    rowed = np.bincount(buckets_of(np.array([600, 600, 600, 1010])), minlength=BUCKETS)
    by_width = decades(np.zeros(8, np.int64), nothing, unseen)
    by_rows = decades(np.array([3, 1, 0, 0, 0, 0, 0, 0]), rowed, unseen - 4 * (unseen > 0))

    assert [b.count for b in by_width.buckets[:2]] == [976, 48]
    assert [b.count for b in by_rows.buckets[:2]] == [768, 256]
    assert (by_width.exact, by_rows.exact, by_rows.total) == (False, False, 1024)
