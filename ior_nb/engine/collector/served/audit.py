"""Who traced what, and what was refused: a line each on standard error, which systemd writes to the journal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

__all__ = ["Audit"]

_LONGEST: Final = 300
_WINDOW_S: Final = 10.0
_MOST_LINES: Final = 200


class Audit:
    """The log. Text in it may be hostile: what is not plain ASCII is escaped, and nothing is longer than it has to be.

    Args:
        to: where it goes; None for the standard error there is.
        clock: in seconds.
    """

    def __init__(self, to: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._to = to
        self._clock = clock
        self._since, self._lines, self._left_out = clock(), 0, 0

    def __call__(self, what: str, /, **about: Any) -> None:
        """Write a line; where somebody makes very many of them they are counted, and the count is written."""
        now = self._clock()
        if now - self._since >= _WINDOW_S:
            if self._left_out:
                self._write(f"{self._left_out} lines more in {_WINDOW_S:g} s")
            self._since, self._lines, self._left_out = now, 0, 0
        if self._lines >= _MOST_LINES:
            self._left_out += 1
            return
        self._lines += 1
        self._write(" ".join([what, *(f"{name}={_plain(value)}" for name, value in about.items())]))

    def of(self, **who: Any) -> Callable[..., None]:
        """Return a log of somebody's deeds."""

        def told(what: str, /, **about: Any) -> None:
            self(what, **who, **about)

        return told

    def _write(self, line: str) -> None:
        to = self._to or sys.stderr
        try:
            to.write(f"ior-nb serve: {line}\n")
            to.flush()
        except (OSError, ValueError):
            pass  # nobody reads it; users are served all the same


def _plain(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
