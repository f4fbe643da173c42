"""Which orders of frames a view offers. What a frame, and its width, can be says `runtime.frames`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ior_nb.errors import ConfigError
from ior_nb.runtime.frames import ALIASES, FIELDS, METRICS, Field, Metric, open_flags

__all__ = ["FIELDS", "METRICS", "PRESETS", "Field", "Metric", "checked_fields", "checked_metric", "open_flags"]

PRESETS: Final[tuple[tuple[str, ...], ...]] = (
    ("comm", "syscall", "path"),
    ("path", "syscall", "comm"),
    ("syscall", "comm", "path"),
    ("pid", "syscall", "path"),
    ("comm", "path", "syscall"),
    ("python", "syscall", "path"),
)
"""The orders a view offers."""


def checked_fields(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the names of fields, or of one comma-separated text, trimmed and without aliases.

    Raises:
        ConfigError: there is none, one is unknown, or one is there twice.
    """
    given: Any = fields.split(",") if isinstance(fields, str) else fields
    if not isinstance(given, Sequence) or not all(isinstance(word, str) for word in given):
        raise ConfigError(f"flame graph fields are names, not {fields!r:.80}; choose from {', '.join(FIELDS)}")
    words = [word.strip() for word in given]
    names = tuple(ALIASES.get(word, word) for word in words)
    if not names:
        raise ConfigError(f"a flame graph of no fields shows nothing; choose from {', '.join(FIELDS)}")
    for name in names:
        if name not in FIELDS:
            raise ConfigError(f"unknown flame graph field {name!r}; choose from {', '.join(FIELDS)}")
        if names.count(name) > 1:
            raise ConfigError(f"flame graph field {name!r} is given twice in {', '.join(words)}; once is enough")
    return names


def checked_metric(name: str, *, optional: bool = False) -> str:
    """Return the name of a metric, trimmed; empty is fine where it is optional.

    Raises:
        ConfigError: there is no such metric.
    """
    if not isinstance(name, str):
        raise ConfigError(f"a flame graph metric is a name, not {name!r:.80}; choose from {', '.join(METRICS)}")
    name = ALIASES.get(name.strip(), name.strip())
    if name not in METRICS and (name or not optional):
        hint = ", or nothing" if optional else ""
        raise ConfigError(f"unknown flame graph metric {name!r}; choose from {', '.join(METRICS)}{hint}")
    return name
