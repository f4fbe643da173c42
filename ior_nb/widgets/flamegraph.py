"""Flame: the live flame trie as an icicle, with zoom, search and filter from a frame.

The kernel sends the frames that can be seen, the page draws them: which part a view is zoomed to is its own business,
and shown at once. It tells the kernel, which then sends more of what is below.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import traitlets

from ior_nb.errors import ConfigError
from ior_nb.runtime import FlameColumns, FlameSource, Frame, LiveRuntime, own
from ior_nb.runtime.filter import Node, Number, Or, Text, node_of_value
from ior_nb.runtime.shown import FOLDED
from ior_nb.runtime.text import escaped_html, middle_cut, printable, show_bytes, show_count, show_ns
from ior_nb.widgets.checked import LONGEST_NAME, pairs, text, texts
from ior_nb.widgets.page import packed, script, style
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.plotlyjs import bundle_name
from ior_nb.widgets.ticker import ticker

__all__ = ["FlamePanel", "terms_of_frames"]

_MOST: Final = 2000
"""Frames sent at most; the page draws some 400 of them."""
_DEEPEST: Final = 5000


class FlamePanel(Panel):
    """Where calls, time or bytes went."""

    name = "flame"
    every_s = 1.0
    _esm = script("flamegraph.js")
    _css = style("flamegraph.css")
    plotly = traitlets.Unicode("").tag(sync=True)

    def __init__(self, runtime: LiveRuntime) -> None:
        self._focus: dict[str, tuple[Frame, ...]] = {}  # view -> the frames down to the one it is zoomed to
        self._key: Any = None
        self._columns: FlameColumns | None = None
        self._source: FlameSource | None = None
        self._since = 0.0
        self._families: dict[str, str] = {}
        self._families_of: Any = None
        super().__init__(runtime, plotly=bundle_name())
        self.on_msg(self._zoomed)

    def content(self) -> dict[str, Any] | None:
        """Return what is configured, and the frames as columns; None while the trie's version stays."""
        trie = self.runtime.trie()
        if trie is None:
            key, self._key = self._key, "empty"
            return None if key == "empty" else {"empty": True}
        focuses = list(dict.fromkeys([(), *(self._focus[v] for v in list(self._focus) if v in self.views)]))[-4:]
        running, filtered = self.runtime.control.state().running, self.runtime.filters.active.active
        key = (trie, trie.version, focuses, running, filtered)
        if key == self._key:
            return None
        columns = _merged([trie.snapshot_columns(limit=_MOST, focus=focus) for focus in focuses])
        if trie is not self._source:
            self._since, self._columns = 0.0, None
        elif self._columns is not None and columns.totals[0] < self._columns.totals[0]:
            self._since = time.time()  # somebody has reset it, or changed the filter
        choices = trie.choices()
        sent: dict[str, np.ndarray] = {
            "ids": columns.ids,
            "parents": _rows_of(columns.ids, columns.parents),
            "labels": columns.labels,
            "fields": columns.fields,
            "totals": columns.totals,
        }
        if trie.height_field:
            sent["heights"] = columns.heights
        families = self._known_families() if "syscall" in trie.fields else {}
        shown = {
            "empty": False,
            "running": running,
            "filtered": filtered,
            "since": self._since if running else 0,
            "fields": list(trie.fields),
            "width": trie.count_field,
            "colour": trie.height_field,
            "choices": {
                "fields": dict(choices.fields),
                "metrics": dict(choices.metrics),
                "presets": [list(preset) for preset in choices.presets],
            },
            "families": {name: families[name] for name in _names_of("syscall", trie, columns) if name in families},
            "columns": packed(sent),
        }
        self._key, self._columns, self._source = key, columns, trie
        return shown

    def _known_families(self) -> Mapping[str, str]:
        """Return the family of each system call."""
        probes = self.runtime.probes()
        if probes is None or probes is not self._families_of:
            pairs: list[tuple[str, str]] = [] if probes is None else [(s.syscall, s.family) for s in probes.states()]
            if probes is None:
                with contextlib.suppress(Exception):  # the panels of the statistics say what is wrong with them
                    snapshot = self.snapshot()
                    pairs = [] if snapshot is None else [(row.name, row.family) for row in snapshot.syscalls]
            self._families = dict(pairs)
            self._families_of = probes
        return self._families

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`fields`, `width` and `colour` configure the trie, `reset` empties it, `narrow` filters from a frame."""
        trie = self.runtime.trie()
        if trie is None:
            raise ConfigError("nothing has been traced yet")
        if what == "fields":
            trie.reconfigure(texts(body, "fields", _DEEPEST))
        elif what == "width":
            trie.set_count_field(text(body, "name", LONGEST_NAME))
        elif what == "colour":
            trie.set_height_field(text(body, "name", LONGEST_NAME))
        elif what == "reset":
            trie.reset()
        elif what == "narrow":
            frames = pairs(body, "path", _DEEPEST)
            return self.narrow(*terms_of_frames(trie.fields, frames, leaf=self._is_file(trie, frames)))
        else:
            return super().act(what, body)
        self._since = time.time()
        return None

    @own.ours
    def _zoomed(self, _: Any, content: Any, buffers: Any) -> None:
        """A view was zoomed. No `act`: nobody waits for the answer, the page already shows what it has."""
        if self.closed or not isinstance(content, dict) or content.get("kind") != "focus":
            return
        with contextlib.suppress(ValueError):
            view, path = str(content.get("view", "")), tuple(pairs(content, "path", _DEEPEST))
            ticker.do(lambda: self._look_below(view, path))

    def _look_below(self, view: str, path: tuple[Frame, ...]) -> None:
        """Send more of what is below these frames with the next tick, however often a view asks until then."""
        self._focus = {v: f for v, f in self._focus.items() if v in self.views}
        self._focus[view] = path
        self._next = 0.0
        ticker.wake()

    def _is_file(self, trie: FlameSource, frames: Sequence[Frame]) -> bool:
        """Tell whether the last picture has no component of a path below a frame: a path that ends there is a file."""
        columns, row = self._columns, 0
        if columns is None:
            return False
        for field, name in frames:
            here = (columns.parents == columns.ids[row]) & (columns.labels == name)
            found = np.flatnonzero(here & (columns.fields == _place(trie, field)))
            if not len(found):
                return False
            row = int(found[0])
        children = np.flatnonzero(columns.parents == columns.ids[row])
        hidden = columns.totals[row] - columns.values[row] - columns.totals[children].sum()
        return not hidden and not (columns.fields[children] == _place(trie, "path")).any()

    def still(self) -> str:
        """Return the frames as an SVG icicle."""
        columns, trie = self._columns, self._source
        if columns is None or trie is None or not columns.totals[0]:
            return ""
        unit = trie.choices().metrics.get(trie.count_field, "")
        whole = f"{_shown(columns.totals[0], unit)} in {'the rows' if self._told else 'all'}"
        caption = f"flame graph: {trie.count_field} by {', '.join(trie.fields)}; {whole}"
        picture = _icicle(columns, unit, " of the rows" if self._told else "")
        return f"<figure><figcaption>{escaped_html(caption)}</figcaption>{picture}</figure>"


def _place(trie: FlameSource, field: str) -> int:
    """Return the number of a field in the columns of a trie; that of folded frames for one it does not have."""
    return trie.fields.index(field) if field in trie.fields else FOLDED


def _names_of(field: str, trie: FlameSource, columns: FlameColumns) -> set[str]:
    return set(columns.labels[columns.fields == _place(trie, field)]) if field in trie.fields else set()


def _rows_of(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the row of each wanted id, -1 where there is none: int32, shape of `wanted`."""
    order = ids.argsort(kind="stable")
    at = np.searchsorted(ids, wanted, sorter=order)
    rows = order[np.minimum(at, len(ids) - 1)]
    return np.where(ids[rows] == wanted, rows, -1).astype(np.int32)


