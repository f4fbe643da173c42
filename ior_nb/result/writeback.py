"""What became of bytes written: made dirty by whom and when, written when, still to be written, or never."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ior_nb.engine.pages import in_cache
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.text import show_bytes

__all__ = ["COLUMNS", "HEAD", "left_over", "most", "rows"]

_BYTES: Final = ("dirtied_bytes", "written_bytes", "written_in_calls", "pending_bytes", "never_bytes")

HEAD: Final = ("made dirty", "written", "still to be", "never", "file")
_MOST: Final = 8
_TIMES: Final = ("first_dirtied_s", "last_dirtied_s", "last_written_s")
COLUMNS: Final[Mapping[str, Any]] = {
    "file": object,
    **dict.fromkeys(_BYTES, np.int64),
    "dirtied_by": object,
    "cell": object,
    **dict.fromkeys(_TIMES, np.float64),
    "cached_now_bytes": np.int64,
}


def left_over(pages: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """Return a note of the bytes written that were on no device when the trace ended; none where all were."""
    pending, never = (sum(row.get(name, 0) for row in pages.values()) for name in ("pending_bytes", "never_bytes"))
    parts = [
        f"{show_bytes(pending)} still to be written" if pending else "",
        f"{show_bytes(never)} of deleted files never written" if never else "",
    ]
    left = ", ".join(filter(None, parts))
    return (f"when the trace ended: {left}",) if left else ()


def most(pages: Mapping[str, Mapping[str, int]]) -> tuple[tuple[str, ...], ...]:
    """Return the files with most bytes made dirty, as cells under `HEAD`; the text is raw."""
    names = ("dirtied_bytes", "written_bytes", "pending_bytes", "never_bytes")
    ranked = sorted(pages.items(), key=lambda item: (-item[1].get("dirtied_bytes", 0), item[0]))
    dirty = [(path, row) for path, row in ranked[:_MOST] if row.get("dirtied_bytes")]
    return tuple((*(show_bytes(row.get(name, 0)) for name in names), path) for path, row in dirty)


def rows(pages: Mapping[str, Mapping[str, int]], events: Rows, *, start_ns: int, here: bool) -> list[dict[str, Any]]:
    """Return a row for each file that was made dirty, most bytes first.

    Args:
        pages: `Trace.pages`.
        events: the rows, which know the names of threads.
        start_ns: what times count from, on the boot clock.
        here: whether the files are of this machine: then the kernel is asked what of them is in the page cache now.
    """
    names = _names(events) if pages else {}
    found = []
    for path, counts in pages.items():
        if not counts.get("dirtied_bytes"):
            continue
        tid = counts.get("tid", 0)
        others = " and others" if counts.get("others") else ""
        first, last = counts.get("first_cell", -1), counts.get("last_cell", -1)
        now = in_cache(path) if here else None
        found.append(
            {
                "file": path,
                **{name: counts.get(name, 0) for name in _BYTES},
                "dirtied_by": f"{names.get(tid, '')} {tid}{others}".strip(),
                "cell": "" if first < 0 else f"{first}" if first == last else f"{first} to {last}",
                **{name: _since(start_ns, counts.get(f"{name[:-2]}_ns", 0)) for name in _TIMES},
                "cached_now_bytes": -1 if now is None else now[0],
            }
        )
    return sorted(found, key=lambda row: (-row["dirtied_bytes"], row["file"]))


def _since(start_ns: int, time_ns: int) -> float:
    return (time_ns - start_ns) / 1e9 if time_ns else float("nan")


def _names(events: Rows) -> dict[int, str]:
    found: dict[int, str] = {}
    for batch in read(events, "tid", "comm"):
        tids, at = np.unique(batch["tid"][::-1], return_index=True)
        found |= zip(tids.tolist(), batch.tables["comm"].at(batch["comm"][::-1][at]), strict=True)
    return found
