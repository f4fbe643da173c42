"""`Diff`: what changed between two traces."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ior_nb import aggregate
from ior_nb.aggregate import MEASURED
from ior_nb.errors import ConfigError
from ior_nb.result import figures, tables
from ior_nb.runtime import Completeness, own, progress
from ior_nb.runtime.rows import Rows
from ior_nb.runtime.text import HTML_FONT, NO_MATH, escaped_html, middle_cut, printable, show_bytes, show_ns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Diff", "told_apart"]

_SHOWN: Final = 8
_HEAD: Final = ("calls before", "after", "time before", "after", "change", "")
_FETCHED: Final = ("fetched_bytes_before", "fetched_bytes_after")
_TOTALS: Final = (
    ("calls", lambda value: f"{value:,.0f}"),
    ("errors", lambda value: f"{value:,.0f}"),
    ("bytes_read", show_bytes),
    ("bytes_written", show_bytes),
    ("fetched_bytes", show_bytes),
    ("time_ns", show_ns),
    ("wait_cpu_ns", show_ns),
    ("wait_device_ns", show_ns),
    ("wait_lock_ns", show_ns),
    ("p50_ns", show_ns),
    ("p99_ns", show_ns),
    ("max_ns", show_ns),
)


@own.all_ours
@progress.all_told
class Diff:
    """Two traces side by side: `Trace.diff` makes one.

    Args:
        before: the rows of the one.
        after: the rows of the other.
        lacking: what the rows of both lack. Calls that were counted and are no rows are in all sums.
        titles: what they are called.
        rows_only: compare rows too that lack calls nobody counted by name.

    Raises:
        ConfigError: they do, so that a difference would say nothing.
    """

    def __init__(
        self,
        before: Rows,
        after: Rows,
        *,
        lacking: tuple[Completeness, Completeness] = (Completeness(), Completeness()),
        titles: tuple[str, str] = ("before", "after"),
        rows_only: bool = False,
    ) -> None:
        for title, side in zip(titles, lacking, strict=True):
            if not (side.exact or rows_only):
                raise ConfigError(
                    f"cannot compare {printable(title)}: {side.line()}. The exact counts cannot stand in for these "
                    "calls; trace without sampling or filter, or compare the rows alone: a.diff(b, rows_only=True), "
                    "%ior diff --rows-only A B"
                )
        self.before = before
        self.after = after
        self.lacking = lacking
        self.titles = titles

    def told(self) -> list[str]:
        """Return what the rows of both lack, and what was done about it, in lines; none where they are whole."""
        lines = [f"{t}: {s.told()}" for t, s in zip(self.titles, self.lacking, strict=True) if s.told()]
        if any(side.unrecorded for side in self.lacking):
            lines.append(
                "totals and system calls are exact counts, percentiles are of the rows; files are not compared"
            )
        return [printable(line) for line in lines]

    def totals(self) -> pd.DataFrame:
        """Return the totals of both and the difference, one row per measure."""
        import pandas as pd

        one, two = self._totals()
        return self._told(
            pd.DataFrame(
                {"before": one.values(), "after": two.values(), "delta": [two[name] - one[name] for name in one]},
                index=pd.Index(list(one), name="measure"),
            )
        )

    def syscalls(self) -> pd.DataFrame:
        """Return calls, errors, bytes and time of every system call, before, after and their difference."""
        found = self._by(tables.syscalls, "syscall")
        return found[[c for c in found.columns if not c.startswith(("p", "mean_ns", "max_ns"))]]

    def latency(self) -> pd.DataFrame:
        """Return mean, percentiles and maximum of every system call, before, after and their difference."""
        found = self._by(tables.syscalls, "syscall")
        return found[[c for c in found.columns if c.startswith(("syscall", "calls", "p", "mean_ns", "max_ns"))]]

    def files(self) -> pd.DataFrame:
        """Return calls, errors, bytes, time, mean and maximum of every file, before, after and their difference."""
        return self._by(tables.files, "file")

    def processes(self) -> pd.DataFrame:
        """Return the same by name of the thread, for process ids of two runs have nothing in common."""
        return self._by(tables.threads, "comm")

    def flame(self, fields: str | Sequence[str] = ("comm", "syscall", "path"), metric: str = "duration") -> Any:
        """Return the differential flame graph, a plotly figure: red grew, blue shrank.

        Args:
            fields: the frames, root first: comm, syscall, path, file, family, pid, tid, cell, label, python, func,
                flags, host.
            metric: what is compared: duration, count, bytes or gap.

        Raises:
            ConfigError: an unknown field or metric.
        """
        return figures.diff_flame(self.before, self.after, fields, metric, self.lacking, self.told())

    def _by(self, table: Any, key: str) -> pd.DataFrame:
        sides = zip((self.before, self.after), self.lacking, strict=True)
        before, after = (table(rows, lacking) for rows, lacking in sides)
        return self._told(tables.diff(before, after, key))

    def _totals(self) -> list[dict[str, int | float]]:
        sides = zip((self.before, self.after), self.lacking, strict=True)
        return [aggregate.totals(rows, lacking.unrecorded) for rows, lacking in sides]

    def _told(self, frame: pd.DataFrame) -> pd.DataFrame:
        from ior_nb.export.frame import told

        shown = told(frame, *self.lacking)
        shown.attrs["completeness"] = "; ".join(self.told()) or "complete"
        return shown

    @functools.cached_property  # a notebook asks for text and for HTML, and each looks at all rows of both
    def _tables(self) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
        """Title, headings and rows of what is shown; the text is raw."""
        one, two = self._totals()
        found: list[tuple[str, tuple[str, ...], list[list[str]]]] = [
            (
                "Totals",
                ("before", "after", "change", ""),
                [
                    [show(one[name]), show(two[name]), _ratio(one[name], two[name]), name]
                    for name, show in _TOTALS
                    if name not in MEASURED or (min(one[name], two[name]) >= 0 and (one[name] or two[name]))
                ],
            )
        ]
        shown = [("System calls", self.syscalls(), "syscall")]
        if not any(side.unrecorded for side in self.lacking):  # else nobody knows what a change of a file's calls means
            shown.append(("Files", self.files(), "file"))
        for title, table, key in shown:
            fetched = "fetched_bytes_after" in table and (table[list(_FETCHED)] > 0).any(axis=None)
            rows = [
                [
                    f"{r['calls_before']:,}",
                    f"{r['calls_after']:,}",
                    *(show_bytes(r[name]) if r[name] >= 0 else "?" for name in (_FETCHED if fetched else ())),
                    show_ns(r["time_ns_before"]),
                    show_ns(r["time_ns_after"]),
                    _ratio(r["time_ns_before"], r["time_ns_after"]),
                    r[key] or "(no file)",
                ]
                for r in table.head(_SHOWN).to_dict("records")
            ]
            found.append((title, (*_HEAD[:2], *(("fetched before", "after") if fetched else ()), *_HEAD[2:]), rows))
        return [table for table in found if table[2]]

    def _heading(self) -> str:
        return f"{self.titles[0]} → {self.titles[1]}"

    def __repr__(self) -> str:
        lines = [printable(self._heading()), *self.told()]
        for title, names, rows in self._tables:
            shown = [[printable(cell) for cell in row] for row in rows]
            widths = [max(len(row[i]) for row in [list(names), *shown]) for i in range(len(names) - 1)]
            lines += ["", title]
            for row in [list(names), *shown]:
                left = "  ".join(cell.rjust(w) for cell, w in zip(row[:-1], widths, strict=True))
                lines.append(f"  {left}  {middle_cut(row[-1], max(16, 104 - sum(widths) - 2 * len(widths)))}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cell = "padding:1px 10px 1px 0;border:0;background:transparent;white-space:nowrap;text-align:"
        out = [
            f'<div {NO_MATH} style="{HTML_FONT}max-width:100%;overflow-x:auto"><b>{escaped_html(self._heading())}</b>'
        ]
        out += [f'<div style="opacity:.75">{escaped_html(line)}</div>' for line in self.told()]
        for title, names, rows in self._tables:
            aligned = ["right"] * (len(names) - 1) + ["left"]
            look = f"{HTML_FONT}font-variant-numeric:tabular-nums;color:inherit;border-collapse:collapse"
            out.append(f'<div style="margin-top:6px">{title}</div><table style="{look}"><tr>')
            out += [
                f'<th style="{cell}{side};opacity:.6;font-weight:normal">{name}</th>'
                for name, side in zip(names, aligned, strict=True)
            ]
            for row in rows:
                out.append("</tr><tr>")
                out += [
                    f'<td style="{cell}{side}">{escaped_html(middle_cut(printable(text), 90))}</td>'
                    for text, side in zip(row, aligned, strict=True)
                ]
            out.append("</tr></table>")
        return "".join([*out, "</div>"])


def told_apart(names: tuple[str, str], started_at: tuple[float, float]) -> tuple[str, str]:
    """Return what two traces are called, told apart by when they began where that is the same."""
    if names[0] != names[1]:
        return names
    clocks = [time.strftime("%H:%M:%S", time.localtime(at)) for at in started_at]
    marks = clocks if clocks[0] != clocks[1] else ["before", "after"]
    return f"{names[0]} ({marks[0]})", f"{names[1]} ({marks[1]})"


def _ratio(before: float, after: float) -> str:
    if not before:
        return "new" if after else "="
    if not after:
        return "gone"
    factor = after / before
    return "=" if factor == 1 else f"×{factor:.3g}" if factor >= 1.995 or factor <= 0.5 else f"{factor - 1:+.0%}"
