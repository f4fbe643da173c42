"""Stream: the last rows as they come, in a table that scrolls, sorts and searches in the browser.

Rows travel in messages of their own, numbered by `part`, each with the small state, so that a refresh stays one
message. A message says in `why` what it is:

    (empty)          rows since the last part
    again            the newest rows for views that have none, the last `fresh` of them since the last part
    cut              too many came to show them all: the newest only, in place of what there was
    filter, stream   the filter is another one, or the stream began anew: all that is held, in place of what there was

A view that missed a part says hello again. When the stream is quiet `data` catches up; it names the last part.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np

from ior_nb.runtime import EventBatch, LiveRuntime, Row
from ior_nb.runtime.filter import DIMENSIONS
from ior_nb.runtime.peers import seen_files
from ior_nb.runtime.text import at_host, middle_cut, show_bytes, show_count, show_ns
from ior_nb.widgets.checked import LONGEST_PATH, host_of, text
from ior_nb.widgets.page import packed, script, still_table, style
from ior_nb.widgets.panel import Panel

__all__ = ["HELD", "MOST_ROWS", "StreamPanel"]

HELD: Final = 10_000
"""Rows a view keeps."""
MOST_ROWS: Final = 2_000
"""Rows of one refresh, more where it is late: 8,000 a second. What comes faster nobody can follow."""
_MOST_TEXT: Final = 100_000
"""Characters of one refresh."""
_AWAY_S: Final = 1.0
"""After a longer time without a refresh, nobody looked: the view gets all that is held."""
_SILENT_S: Final = 5.0
"""Views speak every two seconds. After such a silence none can be heard, and a new one may be there."""
_REPEAT_S: Final = 2.0
_STILL_ROWS: Final = 20
_TEXTS: Final = ("comm", "syscall", "family", "file", "old_file", "label")
# What a row is to the view; 8 is added where the gap means nothing, 16 to a probe.
_KINDS: Final = {"warning": 2, "in flight": 3, "no return": 4}
_NARROWING: Final = ("host", "comm", "pid", "tid", "syscall", "fd", "ret", "bytes", "file", "label", "latency", "gap")


class StreamPanel(Panel):
    """The live tail of the rows."""

    name: ClassVar[str] = "stream"
    every_s: ClassVar[float] = 0.25
    _esm = script("stream.js")
    _css = style("stream.css")

    def __init__(self, runtime: LiveRuntime, **traits: Any) -> None:
        self._part = 0
        self._pushed = -1  # rows of the stream that have been seen; -1 before the first look
        self._last = (0, 0)  # seq and time of the last row sent
        self._zero: int | None = None
        self._filter = runtime.filters.active
        self._several = False  # hosts
        self._asked = False  # somebody has no rows yet
        self._partial = False  # fewer rows were sent than are held
        self._looked = self._repeated = 0.0
        self._exported: list[Any] = [0, ""]  # how often, and where to
        self.runtime = runtime
        super().__init__(runtime, data=self._state() | {"n": 0, "error": "", "told": ""}, **traits)

    def content(self) -> dict[str, Any] | None:
        """Send the rows that came as a message of their own; return the small state when it alone changed."""
        try:
            return self._content()
        except Exception:
            self._asked, self._last = True, (0, 0)  # rows may be lost: the next look sends all of them
            raise

    def _content(self) -> dict[str, Any] | None:
        now, before, stream = time.monotonic(), self._pushed, self.runtime.stream()
        first, late = before < 0, now - self._looked
        self._looked = now
        most = min(HELD, int(MOST_ROWS * max(1.0, late / self.every_s)))
        why = self._reason(now)
        rows, self._pushed = stream.tail(-1 if why else before)
        if not first and self._pushed < before:
            why, self._zero, before = "stream", None, 0
        came = self._pushed - max(before, 0)
        limit, skipped = HELD, 0
        if not why and not came and self._partial:  # it is calm again
            why, (rows, self._pushed) = "cut", stream.tail(-1)
        elif not why and (len(rows) > most or came > HELD):
            why = "cut"
            if late > _AWAY_S:
                rows, self._pushed = stream.tail(-1)
            else:
                limit, skipped = most, came if not self._filter.active else len(rows) + max(0, came - HELD)
        elif why == "again" and not self._asked:
            limit = MOST_ROWS
        if not why and not len(rows):
            state = self._state()
            return None if state == self.shown else state
        if why != "again" or self._asked:
            self._partial = limit < HELD
        self._asked = False
        self._send_rows(rows[-limit:], why, skipped, bounded=not why or limit < HELD)
        return None

    def _reason(self, now: float) -> str:
        """Return why more than the new rows are to be sent; empty when they are enough."""
        if self.runtime.filters.active != self._filter:
            self._filter = self.runtime.filters.active
            return "filter"
        if bool(self.runtime.control.state().hosts) != self._several:
            self._several = not self._several
            return "filter"
        deaf = self.views.silent(now, _SILENT_S)
        if self._asked or self._pushed < 0 or (deaf and now - self._repeated >= _REPEAT_S):
            self._repeated = now
            return "again"
        return ""

    def _send_rows(self, rows: EventBatch, why: str, skipped: int, *, bounded: bool) -> None:
        words, texts = self._words(rows)
        while bounded and sum(map(len, words)) > _MOST_TEXT and len(rows) > 1:  # long names: fewer rows
            skipped, why, self._partial = max(skipped, len(rows)), why or "cut", True
            rows = rows[len(rows) // 2 :]
            words, texts = self._words(rows)
        if self._zero is None and len(rows):
            self._zero = self.runtime.control.state().origin_ns or int(rows["time_ns"].min())
        self._part += 1
        columns = packed(_numbers(rows, self._zero or 0) | texts | {"words": words})
        failures = rows["ret"][rows["is_error"]]  # probes as well: they have a name too
        content = {
            "kind": "rows",
            "why": why,
            "part": self._part,
            "fresh": self._fresh(rows),
            "skipped": max(0, skipped - len(rows)),
            "errors": {str(c): errno.errorcode.get(-c, "") for c in np.unique(failures).tolist()},
            "state": self._state(),
        }
        if len(rows):
            self._last = int(rows["seq"][-1]), int(rows["time_ns"][-1])
        buffers = [column.pop("b") for column in columns.values()]
        self.send(content | {"columns": columns}, buffers=buffers)

    def _fresh(self, rows: EventBatch) -> int:
        """Return how many of the rows come after the last one sent; -1 when that is not among them."""
        at = np.flatnonzero((rows["seq"] == self._last[0]) & (rows["time_ns"] == self._last[1]))
        return len(rows) - 1 - int(at[-1]) if len(at) else -1

    def _state(self) -> dict[str, Any]:
        filters, state = self.runtime.filters, self.runtime.control.state()
        return {
            "part": self._part,
            "running": state.running,
            "traced": bool(state.title),
            "filter": filters.text(filters.active),
            "exported": self._exported,
        }

    def greet(self) -> None:
        """A view was drawn, or missed a part: the next refresh has all rows."""
        self._asked = True

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`narrow`: the value of a cell; `export`: write the rows to a file of that name."""
        if what == "narrow":
            dimension, value = str(body["dimension"]), body["value"]
            if dimension not in _NARROWING:
                raise ValueError(f"rows cannot be narrowed by {dimension!r}")
            kind = str if DIMENSIONS[dimension].text else int
            if isinstance(value, bool) or not isinstance(value, kind):
                raise ValueError(f"{value!r} is no value of {dimension}")
            self.narrow_to(dimension, value, host=host_of(body))
        elif what == "export":
            path = text(body, "path", LONGEST_PATH).strip()
            if not path:
                raise ValueError("give a file name, such as rows.parquet or rows.csv")
            written = self.runtime.control.export(path)
            self._exported = [self._exported[0] + 1, str(written)]
        else:
            super().act(what, body)

    def still(self) -> str:
        """Return the last rows as a table."""
        rows, pushed = self.runtime.stream().tail(-1)
        rows = rows[-_STILL_ROWS:]
        if not len(rows):
            return ""
        caption = f"the last {len(rows)} of {show_count(pushed, 'row')}"
        head = ["latency", "comm", "pid", "syscall", "ret", "bytes", "file"]
        return still_table(head, [_still_row(row, several=self._several) for row in rows], caption)

    def _words(self, rows: EventBatch) -> tuple[list[str], dict[str, np.ndarray]]:
        """Return the different texts of the rows, and for each text column codes into them; of several hosts theirs."""
        words: list[str] = []
        codes: dict[str, np.ndarray] = {}
        for name in (*_TEXTS, "host") if self._several else _TEXTS:
            used, places = np.unique(seen_files(rows) if name == "file" else rows[name], return_inverse=True)
            codes[name] = (places + len(words)).astype(np.int32)
            table = rows.tables[name]
            words += [table[code] for code in used.tolist()]
        return words, codes


