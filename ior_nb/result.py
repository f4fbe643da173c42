"""`Trace`: what one traced cell, command or stretch of time did."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ior_nb.errors import ConfigError
from ior_nb.runtime import Accounting, EventBatch
from ior_nb.summary import Summary, Tally
from ior_nb.version import VERSION

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Trace"]


class Trace:
    """A trace. `trace()` hands it out at once; its results are there when the trace has ended.

    Attributes:
        title: what was traced, for headings.
        scope: whose calls were traced, in words.
        engine: name of the engine.
        started_at: wall clock at the start, seconds since the epoch.
        window: (t0, t1) on the boot clock, ns; rows started inside.
        accounting: where every call went.
        counters: exact counters by syscall name: {"calls", "errors", "bytes", "latency_ns"}; exact under sampling and
            loss, and of everything between attach and detach.
        returncode: exit status of a traced command (128 + n for signal n); None without a command.
        recording: where the recording was published; None without one.
    """

    def __init__(self, *, title: str, scope: str, engine: str, options: Mapping[str, str] | None = None) -> None:
        self.title = title
        self.scope = scope
        self.engine = engine
        self.options = dict(options or {})
        self.started_at = time.time()
        self.window = (0, 0)
        self.accounting = Accounting()
        self.counters: dict[str, dict[str, int]] = {}
        self.returncode: int | None = None
        self.recording: Path | None = None
        self.notes: tuple[str, ...] = ()
        self.finished = False
        self._tally = Tally()
        self._batches: list[EventBatch] = []
        self._rows_kept = True

    # ---- filled by the session

    def add(self, batch: EventBatch, *, keep: bool = True) -> None:
        """Take in rows of the window."""
        self._tally.add(batch)
        if keep:
            self._batches.append(batch)
        else:
            self._rows_kept = False

    def finish(self, *, window: tuple[int, int], accounting: Accounting, counters: dict[str, dict[str, int]]) -> None:
        """Close the books."""
        self.window = window
        self.accounting = accounting
        self.counters = counters
        self.finished = True

    # ---- read by the user

    @property
    def duration_s(self) -> float:
        """Length of the window."""
        return (self.window[1] - self.window[0]) / 1e9

    @property
    def batch(self) -> EventBatch:
        """All rows as one `EventBatch`.

        Raises:
            ConfigError: the trace is still running, or its rows were not kept.
        """
        if not self.finished:
            raise ConfigError("the trace is still running; its rows are there after the `with` block")
        if not self._rows_kept:
            raise ConfigError("the rows of this trace were not kept in memory; read its recording")
        if len(self._batches) != 1:
            self._batches = [EventBatch.concat(self._batches)]
        return self._batches[0]

    def __len__(self) -> int:
        return sum(len(b) for b in self._batches)

    def df(self) -> pd.DataFrame:
        """Return the rows as a DataFrame; text columns are categories."""
        from ior_nb.export.pandas import dataframe

        return dataframe(self.batch)

    def table(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        from ior_nb.export.arrow import table

        return table([self.batch])

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table().__arrow_c_stream__(requested_schema)

    def to_parquet(self, path: str | Path) -> Path:
        """Write the rows to a Parquet file, replacing it if it is there; return its path.

        Raises:
            RecordingError: it cannot be written.
        """
        from ior_nb.export.arrow import record_batch
        from ior_nb.parquet import Recorder

        recorder = Recorder(to_arrow=record_batch)
        recorder.start(path, metadata=self.metadata(), block=True)
        batch = self.batch
        for at in range(0, len(batch), 131_072):
            recorder.record(batch[at : at + 131_072])
        published = recorder.stop()
        if published is None:
            raise ConfigError(f"nothing was written to {path}")
        return published

    def metadata(self) -> dict[str, str]:
        """Return what the footer of a recording says about the trace."""
        import json

        pairs = {
            "ior_nb.version": VERSION,
            "ior_nb.hostname": platform.node(),
            "ior_nb.kernel": platform.release(),
            "ior_nb.engine": self.engine,
            "ior_nb.scope": self.scope,
            "ior_nb.started_at_unix_nano": str(int(self.started_at * 1e9)),
            "ior_nb.started_at_boot_nano": str(self.window[0]),
            "ior_nb.options": json.dumps(self.options),
        }
        if self.finished:
            pairs["ior_nb.accounting"] = json.dumps(self.accounting.as_dict())
        return pairs

    def summary(self) -> Summary:
        """Return totals, top files, top calls, slowest calls, errors, and the completeness line."""
        notes = self.notes
        if self.recording is not None:
            notes += (f"recorded to {self.recording}",)
        if not self.finished:
            notes += ("still running",)
        return self._tally.summary(
            title=self.title, duration_s=self.duration_s, accounting=self.accounting, notes=notes
        )

    def __repr__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        summary = self.summary()
        return {"text/plain": summary.text(), "text/html": summary.html()}


def counters_by_name(counters: np.ndarray, names: Mapping[int, str]) -> dict[str, dict[str, int]]:
    """Return the kernel's counters of every syscall that was called."""
    return {
        names[number]: {
            "calls": int(counters["calls"][number]),
            "errors": int(counters["errors"][number]),
            "bytes": int(counters["bytes"][number]),
            "latency_ns": int(counters["latency"][number]),
        }
        for number in np.flatnonzero(counters["calls"]).tolist()
        if number in names
    }