def _merged(parts: list[FlameColumns]) -> FlameColumns:
    """Return the frames of all parts, each once; parents stay before their children."""
    if len(parts) == 1:
        return parts[0]
    ids, parents, labels, fields, values, totals, heights = (
        np.concatenate([np.asarray(part[column]) for part in parts]) for column in range(7)
    )
    first = np.sort(np.unique(ids, return_index=True)[1])
    return FlameColumns(
        ids=ids[first],
        parents=parents[first],
        labels=labels[first],
        fields=fields[first],
        values=values[first],
        totals=totals[first],
        heights=heights[first],
        version=parts[-1].version,
    )


# ---- from a frame to a filter

_DIMENSION: Final = {"path": "file", "python": "stack", "func": "py_func"}
"""Field -> dimension of a filter, where they are not called the same."""
_ABSENT: Final = "^$"
_NUMBERS: Final = frozenset({"pid", "tid", "cell"})


def terms_of_frames(fields: Sequence[str], frames: Sequence[Frame], *, leaf: bool = False) -> list[Node]:
    """Return the terms of a filter that accepts the rows of a frame.

    Args:
        fields: fields of the trie, root first.
        frames: the frames from below the root down to the one meant.
        leaf: whether no component of a path is below the frame: a path that ends there is a file.

    Raises:
        ConfigError: it is the root or a folded frame, has open flags above it, or is of another trie.
    """
    if not frames:
        raise ConfigError("the top frame is everything: choose one below it")
    for field, name in frames:
        if not field:
            shown = printable(middle_cut(name, 60))
            raise ConfigError(f"{shown} stands for many small frames and cannot be filtered; choose the frame above it")
        if field not in fields:
            raise ConfigError(f"the frames are other ones now, none is of {printable(field)}: choose again")
    last = frames[-1][0]
    terms = []
    for field in fields[: fields.index(last) + 1]:  # a field without a frame gave these rows none
        names = [name for kind, name in frames if kind == field]
        if field == "flags":
            if names:
                raise ConfigError("a filter knows no open flags: choose a frame above them")
        else:
            terms.append(_term(field, names, whole=field != last or leaf))
    return terms


