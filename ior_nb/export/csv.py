"""CSV: the 22 columns of ior's stream export and `probe`, quoted by RFC 4180."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ior_nb.export.about import About
from ior_nb.export.joined import decimal, joined, spelled
from ior_nb.runtime import EventBatch
from ior_nb.runtime.schema import TEXT_COLUMNS

__all__ = ["HEADER", "csv"]

HEADER: Final = tuple(
    "seq time_ns gap_ns latency_ns comm pid tid syscall fd ret bytes file error family requested_sleep_ns nfds "
    "timeout_ns address_space_bytes old_file epoll_op epoll_target_fd epoll_events "
    "probe".split()
)
"""Only ever appended to."""
_COLUMN: Final = {"error": "is_error"}
_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]|^\s|^\\\.$')  # as Go's encoding/csv has it; `\.` ends a COPY of PostgreSQL
_ROWS: Final = 65_536


def csv(batch: EventBatch, about: About) -> Iterator[bytes]:
    """Yield a header row and one row per event; text as traced, numbers in decimal, `error` true or false."""
    yield (",".join(HEADER) + "\n").encode()
    for at in range(0, len(batch), _ROWS):
        part = batch[at : at + _ROWS]
        cells: list[Any] = []
        for heading in HEADER:
            name = _COLUMN.get(heading, heading)
            cells += [spelled(part, name, _quoted) if name in TEXT_COLUMNS else decimal(part[name]), ","]
        yield joined([*cells[:-1], "\n"])


def _quoted(text: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if _NEEDS_QUOTES.search(text) else text
