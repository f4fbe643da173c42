"""One refresh of every panel at its full size: time in the kernel's process, and bytes on the wire."""

from __future__ import annotations

import statistics
import time
from typing import Any

import comm
import numpy as np

from ior_nb.widgets import PANELS, make_panel
from ior_nb.widgets.bar import Bar
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.ticker import ticker
from tests.bench.report import Row, log
from tests.widgets.fake import FakeRuntime, RecordedComm

TITLE = "dashboard: one refresh at 10,000 rows, 2,000 frames, 400 probes"
MILLISECONDS, KILOBYTES = 30.0, 200.0


def measure(quick: bool) -> list[Row]:
    """Refresh each panel after 250 new rows; the first refresh and the resets are not counted."""
    comm.create_comm = RecordedComm
    ticker.add = lambda panel: None  # type: ignore[method-assign]
    runtime = FakeRuntime()
    log("10,000 rows")
    for part in range(10):
        runtime.feed(runtime.calls(1_000, files=600, seed=part))
    columns = runtime.flame.snapshot_columns  # a frame of less than a thousandth is left out: here none is
    runtime.flame.snapshot_columns = lambda *_, **asked: columns(0.0, **asked)  # type: ignore[method-assign]
    rounds = 5 if quick else 20
    panels = {"bar": Bar(runtime)} | {name: make_panel(name, runtime) for name in PANELS}
    for panel in panels.values():
        panel.comm.push({"kind": "hello", "view": "v", "visible": True})
        panel.refresh(0.0, force=True)
    milliseconds: dict[str, list[float]] = {name: [] for name in panels}
    kilobytes: dict[str, list[float]] = {name: [] for name in panels}
    for number in range(rounds):
        runtime.feed(runtime.calls(250, files=600, seed=100 + number))
        for name, panel in panels.items():
            RecordedComm.log.clear()
            begin = time.perf_counter()
            panel.refresh(1000.0 + number, force=True)
            milliseconds[name].append(1e3 * (time.perf_counter() - begin))
            kilobytes[name].append(_size() / 1e3)
    ticker._panels = list(panels.values())
    together = []
    for number in range(rounds):
        runtime.feed(runtime.calls(250, files=600, seed=200 + number))
        begin = time.perf_counter()
        ticker.tick(time.monotonic(), force=runtime)
        together.append(1e3 * (time.perf_counter() - begin))
    frames = len(unpacked(panels["flame"].data["columns"]["ids"]))
    rows = [Row(what="frames sent by flame", measured=f"{frames:,}")]
    for name in panels:
        took, sent = statistics.median(milliseconds[name]), statistics.median(kilobytes[name])
        rows.append(Row(what=f"{name}", measured=f"{took:.2f} ms, {sent:.1f} kB"))
    total_kb = sum(statistics.median(values) for values in kilobytes.values())
    close(panels)
    return [
        *rows,
        Row.judged("all panels in one tick, in the kernel", statistics.median(together), MILLISECONDS, "ms"),
        Row.judged("all panels in one tick, on the wire", total_kb, KILOBYTES, "kB", digits=1),
    ]


def unpacked(column: dict[str, Any]) -> np.ndarray:
    """Return the numbers of a packed column."""
    return np.frombuffer(column["b"], column["t"])


def close(panels: dict[str, Panel]) -> None:
    """Close them."""
    for panel in panels.values():
        panel.close()


def _size() -> int:
    import json

    def text(value: Any) -> str:
        return "" if isinstance(value, bytes | memoryview | np.ndarray) else str(value)

    return sum(len(json.dumps(data, default=text)) + sum(map(len, buffers)) for _, data, buffers in RecordedComm.log)
