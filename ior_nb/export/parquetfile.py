"""A Parquet file as a recording is one: the same columns and encodings, and what the trace says of itself."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Final

from ior_nb.export.about import About
from ior_nb.export.arrow import columns, foreign_types, schema
from ior_nb.real import Descriptor
from ior_nb.runtime.rows import Rows, grouped, read
from ior_nb.sinks.parquet import Chain, link

__all__ = ["parquetfile"]

_GROUP: Final = 131_072
"""Rows of a row group."""
_PIECE: Final = 1 << 20


def parquetfile(rows: Rows, about: About) -> Iterator[bytes]:
    """Yield the file in pieces; `ior_nb.load` makes it a trace again."""
    pairs = {
        k.encode(errors="backslashreplace"): v.encode(errors="backslashreplace") for k, v in about.metadata.items()
    }
    wanted = schema(foreign_types(read(rows)) if about.foreign is None else about.foreign)
    host = about.metadata.get("ior_nb.hostname", "")
    none = link(columns([], wanted=wanted), pairs)
    with tempfile.TemporaryFile() as file:
        ours = Descriptor(os.dup(file.fileno()))
        chain = Chain(ours, none)
        for batch in grouped(read(rows), _GROUP):
            chain.append(link(columns([batch], host=host, wanted=wanted)))
        chain.finish(none)
        ours.close()
        while piece := file.read(_PIECE):
            yield piece
