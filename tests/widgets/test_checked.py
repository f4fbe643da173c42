"""The checks of what a page has sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ior_nb.widgets.checked import text, texts, whole


def test_good_values_come_out_as_they_are() -> None:
    """Limits are inside, empty texts and lists are fine, and a number JavaScript sent as 5.0 is 5."""
    assert [whole({"n": n}, "n", 0, 5) for n in (0, 5, 5.0)] == [0, 5, 5]
    assert isinstance(whole({"n": 5.0}, "n", 0, 5), int)
    assert [text({"t": t}, "t", 3) for t in ("", "abc")] == ["", "abc"]
    assert [texts({"t": t}, "t", 2) for t in ([], ["a", ""])] == [[], ["a", ""]]


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        *((whole, value) for value in (True, 1.5, -1, 6, "1", None, [1], float("nan"), float("inf"), -float("inf"))),
        *((text, value) for value in (3, None, ["a"], "x" * 6, True)),
        *((texts, value) for value in ("abc", None, [1], ["a", None], ["a"] * 6, {"a": 1})),
    ],
)
def test_bad_values_are_named_with_their_key(check: Callable[..., Any], bad: Any) -> None:
    """One line says which value is wrong, what was expected, and what was seen."""
    seen = "nothing" if bad is None else repr(bad)[:40]
    limits = (0, 5) if check is whole else (5,)
    with pytest.raises(ValueError, match=r"^wanted: expected [^\n]+, not [^\n]+$") as raised:
        check({"wanted": bad}, "wanted", *limits)
    assert str(raised.value).endswith(f"not {seen}")


@pytest.mark.parametrize(("check", "limits"), [(whole, (0, 5)), (text, (5,)), (texts, (5,))])
def test_what_is_missing_is_named_too(check: Callable[..., Any], limits: tuple[int, ...]) -> None:
    """No value is an error of its own."""
    with pytest.raises(ValueError, match=r"^wanted: expected .*, not nothing$"):
        check({}, "wanted", *limits)


def test_long_and_hostile_values_are_shown_harmless_and_short() -> None:
    """What was seen is cut, and in one line."""
    with pytest.raises(ValueError, match="expected") as raised:
        text({"t": "a\n\u202e" * 1000}, "t", 5)
    assert len(str(raised.value)) < 120
    assert "\n" not in str(raised.value)
    assert "\u202e" not in str(raised.value)
