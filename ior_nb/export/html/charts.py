"""The charts as inline SVG: throughput and calls over time, and the distribution of latencies.

Positions across are percentages, so a drawing fills any width and its text is never stretched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from ior_nb import aggregate
from ior_nb.export.about import About
from ior_nb.runtime.rows import Rows
from ior_nb.runtime.text import show_bytes, show_ns

__all__ = ["latency_chart", "timeline_charts"]

_LEGEND: Final = '<span><i class="i-{0}"></i>{0}</span>'


def timeline_charts(rows: Rows, about: About) -> str:
    """Return the section with what happened when."""
    slots = aggregate.timeline(rows, origin_ns=about.origin_ns)
    slot = float(slots["slot_s"][0])
    starts = slots["start_s"].tolist()
    read, written = (slots[f"bytes_{way}"] / slot for way in ("read", "written"))
    failed = slots["errors"] / slot
    fine = slots["calls"] / slot - failed
    when = [f"{show_ns(s * 1e9) if s else '0 s'} to {show_ns((s + slot) * 1e9)}" for s in starts]
    moved = [
        f"{w}\n{show_bytes(r)} read, {show_bytes(x)} written"
        for w, r, x in zip(when, slots["bytes_read"].tolist(), slots["bytes_written"].tolist(), strict=True)
    ]
    made = [
        f"{w}\n{c:,} calls, {e:,} errors, mean {show_ns(m)}"
        for w, c, e, m in zip(when, *(slots[n].tolist() for n in ("calls", "errors", "mean_ns")), strict=True)
    ]
    end = starts[-1] + slot
    step = _round_up(end / 5, 10) if end >= 5 else _round_up(end / 5 * 1e9, 10) / 1e9
    ticks = "".join(
        f'<span style="left:{i * step / end:.2%}">{show_ns(i * step * 1e9) if i else "0"}</span>'
        for i in range(math.floor(end / step * 1.0001) + 1)
    )
    legend = "".join(_LEGEND.format(name) for name in ("read", "write", "other", "error"))
    return (
        '<section><div class="bar-line"><h2>Over time</h2><span class="grow"></span>'
        f'<span class="legend">{legend}</span></div><div class="chart">'
        f'<div class="name">throughput</div>'
        f"{_bars([('read', read), ('write', written)], moved, 110, lambda v: f'{show_bytes(v)}/s', 1024)}"
        f'<div class="name">calls per second</div>'
        f"{_bars([('other', fine), ('error', failed)], made, 76, _number, 1000)}"
        f'<div class="x at">{ticks}</div></div></section>'
    )


def latency_chart(rows: Rows, totals: Mapping[str, int | float]) -> str:
    """Return the section with how long calls took; the totals have the percentiles."""
    bins = aggregate.latency_bins(rows)
    there = [name for name in ("read", "write", "transfer", "other") if bins[name].any()]
    sums = sum((bins[name] for name in there), np.zeros(len(bins["low_ns"]), np.int64))
    titles = [
        f"{show_ns(low)} to {show_ns(high)}\n{count:,} calls"
        for low, high, count in zip(bins["low_ns"].tolist(), bins["high_ns"].tolist(), sums.tolist(), strict=True)
    ]
    facts = " · ".join(
        f"{name} {show_ns(totals[key])}"
        for name, key in (
            ("p50", "p50_ns"),
            ("p90", "p90_ns"),
            ("p99", "p99_ns"),
            ("p99.9", "p999_ns"),
            ("max", "max_ns"),
        )
    )
    legend = "".join(_LEGEND.format(name) for name in there)
    if not len(sums):
        return '<section><h2>Latency</h2><p class="quiet">No call returned.</p></section>'
    edges = [float(bins["low_ns"][0]), float(bins["high_ns"][-1])]
    low, high = (math.log10(edge) for edge in edges)
    decades = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    ticks = "".join(
        f'<span style="left:{(d - low) / (high - low):.2%}">{show_ns(10**d)}</span>'
        for d in decades[:: len(decades) // 7 + 1]
    )
    return (
        '<section><div class="bar-line"><h2>Latency</h2><span class="grow"></span>'
        f'<span class="legend">{legend}</span></div><div class="chart"><div class="name">calls</div>'
        f"{_bars([(n, bins[n].astype(float)) for n in there], titles, 214, _number, 1000)}"
        f'<div class="x at">{ticks}</div></div><p class="hint">{facts}</p></section>'
    )


def _bars(
    series: Sequence[tuple[str, np.ndarray]],
    titles: Sequence[str],
    height: int,
    show: Callable[[float], str],
    base: int,
) -> str:
    """Return the labels of the upward axis, and stacked bars of equal width over the whole one."""
    count = len(titles)
    top = _round_up(float(sum(values for _, values in series).max()) if count else 0.0, base)  # type: ignore[union-attr]
    width = 100 / max(1, count)
    gap = min(0.12 * width, 0.25)
    out = [f'<line x1="0" x2="100%" y1="{y}" y2="{y}"/>' for y in (0.5, height / 2, height - 0.5)]
    below = np.zeros(count)
    for name, values in series:
        for at in np.flatnonzero(values > 0).tolist():
            tall = max(float(values[at]) / top * height, 0.6)
            y = height - below[at] - tall
            out.append(
                f'<rect class="{name}" x="{at * width + gap / 2:.3f}%" y="{y:.2f}" '
                f'width="{width - gap:.3f}%" height="{tall:.2f}"/>'
            )
            below[at] += tall
    out += [
        f'<rect class="over" x="{at * width:.3f}%" y="0" width="{width:.3f}%" height="{height}">'
        f"<title>{title}</title></rect>"
        for at, title in enumerate(titles)
    ]
    labels = "".join(f"<span>{show(value)}</span>" for value in (top, top / 2, 0))
    return f'<div class="y">{labels}</div><svg height="{height}" role="img">{"".join(out)}</svg>'


def _round_up(value: float, base: int) -> float:
    """Return the next larger round number in the unit the value is shown in."""
    if value <= 0:
        return 1.0
    unit = float(base) ** max(0, math.floor(math.log(value, base)))
    size = 10.0 ** math.floor(math.log10(value / unit))
    return next(unit * size * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if unit * size * step >= value * 0.9999)


def _number(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
