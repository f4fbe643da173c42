"""Plotly figures of rows, where a picture says more than a table.

Labels of plotly are a dialect of HTML, and TeX between dollar signs; traced text goes through `label`, which leaves
nothing in it that acts.
"""

from __future__ import annotations

import html
import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from ior_nb import aggregate
from ior_nb.errors import ConfigError
from ior_nb.export.stacks import DEFAULT_FIELDS, Stacks, Tree, merged, metric_name, stacks, told_apart, tree
from ior_nb.runtime import Completeness
from ior_nb.runtime.peers import Named
from ior_nb.runtime.rows import Rows
from ior_nb.runtime.schema import PARTS
from ior_nb.runtime.text import middle_cut, printable, show_bytes, show_ns

__all__ = ["FIGURES", "diff_flame", "flame", "heatmap", "label", "largest_files", "latency", "plot", "timeline"]

MOST_FRAMES: Final = 400
_WHOLE: Final = Completeness()
_TITLE_WIDTH: Final = 130  # characters of a title, in what a notebook has room for
_SINCE: Final = "time since the start of the trace"
_SECONDS: Final = {"tickformat": "~s", "ticksuffix": "s"}
_FRAME_FONT: Final = 12
_INK: Final = "#1c2127"  # on frames, which are light in the dark too
_ASSUMED_WIDTH: Final = 900  # px of a notebook's output: a figure knows no width before it is drawn
_CHARACTER: Final = 6.6  # px, the mean of the font's, a little too wide rather than too narrow
READ, WRITE, TRANSFER, OTHER, ERROR = "#3b7dc4", "#e08a2e", "#8e63b8", "#8a96a3", "#d64550"
_COLORS: Final = {"read": READ, "write": WRITE, "transfer": TRANSFER, "other": OTHER}
_CLEAR: Final = "rgba(0,0,0,0)"
# A figure does not know whether the page is light or dark: the page shines through, and what is drawn is seen on both.
_EITHER_THEME: Final = {
    "template": "none",
    "paper_bgcolor": _CLEAR,
    "plot_bgcolor": _CLEAR,
    "font": {"color": "#7d8793"},
}
_LINES: Final = {"gridcolor": "rgba(128,136,147,0.25)", "zerolinecolor": "rgba(128,136,147,0.45)", "automargin": True}
_FRAMES: Final = {"": "#dfe4ea", "other": "#d3dce0", "read": "#bcd8f5", "write": "#fbd6a8", "transfer": "#dfcbf2"}
_DIVERGING: Final = [[0.0, "#2166ac"], [0.25, "#92c5de"], [0.5, "#e4e4e4"], [0.75, "#f4a582"], [1.0, "#b2182b"]]
_SPENT: Final = dict(zip(PARTS, ("#7f8c99", "#c9a227", "#3b7dc4", "#d64550", "#8e63b8"), strict=True))
"""Colours of the parts of a latency."""
_UNIT_TEXT: Final[dict[str, Callable[[float], str]]] = {
    "count": lambda value: f"{value:,.0f} calls",
    "duration": show_ns,
    "gap": show_ns,
    "bytes": show_bytes,
    "fetched": show_bytes,
    **{name.removesuffix("_ns"): show_ns for name in PARTS},
}


def label(text: str, width: int = 120) -> str:
    """Return traced text for a label of plotly: no tags, entities, TeX or invisible characters, not too long."""
    return html.escape(middle_cut(printable(text), width)).replace("$", "&#36;")


