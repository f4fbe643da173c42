"""An Arrow IPC file, as `pandas.read_feather`, Polars and DuckDB read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ior_nb.export.about import About
from ior_nb.export.arrow import encodable, foreign_types, record_batch, schema
from ior_nb.runtime import EventBatch, progress

__all__ = ["arrowfile"]

_ROWS: Final = 1 << 20
"""Of a record batch in it."""


def arrowfile(batch: EventBatch, about: About) -> Iterator[bytes]:
    """Yield the file, every column of the schema in it; its metadata is that of a recording."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    metadata = {name: encodable(text) for name, text in about.pairs().items()}
    foreign = foreign_types([batch]) if about.foreign is None else about.foreign
    wanted = schema(foreign).with_metadata(metadata)
    with pa.ipc.new_file(sink, wanted) as file:
        rows = record_batch(batch, wanted=wanted)
        for at in progress.over(range(0, max(len(batch), 1), _ROWS), lambda at: min(_ROWS, len(batch) - at)):
            file.write_batch(rows.slice(at, _ROWS))
    yield sink.getvalue().to_pybytes()