def _term(field: str, names: Sequence[str], *, whole: bool) -> Node:
    """Return the term of one field. A path, or label, that is not whole is a directory: it, and what is below."""
    if field in ("path", "file", "label"):
        path, dimension = "".join(names), _DIMENSION.get(field, field)
        if not names:
            return Text(dimension, "~", _ABSENT)
        if field == "file" or whole:
            return node_of_value(dimension, path)
        # A mere prefix would match /a/bc too. `=` has no escape for a star.
        below = Text(dimension, "~", f"^{path}/") if "*" in path else Text(dimension, "=", f"{path}/*")
        return Or((node_of_value(dimension, path), below)) if path != "/" else below
    if field == "python" and names:
        stack = ";".join(names)
        return node_of_value("stack", stack) if whole else Text("stack", "~", f"^{stack}")
    if not names:
        return Number("cell", "=", -1) if field == "cell" else Text(_DIMENSION.get(field, field), "~", _ABSENT)
    return node_of_value(_DIMENSION.get(field, field), int(names[0]) if field in _NUMBERS else names[0])


# ---- the static picture

_BOXES: Final = 200
_BYTES: Final = 29_000
_WIDE: Final = 1000
_ROW: Final = 18
_LEVELS: Final = 40


def _shown(value: float, unit: str) -> str:
    return show_ns(value) if unit == "ns" else show_bytes(value) if unit == "bytes" else show_count(int(value), "call")


def _icicle(columns: FlameColumns, unit: str, of: str = "") -> str:
    """Return an SVG of the largest frames; `of` says what their shares are shares of."""
    scale = _WIDE / float(columns.totals[0])
    parents = _rows_of(columns.ids, columns.parents)
    largest = np.argsort(-columns.totals, kind="stable")[:_BOXES]
    lefts, ends, depths = {0: 0.0}, {0: 0.0}, {0: 0}
    boxes: list[str] = []
    size = 0
    shown = set(largest.tolist())
    places: dict[int, tuple[float, float, int]] = {}
    for row in sorted(shown):
        parent, width = int(parents[row]), float(columns.totals[row]) * scale
        if row:
            if parent not in places:
                continue
            lefts[row] = ends[row] = ends[parent]
            ends[parent] += width
            depths[row] = depths[parent] + 1
            if depths[row] >= _LEVELS:
                continue
        places[row] = (lefts[row], width, depths[row])
    for row in largest.tolist():
        if row not in places or places[row][1] < 1:
            continue
        x, width, depth = places[row]
        raw = str(columns.labels[row]) if row else "all"
        share = columns.totals[row] / columns.totals[0]
        title = escaped_html(f"{middle_cut(printable(raw), 90)}: {_shown(columns.totals[row], unit)}, {share:.1%}{of}")
        fits = int(width / 7)
        text = escaped_html(middle_cut(printable(raw), fits)) if fits >= 3 else ""
        hue = int.from_bytes(blake2b(raw.encode(errors="replace"), digest_size=2).digest()) % 360
        box = (
            f'<g><title>{title}</title><rect x="{x:.1f}" y="{depth * _ROW}" width="{width:.1f}" height="{_ROW - 1}" '
            f'fill="{f"hsl({hue},40%,82%)" if row else "#d9dde2"}"/>'
            + (f'<text x="{x + 3:.1f}" y="{depth * _ROW + 13}">{text}</text>' if text else "")
            + "</g>"
        )
        size += len(box.encode())
        if size > _BYTES:
            break
        boxes.append(box)
    height = (1 + max(depth for _, _, depth in places.values())) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {height}" width="100%" font-family="sans-serif" '
        f'font-size="11" fill="#1c2127">{"".join(boxes)}</svg>'
    )
