"""SQL over the rows of a trace: DuckDB reads recordings itself, and is given what is in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ior_nb.export.arrow import table
from ior_nb.result.load import lacking_of
from ior_nb.result.stored import Stored, at_once, foreign_types
from ior_nb.result.trace import Trace
from ior_nb.runtime import Completeness, EventBatch
from ior_nb.runtime.rows import Rows
from ior_nb.runtime.schema import NAMES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Asked", "answered", "query_of"]

_RECORDING: Final = re.compile(r"'((?:[^']|'')*\.parquet)'", re.IGNORECASE)
_TRACE: Final = re.compile(r"\btrace\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """What `trace` stands for in a query."""

    rows: Rows
    count: int
    """How many rows."""
    lacking: Completeness
    """What they lack."""

    @classmethod
    def of(cls, trace: Trace) -> Asked:
        """Return the rows of a trace."""
        return cls(trace.rows, len(trace), trace.completeness)


def answered(line: str, trace: Asked | None = None) -> pd.DataFrame:
    """Return the answer of DuckDB to a query, with what the rows lack that it asks for.

    Args:
        line: the query; it may ask for `trace`, and for recordings by their paths.
        trace: what `trace` is.

    Raises:
        ConfigError: the rows are only to be had in memory, and would not fit.
        duckdb.Error: the query is wrong.
    """
    import duckdb

    from ior_nb.export.frame import told

    lacking = [found for path in _RECORDING.findall(line) if (found := lacking_of(path.replace("''", "'")))]
    with duckdb.connect(config={"python_enable_replacements": "false"}) as connection:
        if trace is not None and _TRACE.search(line):
            lacking.insert(0, trace.lacking)
            if (query := query_of(trace.rows)) is not None:
                connection.execute(f"CREATE TEMP VIEW trace AS {query}")
            else:
                whole = trace.rows if isinstance(trace.rows, EventBatch) else at_once(trace.rows, trace.count)
                connection.register("trace", table([whole], None, foreign_types(trace.rows)))
        return told(connection.sql(line).df(), *lacking)


def query_of(rows: Rows) -> str | None:
    """Return the query that has the rows of recordings as a trace has them; None where files alone do not say it."""
    if not isinstance(rows, Stored) or rows.known_rows() is None:
        return None
    parts, before = [], 0
    for number, recording in enumerate(rows.recordings):
        if recording.unfinished or not set(NAMES).issubset(recording.columns):
            return None
        path = str(recording.path.expanduser()).replace("'", "''")
        changed = [f"{rows.axis.sql(number)} AS time_ns"] if rows.axis.moves else []
        if len(rows.recordings) > 1:
            changed.append(f"CAST(file_row_number + {before + 1} AS UBIGINT) AS seq")
        if recording.host:
            own, host = (name.replace("'", "''") for name in (recording.own_host, recording.host))
            changed.append(f"CASE WHEN host IN ('', '{own}') THEN '{host}' ELSE host END AS host")
        replaced = f" REPLACE ({', '.join(changed)})" if changed else ""
        source = f"read_parquet(['{path}'], file_row_number = true)"
        left_out = ["file_row_number", *(_quoted(name) for name in sorted(rows.apart.get(number, ())))]
        parts.append(f"SELECT * EXCLUDE ({', '.join(left_out)}){replaced} FROM {source}")
        before += recording.rows
    return " UNION ALL BY NAME ".join(parts)


def _quoted(name: str) -> str:
    """Return the name of a column as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
