"""What is said of columns that are not filled."""

from __future__ import annotations

from ior_nb.runtime import Completeness
from ior_nb.runtime.completeness import pages_of, unfilled_of

UNFILLED = {"peer, local": "this kernel's BTF has no sock.a\x1b[31m"}


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
