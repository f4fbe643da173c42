"""CSV: the 22 columns of ior's stream export, and some of ours, quoted by RFC 4180.

A spreadsheet runs what begins like a formula, a terminal what begins with ESC; traced names are written so that neither
does. Where rows are missing a last column says so, in the first row: the format has no other room for it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ior_nb.export.about import About
from ior_nb.export.arrow import foreign_column, foreign_types
from ior_nb.export.joined import decimal, joined, optional, spelled
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import MOST_STRINGS, is_one_value
from ior_nb.runtime.rows import Rows, grouped, read
from ior_nb.runtime.schema import TEXT_COLUMNS
from ior_nb.runtime.text import printable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["HEADER", "csv"]

HEADER: Final = tuple(
    "seq time_ns gap_ns latency_ns comm pid tid syscall fd ret bytes file error family requested_sleep_ns nfds "
    "timeout_ns address_space_bytes old_file epoll_op epoll_target_fd epoll_events "
    "probe py_file py_line py_func stack "
    "fetched_bytes source on_cpu_ns wait_cpu_ns wait_device_ns wait_lock_ns wait_other_ns "
    "opened_at peer local object label host".split()
)
"""Only ever appended to."""
_COLUMN: Final = {"error": "is_error"}
_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]|^\s|^\\\.$')  # as Go's encoding/csv has it; `\.` ends a COPY of PostgreSQL
_FORMULA: Final = frozenset("=+-@")
_ROWS: Final = 65_536


def csv(rows: Rows, about: About, *, raw: bool = False) -> Iterator[bytes]:
    """Yield a header row and one row per event; numbers in decimal, `error` true or false.

    Columns that are not ours stand behind the others.

    Args:
        rows: the rows.
        about: what they lack. Where that is anything, the column `completeness` is there, filled in the first row.
        raw: write text as traced: without escapes for control characters, and without an apostrophe in front of what a
            spreadsheet takes for a formula.
    """
    spelling = functools.lru_cache(MOST_STRINGS)(_quoted if raw else _harmless)
    told = about.told
    foreign = foreign_types(read(rows)) if about.foreign is None else about.foreign
    heads = [*HEADER, *map(spelling, foreign), *(["completeness"] if told else [])]
    yield (",".join(heads) + "\n").encode()
    begun = False
    columns = [_COLUMN.get(heading, heading) for heading in HEADER]
    for part in grouped(read(rows, *columns, *foreign), _ROWS):
        cells: list[Any] = []
        for name in columns:
            # A column that is one value has it as a string that stands in every row.
            one = len(part) > 1 and is_one_value(part[name])
            rows = part[:1] if one else part
            column = spelled(rows, name, spelling) if name in TEXT_COLUMNS else decimal(rows[name])
            cells.append(column[0].as_py() if one else column)
        cells += [_foreign(part, name, kind, spelling) for name, kind in foreign.items()]
        if told:
            cells.append(optional(np.arange(len(part)) == (-1 if begun else 0), _harmless(told)))
        begun = True
        yield joined(cells, between=",", end="\n")
    if told and not begun:
        yield f"{',' * (len(heads) - 1)}{_harmless(told)}\n".encode()


def _foreign(batch: EventBatch, name: str, kind: pa.DataType, spelling: Callable[[str], str]) -> pa.Array:
    """Return a column that is not ours as text; nothing where it is null."""
    import pyarrow as pa

    bytes_of_any = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    values = foreign_column(batch, name, kind)
    if pa.types.is_nested(kind):
        values = pa.array([None if v is None else str(v) for v in values.to_pylist()], pa.string())
    elif any(is_kind(kind) for is_kind in bytes_of_any):
        spelled_out = [None if v is None else v.decode(errors="backslashreplace") for v in values.to_pylist()]
        values = pa.array(spelled_out, pa.string())
    coded = values.cast(pa.string()).dictionary_encode()
    texts = [spelling(text) for text in coded.dictionary.to_pylist()]
    return pa.array(texts, pa.large_string()).take(coded.indices).fill_null("")


def _harmless(text: str) -> str:
    shown = printable(text)
    return _quoted(f"'{shown}" if shown[:1] in _FORMULA else shown)


def _quoted(text: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if _NEEDS_QUOTES.search(text) else text
