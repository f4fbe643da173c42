"""What is said of columns that are not filled."""

from __future__ import annotations

import pytest

from ior_nb.runtime import Completeness
from ior_nb.runtime.completeness import only_where, pages_of, unfilled_of

UNFILLED = {"peer, local": "this kernel's BTF has no sock.a\x1b[31m"}


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ([], ""),
        (["all", "all"], ""),
        (["a"], "only rows where a"),
        (["a", "b"], "only rows where a, then rows where b"),
        (["all", "a", "all"], "all rows, then only rows where a, then all rows"),
        (["a", "all", "b", "c"], "only rows where a, then all rows, then only rows where b, then rows where c"),
    ],
)
def test_filters_are_said_in_their_order(filters: list[str], said: str) -> None:
    """What narrows the rows is "only"; that all pass again is not."""
    assert only_where(filters) == said


def test_columns_that_are_not_filled_are_named_with_the_reason() -> None:
    """In the line of every result, safe for a terminal; the rows are whole all the same."""
    lacking = Completeness(unfilled=UNFILLED)

    assert "not filled: peer, local (this kernel's BTF has no sock.a\\x1b[31m)" in lacking.line()
    assert lacking.whole


def test_a_footer_says_which_columns_are_not_filled() -> None:
    """What a recording carries comes back; anything else in its place is nothing."""
    assert unfilled_of(Completeness(unfilled={"peer": "why"}).pairs()) == {"peer": "why"}
    assert unfilled_of({"ior_nb.unfilled": '["peer"]'}) == {}
    assert unfilled_of({"ior_nb.unfilled": '{"peer": 7}'}) == {}


def test_a_footer_says_what_was_counted_by_path() -> None:
    """Counts come back; what is no count, or of no size, is nothing, and nothing of its path is believed."""
    assert pages_of({"ior_nb.pages": '{"/a": {"faults": 3}, "/b": {"faults": -1}, "/c": 7, "/d": {"x": 1e400}}'}) == {
        "/a": {"faults": 3}
    }
    assert pages_of({"ior_nb.pages": "[1]"}) == pages_of({}) == {}
