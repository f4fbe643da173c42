"""Recordings: Parquet files that are written while tracing, and can be read even after a crash."""

from ior_nb.parquet.reader import read, read_chain
from ior_nb.parquet.recorder import Recorder, RecorderStatus

__all__ = ["Recorder", "RecorderStatus", "read", "read_chain"]
