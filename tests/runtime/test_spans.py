"""Which text a row has, by its thread and its time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.runtime.clock import FOR_EVER
from ior_nb.runtime.spans import Spans


def _texts(spans: Spans, *rows: tuple[int, int]) -> list[str]:
    threads, times = np.array(rows, np.int64).reshape(-1, 2).T
    codes = spans.of(threads.astype(np.uint32), times.astype(np.uint64))
    return [""] * len(rows) if codes is None else spans.texts.at(codes)


def test_a_row_has_the_text_its_thread_had_when_it_began() -> None:
    """A span holds from its begin on and before its end, for its own thread alone."""
    spans = Spans()
    spans.add(7, 100, 200, "a")
    spans.add(8, 150, 300, "b")

    assert _texts(spans, (7, 99), (7, 100), (7, 199), (7, 200)) == ["", "a", "a", ""]
    assert _texts(spans, (8, 160), (7, 160), (9, 160), (8, 300)) == ["b", "a", "", ""]


def test_a_span_without_an_end_lasts_until_the_next() -> None:
    """What has not ended yet is ended by what the thread is given next, be it nothing."""
    spans = Spans()
    spans.add(7, 100, FOR_EVER, "a")
    spans.add(7, 200, FOR_EVER, "b")
    spans.add(7, 300, FOR_EVER, "")

    assert _texts(spans, (7, 150), (7, 250), (7, 350)) == ["a", "b", ""]


def test_a_span_inside_another_gives_the_outer_back() -> None:
    """What is added later covers what was said of that time, and of no other."""
    spans = Spans()
    spans.add(7, 100, FOR_EVER, "outer")
    spans.add(7, 200, 300, "inner")

    assert _texts(spans, (7, 150), (7, 250), (7, 350)) == ["outer", "inner", "outer"]


@pytest.mark.parametrize(("begin", "end"), [(100, 100), (100, 50)])
def test_a_span_of_no_time_is_none(begin: int, end: int) -> None:
    """What ends when it begins, or before, is nobody's."""
    spans = Spans()
    spans.add(7, begin, end, "a")

    assert not spans
    assert spans.of(np.array([7]), np.array([100])) is None


@pytest.mark.parametrize("rows", [[], [(9, 150)], [(9, 150), (10, 150)], [(7, 50)], [(7, 50), (9, 50)]])
def test_rows_without_a_text_make_no_column(rows: list[tuple[int, int]]) -> None:
    """Where no row has a text nothing is made."""
    spans = Spans()
    spans.add(7, 100, 200, "a")
    threads, times = np.array(rows, np.int64).reshape(-1, 2).T

    assert spans.of(threads, times) is None


def test_a_thread_that_has_ended_has_no_text() -> None:
    """Whoever is given its number begins without; what its successor has said already stays."""
    spans = Spans()
    spans.add(7, 100, FOR_EVER, "left")
    spans.end(7, 200)
    spans.end(8, 200)
    spans.add(7, 300, FOR_EVER, "new")
    spans.end(7, 250)

    assert _texts(spans, (7, 150), (7, 250), (7, 350)) == ["left", "", "new"]


_SPAN = st.tuples(st.integers(1, 4), st.integers(0, 40), st.integers(1, 12), st.sampled_from("abcd"))


@given(st.lists(_SPAN, max_size=20), st.lists(st.tuples(st.integers(1, 5), st.integers(0, 60)), max_size=40))
def test_any_spans_say_what_was_added_last(added: list[tuple[int, int, int, str]], rows: list[tuple[int, int]]) -> None:
    """Whatever is added, in whatever order: a row has the text that was added last of those that hold its time."""
    spans = Spans()
    last: dict[tuple[int, int], str] = {}
    for thread, begin, length, text in added:
        spans.add(thread, begin, begin + length, text)
        last |= {(thread, at): text for at in range(begin, begin + length)}

    assert _texts(spans, *rows) == [last.get(row, "") for row in rows]
