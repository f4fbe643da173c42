"""Numbers with units, and text in quotes: how values look in filter text."""

from __future__ import annotations

import re
from numbers import Real
from typing import Final

from ior_nb.errors import ConfigError
from ior_nb.runtime.filter import DIMENSIONS, Dimension

__all__ = ["UNITS", "WORDS", "dimension_called", "quoted", "seconds", "shown_number", "whole_number"]

WORDS: Final = {**DIMENSIONS, **{alias: d for d in DIMENSIONS.values() for alias in d.aliases}}
"""What a dimension may be called. Capitals make no difference."""
_BY_WORD: Final = {word.lower(): dimension for word, dimension in WORDS.items()}

UNITS: Final[dict[str, dict[str, int]]] = {
    "ns": {
        "ns": 1,
        "us": 1_000,
        "ms": 1_000_000,
        "s": 1_000_000_000,
        "m": 60_000_000_000,
        "h": 3_600_000_000_000,
    },
    "bytes": {
        "B": 1,
        "KiB": 1 << 10,
        "MiB": 1 << 20,
        "GiB": 1 << 30,
        "TiB": 1 << 40,
        "KB": 1_000,
        "MB": 1_000_000,
        "GB": 1_000_000_000,
        "TB": 1_000_000_000_000,
    },
    "": {},
}
"""For each unit of a dimension the units of a typed number, and how many of the former they are."""

_BY_LOWER: Final = {unit: {u.lower(): n for u, n in units.items()} for unit, units in UNITS.items()}
_SHOWN: Final = {"ns": ("s", "ms", "us", "ns"), "bytes": ("TiB", "GiB", "MiB", "KiB"), "": ()}
_PIECE: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?([^0-9.]*)")
_MICRO: Final = str.maketrans("µμ", "uu")
_LIMIT: Final = 1 << 63
_BARE: Final = re.compile(r"""(?!')[^\s()"=!<>~]+""")
_KEYWORDS: Final = frozenset({"and", "or", "not"})
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def dimension_called(word: str) -> Dimension | None:
    """Return the dimension of that name, None when there is none."""
    return _BY_WORD.get(word.lower())


def whole_number(text: str, unit: str) -> int:
    """Return the value of a number as people type it: `10`, `-1`, `1.5ms`, `1m30s`, `64KiB`.

    Args:
        text: the number.
        unit: `ns`, `bytes` or empty, the unit of the result; a number without a unit is in it.

    Raises:
        LookupError: (message, position in `text`).
    """
    units = _BY_LOWER[unit]
    sign = -1 if text.startswith("-") else 1
    at = 1 if sign < 0 else 0
    total, pieces = 0, 0
    while at < len(text) or not pieces:
        match = _PIECE.match(text, at)
        if match is None:
            example = {"ns": "10ms", "bytes": "64KiB", "": "3"}[unit]
            raise LookupError(f"expected a number such as {example}, found {text[at:]!r}", at)
        whole, fraction, suffix = match[1], match[2] or "", match[3]
        alone = pieces == 0 and match.end() == len(text)
        factor = units.get(suffix.translate(_MICRO).lower()) if suffix else 1 if alone else None
        if factor is None:
            where = match.start(3)
            if not units:
                raise LookupError(f"a plain number is expected, found {suffix!r} behind it", where)
            found = f"unknown unit {suffix!r}" if suffix else "a unit is missing here"
            raise LookupError(f"{found}; there are {' '.join(UNITS[unit])}", where)
        if len(whole) + len(fraction) > 40:
            raise LookupError("the number has too many digits", at)
        amount, rest = divmod(int(whole + fraction) * factor, 10 ** len(fraction))
        if rest:
            smallest = {"ns": "nanoseconds", "bytes": "bytes", "": "ones"}[unit]
            raise LookupError(f"{match[0]} is not a whole number of {smallest}", at)
        total += amount
        pieces += 1
        at = match.end()
    total *= sign
    if not -_LIMIT <= total < _LIMIT:
        raise LookupError("the number does not fit into 64 bits with sign", 0)
    return total


def seconds(given: object, name: str) -> float:
    """Return a length of time: a number is in seconds, a text has its unit, as in `1ms`, `0.5s` or `1m30s`.

    Args:
        given: what the user gave.
        name: of the argument, for the message.

    Raises:
        ConfigError: it is neither; the message is one line.
    """
    if isinstance(given, str):
        text = given.strip()
        try:
            value = whole_number(text, "ns")
        except LookupError as error:
            raise ConfigError(f"{name}={given!r}: {error.args[0]}") from None
        if text.lstrip("-").replace(".", "", 1).isdigit():
            raise ConfigError(f"{name}={given!r}: a unit is missing; there are {' '.join(UNITS['ns'])}")
        return value / 1e9
    if isinstance(given, Real) and not isinstance(given, bool):
        return float(given)
    raise ConfigError(f"{name} is seconds, or a text such as '1ms', not {given!r:.80} ({type(given).__name__})")


def shown_number(value: int, unit: str) -> str:
    """Return the shortest form without a fraction: 1500000 ns are `1500us`, 65536 bytes are `64KiB`."""
    if value:
        for suffix in _SHOWN[unit]:
            factor = UNITS[unit][suffix]
            if value % factor == 0:
                return f"{value // factor}{suffix}"
    return str(value)


def quoted(text: str) -> str:
    """Return a text value as it stands in a filter: as it is where nothing can be mistaken, else in double quotes."""
    if _BARE.fullmatch(text) and text.isprintable() and text.lower() not in _KEYWORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