def flame(
    rows: Rows,
    fields: str | Sequence[str] = DEFAULT_FIELDS,
    metric: str = "count",
    lacking: Completeness = _WHOLE,
) -> Any:
    """Return an icicle of the stacks, the 400 heaviest frames; what is left out is blank space under its parent.

    Args:
        rows: the rows.
        fields: what the frames are, root first: comm, syscall, path, file, family, pid, tid, cell, label, python, func,
            flags, host.
        metric: what widths mean: count, duration, bytes, gap, fetched, or a part of the duration, as wait_device.
        lacking: what the rows lack; the picture is of the rows, and its title says so.

    Raises:
        ConfigError: an unknown field or metric.
    """
    metric = metric_name(metric)
    nodes = tree(stacks(rows, fields, [metric]))
    shown = nodes.largest(metric, MOST_FRAMES)
    totals, kinds = nodes.totals[metric], nodes.classes(shown)
    show = _UNIT_TEXT[metric]
    whole = max(1, int(totals[0]))
    figure = _icicle(
        nodes,
        shown,
        totals[shown],
        customdata=[[show(int(totals[i])), f"{totals[i] / whole:.1%}"] for i in shown],
        hovertemplate="%{label}<br>%{customdata[0]}, %{customdata[1]}<extra></extra>",
        marker={"colors": [_FRAMES[kinds[i]] for i in shown], "line": {"color": "#fff", "width": 1}},
    )
    of = " in the rows" if lacking.partial else ""
    return _headed(figure, f"{metric}: {show(int(totals[0]))}{of}", [lacking.told()])


def timeline(rows: Rows, *, origin_ns: int | None = None) -> Any:
    """Return bytes per second over time, calls per second, and the mean latency; and what time went to, if measured."""
    slots = aggregate.timeline(rows, origin_ns=origin_ns)
    at, slot = slots["start_s"], slots["slot_s"]
    bar = {"type": "bar", "x": (at + slot / 2).tolist(), "width": slot.tolist()}
    traces = [
        {
            **bar,
            "y": (slots[f"bytes_{way}"] / slot).tolist(),
            "name": name,
            "marker": {"color": color},
            "hovertemplate": "%{x:.3~f} s<br>%{y:.3~s}B/s<extra>" + name + "</extra>",
        }
        for way, name, color in (("read", "read", READ), ("written", "written", WRITE))
    ]
    traces += [
        {**bar, "y": (count / slot).tolist(), "name": name, "marker": {"color": color}, "yaxis": "y2"}
        for name, count, color in (
            ("calls", slots["calls"] - slots["errors"], OTHER),
            ("errors", slots["errors"], ERROR),
        )
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "lines+markers",  # a slot between quiet ones has no line
            "x": bar["x"],
            "y": np.where(slots["mean_ns"] > 0, slots["mean_ns"] / 1e9, np.nan).tolist(),
            "name": "mean latency",
            "line": {"color": TRANSFER},
            "marker": {"size": 4},
            "hovertemplate": "%{x:.3~f} s<br>%{y:.3~s}s<extra>mean latency</extra>",
            "yaxis": "y3",
        }
    )
    spent = {name: slots[name] / 1e9 / slot for name in aggregate.WORDS if slots[name].any()}
    traces += [
        {
            **bar,
            "y": seconds.tolist(),
            "name": aggregate.WORDS[name],
            "marker": {"color": _SPENT[name]},
            "hovertemplate": "%{x:.3~f} s<br>%{y:.3~s}s per second<extra>" + aggregate.WORDS[name] + "</extra>",
            "yaxis": "y4",
        }
        for name, seconds in spent.items()
    ]
    domains = [[0.72, 1], [0.48, 0.67], [0.24, 0.43], [0, 0.19]] if spent else [[0.62, 1], [0.3, 0.56], [0, 0.24]]
    more = {"yaxis4": {"domain": domains[3], "title": {"text": "time in calls"}, "ticksuffix": "s/s"}} if spent else {}
    return _figure(
        *traces,
        height=620 if spent else 480,
        barmode="stack",
        bargap=0,
        xaxis={"title": {"text": _SINCE}, "anchor": "y4" if spent else "y3", **_SECONDS},
        yaxis={"domain": domains[0], "title": {"text": "bytes/s"}, "tickformat": "~s", "ticksuffix": "B"},
        yaxis2={"domain": domains[1], "title": {"text": "calls/s"}, "tickformat": "~s"},
        **more,
        yaxis3={
            "domain": domains[2],
            "title": {"text": "mean latency"},
            "tickformat": "~s",
            "ticksuffix": "s",
            "rangemode": "tozero",
        },
    )


