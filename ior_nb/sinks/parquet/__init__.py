"""Recordings: Parquet files that are written while tracing, and can be read even after a crash."""

from ior_nb.sinks.parquet.chain import Chain
from ior_nb.sinks.parquet.files import find
from ior_nb.sinks.parquet.reader import read, read_chain
from ior_nb.sinks.parquet.recorder import Recorder
from ior_nb.sinks.parquet.rowgroup import link
from ior_nb.sinks.parquet.scan import Recording, RowGroup, footer
from ior_nb.sinks.parquet.twins import told_apart

__all__ = ["Chain", "Recorder", "Recording", "RowGroup", "find", "footer", "link", "read", "read_chain", "told_apart"]
