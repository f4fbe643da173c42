"""`%ior sql`: a query of DuckDB over the rows of the trace that runs, or of the last one, and over recordings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError

from ior_nb.result.trace import Trace
from ior_nb.runtime.text import printable_lines
from ior_nb.session.run import Run

__all__ = ["queried"]


def queried(line: str, run: Run | None, last: Any, nothing: Callable[[], UsageError]) -> Any:
    """Return the answer as a DataFrame.

    Args:
        line: the query.
        run: the trace that runs.
        last: what the shell has as the last one.
        nothing: returns the error where that is no trace.
    """
    if not line:
        raise UsageError("%ior sql SELECT ... FROM trace (or FROM 'recording.parquet')")
    try:
        import duckdb
    except ImportError:
        raise UsageError("ior: SQL needs DuckDB: pip install duckdb") from None
    from ior_nb.result.sql import Asked, answered

    asked = None
    if run is not None:
        rows = run.rows()
        run.refresh()
        asked = Asked(rows, len(rows), run.completeness())
    elif isinstance(last, Trace):
        asked = Asked.of(last)
    try:
        return answered(line, asked)
    except duckdb.Error as error:
        if asked is None and isinstance(error, duckdb.CatalogException) and "Table with name trace" in str(error):
            raise nothing() from None
        raise UsageError(printable_lines(f"ior: {str(error).splitlines()[0]}")) from None