def latency(rows: Rows) -> Any:
    """Return the histogram of latencies, in logarithmic bins, by what the calls do."""
    bins = aggregate.latency_bins(rows)
    spans = [f"{show_ns(a)} to {show_ns(b)}" for a, b in zip(bins["low_ns"], bins["high_ns"], strict=True)]
    traces = [
        {
            "type": "bar",
            "x": (np.sqrt(bins["low_ns"] * bins["high_ns"]) / 1e9).tolist(),
            "width": ((bins["high_ns"] - bins["low_ns"]) / 1e9).tolist(),
            "y": bins[name].tolist(),
            "name": name,
            "marker": {"color": _COLORS[name]},
            "customdata": spans,
            "hovertemplate": "%{customdata}<br>%{y:,} calls",
        }
        for name in ("read", "write", "transfer", "other")
        if bins[name].any()
    ]
    return _figure(
        *traces,
        height=340,
        barmode="stack",
        xaxis={"type": "log", "title": {"text": "latency"}, "tickformat": "~s", "ticksuffix": "s", "dtick": 1},
        yaxis={"title": {"text": "calls"}},
    )


def heatmap(rows: Rows, *, origin_ns: int | None = None) -> Any:
    """Return how many calls were how slow, when: time across, latency upwards, colour for the number of calls."""
    axes, counts = aggregate.heat(rows, origin_ns=origin_ns)
    middles = np.sqrt(axes["low_ns"] * axes["high_ns"]) / 1e9
    shown = {
        "type": "heatmap",
        "x": (axes["start_s"] + axes["slot_s"] / 2).tolist(),
        "y": middles.tolist(),
        "z": np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan).tolist(),
        "customdata": counts.tolist(),
        "colorscale": "YlOrRd",
        "colorbar": {
            "title": {"text": "calls"},
            "tickvals": list(range(7)),
            "ticktext": ["1", "10", "100", "1 k", "10 k", "100 k", "1 M"],
            "thickness": 12,
            "outlinewidth": 0,
        },
        "hovertemplate": "%{x:.3~f} s<br>%{y:.2~s}s<br>%{customdata:,} calls<extra></extra>",
    }
    return _figure(
        shown,
        height=380,
        xaxis={"title": {"text": _SINCE}, **_SECONDS},
        yaxis={"type": "log", "title": {"text": "latency"}, "tickformat": "~s", "ticksuffix": "s", "dtick": 1},
    )


def largest_files(rows: Rows, n: int = 20) -> Any:
    """Return the files with the most bytes as bars, read and written."""
    found = aggregate.files(Named(rows))
    there = np.flatnonzero((found["file"] != "") & (found["bytes_read"] + found["bytes_written"] > 0))[:n][::-1]
    names = found["file"][there].tolist()
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "x": found[f"bytes_{way}"][there].tolist(),
            "y": list(range(len(names))),
            "name": way,
            "marker": {"color": color},
            "hovertext": [label(name) for name in names],
            "hovertemplate": "%{hovertext}<br>%{x:.3~s}B",
        }
        for way, color in (("read", READ), ("written", WRITE))
    ]
    return _figure(
        *traces,
        height=90 + 22 * max(1, len(names)),
        barmode="stack",
        xaxis={"title": {"text": "bytes"}, "tickformat": "~s", "ticksuffix": "B"},
        yaxis={"tickvals": list(range(len(names))), "ticktext": [label(name, 48) for name in names]},
        margin={"t": 30, "l": 330, "r": 10, "b": 40},
    )


