"""An Arrow IPC file, as `pandas.read_feather`, Polars and DuckDB read it."""

from __future__ import annotations

from collections.abc import Iterator

from ior_nb.export.about import About
from ior_nb.export.arrow import encodable, foreign_types, record_batch, schema
from ior_nb.runtime import EventBatch

__all__ = ["arrowfile"]


def arrowfile(batch: EventBatch, about: About) -> Iterator[bytes]:
    """Yield the file, every column of the schema in it; its metadata is that of a recording."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    metadata = {name: encodable(text) for name, text in about.pairs().items()}
    wanted = schema(foreign_types([batch])).with_metadata(metadata)
    with pa.ipc.new_file(sink, wanted) as file:
        file.write_batch(record_batch(batch, wanted=wanted))
    yield sink.getvalue().to_pybytes()
