from __future__ import annotations

import pytest

from ior_nb.commands.words import split, without_comment


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("", ""),
        ("     # this cell", ""),
        ("--families all   # every call", "--families all"),
        ("--name a#b", "--name a#b"),
        ("--filter 'file~ #x' # really", "--filter 'file~ #x'"),
        ('load "a #b.parquet"', 'load "a #b.parquet"'),
        ("it's # not closed", "it's"),
    ],
)
def test_a_comment_begins_with_a_word(line: str, left: str) -> None:
    """What stands behind a # that begins a word is left out; inside a word or quotes it is text."""
    assert without_comment(line) == left


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--filter comm~python and latency>=1ms", ["--filter", "comm~python and latency>=1ms"]),
        ("--filter errors --no-display", ["--filter", "errors", "--no-display"]),
        ("--filter 'errors or mine' -o x.parquet", ["--filter", "errors or mine", "-o", "x.parquet"]),
        ('--filter file="/two words" and errors --own', ["--filter", 'file="/two words" and errors', "--own"]),
        ("--filter=(errors or mine) and pid=3 --own", ["--filter", "(errors or mine) and pid=3", "--own"]),
        ("--filter not errors", ["--filter", "not errors"]),
        ("--filter bytes >= 1KiB", ["--filter", "bytes >= 1KiB"]),
        ("--filter errors run.parquet", ["--filter", "errors", "run.parquet"]),
        ("--record 'a b.parquet' --filter", ["--record", "a b.parquet", "--filter"]),
    ],
)
def test_a_filter_needs_no_quotes(line: str, words: list[str]) -> None:
    """The text of a filter goes on as long as it is one; other words are split as a shell does."""
    assert split(line) == words


def test_an_open_quote_is_refused() -> None:
    """A quote that is never closed is an error, not a word."""
    with pytest.raises(ValueError, match="quot"):
        split("--name 'a")