def diff_flame(
    before: Rows,
    after: Rows,
    fields: str | Sequence[str] = DEFAULT_FIELDS,
    metric: str = "duration",
    lacking: tuple[Completeness, Completeness] = (_WHOLE, _WHOLE),
    told: Sequence[str] = (),
) -> Any:
    """Return an icicle of two traces: red grew, blue shrank, grey stayed.

    A frame is as wide as both runs together, so what only one of them has is there too, all red or all blue.

    Args:
        before: the rows of the one.
        after: the rows of the other.
        fields: what the frames are, root first: comm, syscall, path, file, family, pid, tid, cell, label, python, func,
            flags, host.
        metric: what is compared: duration, count, bytes or gap.
        lacking: what the rows of both lack.
        told: that in lines.

    Raises:
        ConfigError: an unknown field or metric.
    """
    metric = metric_name(metric)
    fields, sides = told_apart(fields, before, after), zip((before, after), lacking, strict=True)
    one, two = (stacks(rows, fields, [metric], lack.unrecorded) for rows, lack in sides)
    nodes = tree(_together(one, two, metric))
    shown = nodes.largest("both", MOST_FRAMES)
    old, new = nodes.totals["before"][shown], nodes.totals["after"][shown]
    show = _UNIT_TEXT[metric]
    change = np.divide(new - old, new + old, out=np.zeros(len(shown)), where=new + old > 0)
    figure = _icicle(
        nodes,
        shown,
        old + new,
        customdata=[[show(a), show(b), _change(a, b, show)] for a, b in zip(old.tolist(), new.tolist(), strict=True)],
        hovertemplate="%{label}<br>%{customdata[0]} → %{customdata[1]}<br>%{customdata[2]}<extra></extra>",
        marker={"colors": change.tolist(), "colorscale": _DIVERGING, "cmin": -1, "cmax": 1},
    )
    heading = f"{metric}: {show(int(old[0]))} → {show(int(new[0]))} (red grew, blue shrank)"
    return _headed(figure, heading, told)


def _together(one: Stacks, two: Stacks, metric: str) -> Stacks:
    """Return the stacks of both, with their weights before, after and together."""
    numbers: dict[str, int] = {}
    codes = []
    for side in (one, two):
        known = np.array([*(numbers.setdefault(name, len(numbers)) for name in side.names), -1])
        codes.append(known.take(side.codes))
    width = max(side.shape[1] for side in codes)
    codes = [np.pad(side, ((0, 0), (0, width - side.shape[1])), constant_values=-1) for side in codes]
    old, new = one.weights[metric], two.weights[metric]
    before = np.concatenate([old, np.zeros_like(new)])
    after = np.concatenate([np.zeros_like(old), new])
    return merged(list(numbers), np.concatenate(codes), {"before": before, "after": after, "both": before + after})


def _change(before: int, after: int, show: Callable[[float], str]) -> str:
    sign = "+" if after >= before else "−"
    percent = f" ({(after - before) / before:+.0%})" if before else " (new)" if after else ""
    return f"{sign}{show(abs(after - before))}{percent}"


# Name -> function of rows. `plot` and completion read this; a new figure is one function and one row.
FIGURES: Final[dict[str, Callable[..., Any]]] = {
    "flame": flame,
    "timeline": timeline,
    "latency": latency,
    "heatmap": heatmap,
    "files": largest_files,
}


def plot(rows: Rows, what: str, lacking: Completeness = _WHOLE, *, origin_ns: int | None = None, **options: Any) -> Any:
    """Return the figure of that name; what its rows lack stands in its title.

    Args:
        rows: the rows.
        what: a name of `FIGURES`.
        lacking: what the rows lack.
        origin_ns: what times count from, where the figure has some; by default the earliest row.
        **options: of the figure.

    Raises:
        ConfigError: there is no such figure, or it has no such option.
    """
    if what not in FIGURES:
        raise ConfigError(f"there is no figure {what!r}; choose from {', '.join(FIGURES)}")
    given = {"origin_ns": origin_ns, "lacking": lacking}
    parameters = inspect.signature(FIGURES[what]).parameters
    known = [name for name in parameters if name != "rows" and name not in given]
    for option in options:
        if option not in known:
            raise ConfigError(f"the figure {what} has no option {option!r}; it has {', '.join(known) or 'none'}")
    figure = FIGURES[what](rows, **options, **{name: value for name, value in given.items() if name in parameters})
    return figure if "lacking" in parameters else _headed(figure, "", [lacking.told()])


