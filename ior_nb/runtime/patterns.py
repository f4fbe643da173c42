"""Text patterns of filters: what they match, and their verdicts over a whole column at the price of an array index.

Two operators ask, two more (`!~`, `!=`) say the opposite:

- `~` looks for the text anywhere. `^` at the start and `$` at the end anchor it, at most one each, and case does not
  count. Two forms are exact, and there it does: `^text$` is the whole value, `^dir/*` is what lies directly in `dir`.
- `=` compares the whole value, case counts, `*` stands for any run of characters, also of none and across `/`. It has
  no escape for a literal star: `~^a*b$` finds that one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np

from ior_nb.real import Lock
from ior_nb.runtime.mine import MINE, kind_of
from ior_nb.runtime.stacks import is_import
from ior_nb.runtime.strings import StringTable

__all__ = ["IS_IMPORT", "IS_MINE", "NEGATIONS", "exact_value", "fold", "matcher", "shortest_match", "verdicts"]

NEGATIONS: Final = {"!~": "~", "!=": "="}
IS_MINE: Final = "mine"
"""Asks, of a file and with no pattern, whether it is the user's own."""
IS_IMPORT: Final = "import"
"""Asks, of a Python stack and with no pattern, whether its calls are the cost of an import."""

# For each table the verdict on each of its strings, by pattern. Tables only ever grow, so what was decided stays.
_PATTERNS_KEPT: Final = 64
_known: Final[WeakKeyDictionary[StringTable, dict[tuple[str, str], np.ndarray]]] = WeakKeyDictionary()
_lock: Final = Lock()
_NOTHING: Final = np.empty(0, bool)

_ESCAPED_BYTE: Final = re.compile(r"\\x[0-9a-f]{2}")
# The two letters whose lower-case form is longer in UTF-8 than the upper-case one.
_SHORTER_IN_UPPER_CASE: Final = str.maketrans({"ⱥ": "Ⱥ", "ⱦ": "Ⱦ"})


def fold(text: str) -> str:
    """Return the form in which case does not count: each character's own lower-case letter.

    `str.lower` alone depends on the neighbours (final sigma) and makes two characters of a dotted capital I, so that a
    part of a text would not always be found in it.
    """
    return text.lower() if text.isascii() else text.replace("\u0130", "i").lower().replace("ς", "σ")


def exact_value(operator: str, pattern: str) -> str | None:
    """Return the one value a pattern matches, None when it is not of that sort."""
    if operator == "=":
        return None if "*" in pattern else pattern
    anchored = len(pattern) > 1 and pattern.startswith("^") and pattern.endswith("$")
    return pattern[1:-1] if anchored else None


def matcher(operator: str, pattern: str) -> Callable[[str], bool]:
    """Return the function that tells whether one value matches; `operator` is `~`, `=`, `IS_MINE` or `IS_IMPORT`."""
    if operator == IS_MINE:
        return lambda text: kind_of(text) == MINE
    if operator == IS_IMPORT:
        return is_import
    value = exact_value(operator, pattern)
    if value is not None:
        return value.__eq__
    if operator == "=":
        return _starred(pattern)
    if pattern.startswith("^"):
        if pattern.endswith("/*"):
            return _directly_in(pattern[1:-1])
        start = fold(pattern[1:])
        return lambda text: fold(text).startswith(start)
    if pattern.endswith("$"):
        end = fold(pattern[:-1])
        return lambda text: fold(text).endswith(end)
    part = fold(pattern)
    return lambda text: part in fold(text)


def _directly_in(directory: str) -> Callable[[str], bool]:
    length = len(directory)
    return lambda text: text.startswith(directory) and len(text) > length and "/" not in text[length:]


def _starred(pattern: str) -> Callable[[str], bool]:
    """Match the pieces between stars one after the other: linear, where a regular expression could explode."""
    first, *middle, last = pattern.split("*")
    least = len(pattern) - pattern.count("*")

    def matches(text: str) -> bool:
        if len(text) < least or not text.startswith(first) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for piece in middle:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return matches


def shortest_match(operator: str, pattern: str) -> int:
    r"""Return the length, in bytes as the kernel holds it, of the shortest value a pattern matches.

    Traced text shows a byte that is no UTF-8 as `\xNN`: four characters of a pattern, one byte of the kernel's.
    """
    if exact_value(operator, pattern) is not None or operator == "=":
        literal = pattern.replace("*", "") if operator == "=" else pattern[1:-1]
    elif pattern.startswith("^") and pattern.endswith("/*"):
        literal = pattern[1:]
    else:
        start, end = pattern.startswith("^"), pattern.endswith("$")
        core = pattern[1:] if start else pattern[:-1] if end else pattern
        literal = fold(core).translate(_SHORTER_IN_UPPER_CASE)
    return len(_ESCAPED_BYTE.sub("x", literal).encode("utf-8", "surrogatepass"))


def verdicts(table: StringTable, operator: str, pattern: str) -> np.ndarray:
    """Return for each code of a table whether its string matches: bool, at least as long as the table was.

    Each string is looked at once for a pattern and a table; later calls look at new strings only. The last 64 patterns
    of a table are kept, as long as the table lives. Any thread may call this; the array is shared: do not write to it.
    """
    key = (operator, pattern)
    with _lock:
        patterns = _known.setdefault(table, {})
        known = patterns.get(key, _NOTHING)
    size = len(table)
    if len(known) < size:
        known = np.concatenate([known, _judged(operator, pattern, table[len(known) : size])])
        known.flags.writeable = False
        with _lock:
            patterns[key] = known
            while len(patterns) > _PATTERNS_KEPT:
                del patterns[next(iter(patterns))]
    return known


def _judged(operator: str, pattern: str, texts: list[str]) -> np.ndarray:
    """Return which texts match. Parts, which most patterns are, are looked for in all texts at once: most have none."""
    if operator != "~" or pattern.startswith("^") or pattern.endswith("$"):
        return np.fromiter(map(matcher(operator, pattern), texts), bool, len(texts))
    part, folded = fold(pattern), fold("\0".join(texts))
    if part not in folded:
        return np.zeros(len(texts), bool)
    each = folded.split("\0")
    return np.array([part in text for text in (each if len(each) == len(texts) else map(fold, texts))], bool)