def _still_row(row: Row, *, several: bool) -> list[str]:
    if row.state == "warning":
        return ["", "", "", "warning", "", "", row.file]
    ret, latency = str(row.ret), show_ns(row.latency_ns)
    if row.is_error:
        ret += f" {errno.errorcode.get(-row.ret, '')}{' (probe)' if row.probe else ''}"
    elif row.state != "done":
        ret, latency = "", row.state
    pid = at_host(row.host if several else "", row.pid)
    return [latency, row.comm, pid, row.syscall, ret, show_bytes(row.bytes), middle_cut(row.file, 80)]


def _numbers(rows: EventBatch, zero: int) -> dict[str, np.ndarray]:
    """Return the columns of numbers; times are relative to `zero`."""
    state, kind = rows["state"], rows.failed.astype(np.int32)
    for name, number in _KINDS.items():
        code = rows.tables["state"].code(name)
        if code is not None:
            kind[state == code] = number
    kind += 8 * (rows["first_on_tid"] | (kind == 2)) + 16 * rows["probe"]
    columns = {
        "seq": rows["seq"],
        "time": rows["time_ns"].astype(np.int64) - zero,
        "gap": rows["gap_ns"],
        "latency": rows["latency_ns"],
        "pid": rows["pid"],
        "tid": rows["tid"],
        "fd": rows["fd"],
        "ret": rows["ret"],
        "bytes": rows["bytes"],
        "kind": kind,
    }
    return {name: _narrowest(values) for name, values in columns.items()}


def _narrowest(values: np.ndarray) -> np.ndarray:
    """Return whole numbers as int32 where all fit: half the bytes."""
    limits = np.iinfo(np.int32)
    fits = len(values) == 0 or (values.min() >= limits.min and values.max() <= limits.max)
    return values.astype(np.int32 if fits else np.float64)
