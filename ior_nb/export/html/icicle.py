"""The flame graph as inline SVG: one drawing per metric, chosen by radio buttons that need no script.

A frame is a nested `<svg>`: it clips its own text, and zooming means setting its `x` and `width`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ior_nb.aggregate import WORDS
from ior_nb.export.stacks import METRICS, Tree, stacks, tree
from ior_nb.runtime.rows import Rows
from ior_nb.runtime.text import escaped_html, show_bytes, show_ns

__all__ = ["flame_graph"]

_ROW: Final = 21
_LIMIT: Final = 600
_LEAST: Final = 0.0008
_NAMES: Final = {
    "duration": "time",
    "count": "calls",
    "bytes": "bytes",
    "gap": "gaps",
    "fetched": "fetched",
    **{name.removesuffix("_ns"): word for name, word in WORDS.items()},
}


def flame_graph(rows: Rows, fields: str | Sequence[str], first: str, *, partial: bool) -> str:
    """Return the section; `first` is the metric it opens with."""
    metrics = [m for m in ("duration", "count", "bytes", "fetched", "wait_cpu", "wait_device") if m != first]
    found = stacks(rows, fields)
    shown = [m for m in (first, *metrics) if m == first or found.total(m)]
    ordered = [m for m in _NAMES if m in shown]
    nodes = tree(found)
    radios = "".join(
        f'<input type="radio" name="metric" id="m-{m}"{" checked" if m == first else ""} aria-label="{_NAMES[m]}">'
        for m in ordered
    )
    labels = "".join(f'<label for="m-{m}">{_NAMES[m]}</label>' for m in ordered)
    legend = "".join(
        f'<span><i class="i-{c}"></i>{c}</span>'
        for c in ("read", "write", "transfer", "other")
        if c != "transfer" or c in nodes.classes(range(len(nodes.names))).values()
    )
    return (
        f'<section class="flame">{radios}<div class="bar-line"><h2>Flame graph</h2><span class="pick">{labels}</span>'
        f'<span class="legend">{legend}</span><span class="grow"></span>'
        '<input type="search" id="search" class="js-only" placeholder="find a frame" aria-label="find a frame">'
        '<button type="button" id="reset" class="js-only">reset</button></div>'
        f"{''.join(_graph(nodes, m, 'the rows' if partial else 'all') for m in ordered)}</section>"
    )


def _graph(nodes: Tree, metric: str, whole_of: str) -> str:
    assert metric in METRICS
    numbers = nodes.largest(metric, _LIMIT, _LEAST)
    totals = nodes.totals[metric].tolist()
    whole = max(1, totals[0])
    left = {0: 0}  # where the next child of a frame begins
    kinds = nodes.classes(numbers)
    boxes = []
    for number in numbers:
        parent = nodes.parents[number]
        name = nodes.names[number] if number else "all"
        start = 0 if parent < 0 else left[parent]
        if parent >= 0:
            left[parent] = start + totals[number]
        left[number] = start
        share = totals[number] / whole
        cls = f"{kinds[number]}{' thin' if share * 1100 < 26 else ''}".strip()
        title = f"{escaped_html(_path(nodes.path(number)))}\n{_amount(totals[number], metric)}, {share:.2%}"
        boxes.append(
            f'<svg{f" class={chr(34)}{cls}{chr(34)}" if cls else ""} x="{_percent(start / whole)}" '
            f'y="{nodes.depths[number] * _ROW}" width="{_percent(share)}" height="{_ROW}">'
            f'<title>{title}</title><rect width="100%" height="100%"/>'
            f'<text x="5" y="14.5">{escaped_html(name)}</text></svg>'
        )
    height = (1 + nodes.depths[numbers].max()) * _ROW
    left_out = len(nodes.names) - len(numbers)
    more = f"; {left_out:,} narrow frames are not drawn" if left_out else ""
    hint = f"{_amount(totals[0], metric)} in {whole_of}{more}"
    return (
        f'<div class="graph g-{metric}"><svg height="{height}" role="img" aria-label="flame graph by {_NAMES[metric]}">'
        f'{"".join(boxes)}</svg><p class="hint">{hint}</p></div>'
    )


def _percent(share: float) -> str:
    return f"{share * 100:.4f}".rstrip("0").rstrip(".") + "%"


def _path(frames: list[str]) -> str:
    """Return the frames in one line; components of a path follow each other without a separator."""
    text = ""
    inside = False
    for frame in frames:
        text += frame if inside and frame.startswith("/") else f"{' › ' if text else ''}{frame}"
        inside = frame.startswith("/")
    return text or "all calls"


def _amount(value: int, metric: str) -> str:
    if metric == "count":
        return f"{value:,} calls"
    return show_bytes(value) if METRICS[metric].unit == "bytes" else show_ns(value)