def _headed(figure: Any, heading: str, told: Iterable[str]) -> Any:
    """Return a figure with a heading, and in smaller lines below it what its rows lack."""
    lines = [piece for line in told for piece in textwrap.wrap(printable(line), _TITLE_WIDTH)]
    if not heading and not lines:
        return figure
    small = [f"<span style='font-size:11px'>{label(line, _TITLE_WIDTH)}</span>" for line in lines]
    title: dict[str, Any] = {
        "text": "<br>".join([*([label(heading)] if heading else []), *small]),
        "font": {"size": 13},
    }
    if not lines:
        return figure.update_layout(title=title)
    # At the top, above the legend; what they take is added to the height, for the plot needs its own.
    more, layout = 16 * len(lines), figure.layout
    title |= {
        "x": 0.01,
        "xanchor": "left",
        "y": 1,
        "yanchor": "top",
        "yref": "container",
        "pad": {"t": 16 if heading else 6},
    }
    return figure.update_layout(title=title, height=layout.height + more, margin={"t": layout.margin.t + more})


def _figure(*traces: dict[str, Any], **layout: Any) -> Any:
    import plotly.graph_objects as go

    margin = layout.pop("margin", {"t": 30, "l": 60, "r": 10, "b": 40})
    legend = {"orientation": "h", "y": 1.12, "traceorder": "normal"}
    figure = go.Figure(list(traces)).update_layout(margin=margin, legend=legend, **_EITHER_THEME, **layout)
    return figure.update_xaxes(**_LINES).update_yaxes(**_LINES)


def _icicle(nodes: Tree, shown: Sequence[int], values: np.ndarray, **look: Any) -> Any:
    """Return a figure of frames.

    Args:
        nodes: all frames.
        shown: the numbers of those to show, the root first.
        values: how wide each of these is.
        **look: what they look like, and say under the pointer.
    """
    return _figure(
        {
            "type": "icicle",
            "ids": [str(i) for i in shown],
            "labels": [label(nodes.names[i]) if i else "all" for i in shown],
            "parents": [str(nodes.parents[i]) if i else "" for i in shown],
            "values": values.tolist(),
            "branchvalues": "total",
            **look,
            **_frame_texts([nodes.names[i] or "all" for i in shown], (values / max(1, values[0])).tolist()),
            "sort": False,
            "tiling": {"orientation": "v"},
        },
        height=110 + 26 * (1 + int(nodes.depths[shown].max())),
        margin={"t": 30, "l": 4, "r": 4, "b": 4},
    )


def _cut(name: str, width: int) -> str:
    """Cut the middle out, and of what is short the end: of a few characters the first say most."""
    shown = printable(name)
    return shown if len(shown) <= width else middle_cut(shown, width) if width > 12 else f"{shown[: width - 1]}…"


def _frame_texts(names: Sequence[str], shares: Sequence[float]) -> dict[str, Any]:
    """Return how frames are written on: whole, cut, or not at all, by how wide they will be.

    Plotly shrinks a text that is too long for its box, until nobody can read it; so none is too long. The whole name is
    in the label, which the box shows under the pointer.

    Args:
        names: of the frames, as traced.
        shares: of the whole width, 0 to 1.
    """
    widths = [int((share * _ASSUMED_WIDTH - 6) / _CHARACTER) for share in shares]
    return {
        "text": [label(_cut(name, width)) if width >= 3 else "" for name, width in zip(names, widths, strict=True)],
        "textinfo": "text",
        "textfont": {"color": _INK, "size": _FRAME_FONT},
        "insidetextfont": {"color": _INK, "size": _FRAME_FONT},
        "outsidetextfont": {"color": _INK, "size": _FRAME_FONT},
        "leaf": {"opacity": 1},
    }
