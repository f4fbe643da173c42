"""The page: heading, totals, flame graph, charts, tables."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence

from ior_nb import aggregate
from ior_nb.export.about import About
from ior_nb.export.html.charts import latency_chart, timeline_charts
from ior_nb.export.html.icicle import flame_graph
from ior_nb.export.html.script import SCRIPT
from ior_nb.export.html.style import STYLE
from ior_nb.export.html.tables import all_tables
from ior_nb.export.stacks import DEFAULT_FIELDS, metric_name
from ior_nb.runtime.rows import Rows
from ior_nb.runtime.text import escaped_html, show_bytes, show_count, show_ns
from ior_nb.version import VERSION

__all__ = ["html"]


def html(
    rows: Rows, about: About, *, fields: str | Sequence[str] = DEFAULT_FIELDS, metric: str = "duration"
) -> Iterator[bytes]:
    """Yield the page.

    Args:
        rows: the rows.
        about: title, facts, completeness line and notes for the heading.
        fields: its frames, root first: comm, syscall, path, file, family, pid, tid, cell, label, python, func,
            flags, host.
        metric: what its widths mean at first: a name of `METRICS`.

    Raises:
        ConfigError: an unknown field or metric.
    """
    first = metric_name(metric)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    body = [_heading(about)]
    if aggregate.span(rows) is not None:
        totals = aggregate.totals(rows, about.unrecorded)
        body += [
            f'<section><div class="scroll">{about.overview}</div></section>' if about.overview else "",
            _totals(totals, about),
            flame_graph(rows, fields, first, partial=about.partial),
            '<div class="pair">',
            timeline_charts(rows, about),
            latency_chart(rows, totals),
            "</div>",
            *(f'<section class="source">{source}</section>' for source in about.sources),
            all_tables(rows, about),
        ]
    else:
        body.append('<section><p class="quiet">No calls were recorded.</p></section>')
    yield (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{escaped_html(about.title)}</title><style>{STYLE}</style></head>\n<body><main>"
        f"{''.join(body)}"
        f"<footer>made by ior-nb {VERSION}; this file needs no network</footer></main>"
        f"<script>{SCRIPT}</script></body></html>\n"
    ).encode()


def _heading(about: About) -> str:
    out = [f"<header><h1>{escaped_html(about.title)}</h1>"]
    if about.facts:
        out.append(f'<p class="facts">{" · ".join(escaped_html(fact) for fact in about.facts)}</p>')
    caveats: list[str] = []
    if (lacking := about.completeness) is not None:
        line, *caveats = lacking.lines()
        out.append(
            f'<p class="pill {"good" if lacking.complete else "bad"}">{"✓" if lacking.complete else "⚠"} '
            f"{escaped_html(line)}</p>"
        )
        if lacking.unrecorded:
            caveats.append(
                "totals and system calls are exact counts; flame graph, charts and percentiles are of the rows alone"
            )
    out += [f'<p class="facts">{escaped_html(note)}</p>' for note in (*caveats, *about.notes)]
    return "".join([*out, "</header>"])


def _totals(found: Mapping[str, int | float], about: About) -> str:
    length = about.duration_s
    rate = f"{found['calls'] / length:,.0f} per second" if length else ""
    moved = [found["bytes_read"], found["bytes_written"]]
    speeds = [f"{show_bytes(m / length)}/s" if length and m else "" for m in moved]
    tiles = [
        ("calls", f"{found['calls']:,}", rate, ""),
        ("read", show_bytes(moved[0]), speeds[0], "read"),
        ("written", show_bytes(moved[1]), speeds[1], "write"),
        ("time in calls", show_ns(found["time_ns"]), f"median {show_ns(found['p50_ns'])}", ""),
        ("of it waiting", show_ns(found["waiting_ns"]), "for others", ""),
        ("files", f"{found['files']:,}", "", ""),
        ("processes", f"{found['processes']:,}", show_count(int(found["threads"]), "thread"), ""),
        ("errors", f"{found['errors']:,}", f"{found['errors'] / found['calls']:.2%} of calls", "error"),
        ("probes", f"{found['probes']:,}", "no errors", ""),
    ]
    cells = [
        f'<div class="tile {kind if value not in ("0", "0 B") else ""}"><b>{value}</b>'
        f"<span>{name}</span><small>{more}</small></div>"
        for name, value, more, kind in tiles
    ]
    return f'<div class="tiles">{"".join(cells)}</div>'
