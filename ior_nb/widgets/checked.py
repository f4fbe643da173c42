"""Checks of what a page has sent: anything may come from a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["LONGEST_NAME", "LONGEST_PATH", "host_of", "pairs", "text", "texts", "value_of", "whole"]

LONGEST_NAME: Final = 200
"""Characters of the name of a system call, a family or a metric: more than any has."""
LONGEST_PATH: Final = 4096


def whole(body: Mapping[str, Any], key: str, least: int, most: int) -> int:
    """Return a whole number, which JavaScript may have sent as 5.0.

    Raises:
        ValueError: it is missing, something else, or not from `least` to `most`.
    """
    value = body.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most and value % 1 == 0:
        return int(value)
    raise ValueError(f"{key}: expected a whole number from {least} to {most}, not {_seen(value)}")


def text(body: Mapping[str, Any], key: str, most: int) -> str:
    """Return a text, which may be empty.

    Raises:
        ValueError: it is missing, something else, or has more than `most` characters.
    """
    value = body.get(key)
    if isinstance(value, str) and len(value) <= most:
        return value
    raise ValueError(f"{key}: expected a text of at most {most} characters, not {_seen(value)}")


def texts(body: Mapping[str, Any], key: str, most: int) -> list[str]:
    """Return a list of texts, which may be empty.

    Raises:
        ValueError: it is missing, something else, or has more than `most` members.
    """
    value = body.get(key)
    if isinstance(value, list) and len(value) <= most and all(isinstance(member, str) for member in value):
        return value
    raise ValueError(f"{key}: expected a list of at most {most} texts, not {_seen(value)}")


def pairs(body: Mapping[str, Any], key: str, most: int) -> list[tuple[str, str]]:
    """Return a list of pairs of texts, which may be empty.

    Raises:
        ValueError: it is missing, something else, or has more than `most` members.
    """
    value = body.get(key)
    listed = isinstance(value, list) and len(value) <= most and all(isinstance(member, list) for member in value)
    if isinstance(value, list) and listed and all([type(part) for part in member] == [str, str] for member in value):
        return [(first, second) for first, second in value]
    raise ValueError(f"{key}: expected a list of at most {most} pairs of texts, not {_seen(value)}")


def value_of(body: Mapping[str, Any], kinds: Mapping[str, type[str] | type[int]]) -> tuple[str, Any]:
    """Return the dimension to narrow by and its value, of the type `kinds` says.

    Raises:
        ValueError: it is no dimension of `kinds`, or the value is of another type.
    """
    dimension, value = body["dimension"], body["value"]
    if not isinstance(dimension, str) or dimension not in kinds:
        raise ValueError(f"this panel cannot narrow by {dimension!r}")
    if not isinstance(value, kinds[dimension]) or isinstance(value, bool):
        kind = "a text" if kinds[dimension] is str else "a whole number"
        raise ValueError(f"{dimension} takes {kind}, not {value!r}")
    return dimension, value


def host_of(body: Mapping[str, Any]) -> str:
    """Return the host of the row that was clicked on, empty where the page names none.

    Raises:
        ValueError: it is no text, or too long for one.
    """
    return text({"host": "", **body}, "host", LONGEST_PATH)


def _seen(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.40}"
