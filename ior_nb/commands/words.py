"""A line of a magic as people type it: comments behind it, filters without quotes around them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

__all__ = ["split", "without_comment"]

_TOKEN: Final = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+|['"\\]""", re.DOTALL)
_JOINS: Final = frozenset({"and", "or", "not", "(", ")"})
_ALONE: Final = frozenset({"errors", "probes", "mine"})
_FILTER: Final = "--filter"


def without_comment(line: str) -> str:
    """Return the line without what stands behind a `#` that begins a word, outside of quotes."""
    for token in _TOKEN.finditer(line):
        if token[0].startswith("#"):
            return line[: token.start()].rstrip()
    return line.strip()


def split(line: str) -> list[str]:
    """Split a line as a shell does; the text behind `--filter` may be as it is behind `%ior filter`.

    Raises:
        ValueError: a quote is not closed.
    """
    tokens = list(_TOKEN.finditer(line))
    words: list[str] = []
    at = 0
    while at < len(tokens):
        text = tokens[at][0]
        name, sign, rest = text.partition("=")
        if name == _FILTER and (sign or at + 1 < len(tokens)):
            first = at if sign else at + 1
            end = _end_of_filter([t[0] for t in tokens], first, rest if sign else tokens[first][0])
            begin = tokens[first].start() + (len(name) + 1 if sign else 0)
            raw = line[begin : tokens[end - 1].end()]
            quoted = raw[:1] in ("'", '"') and end == first + 1
            words += [_FILTER, shlex.split(raw)[0] if quoted else raw]
            at = end
        else:
            words += shlex.split(text)
            at += 1
    return words


def _end_of_filter(tokens: Sequence[str], first: int, text: str) -> int:
    """Return the number of the first token behind a filter's that begins at one."""
    if text[:1] in ("'", '"'):
        return first + 1
    at = first + 1
    while at < len(tokens):
        word, before = tokens[at].lower(), tokens[at - 1].lower()
        goes_on = word.strip("()") in _JOINS | _ALONE | {""} or before.strip("()") in _JOINS
        if tokens[at].startswith("-") or not (goes_on or re.search("[=~<>]", word) or re.search("[=~<>]$", before)):
            break
        at += 1
    return at
