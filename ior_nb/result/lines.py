"""Lines of Python with what they cost in the margin: of a cell, or of any file whose text can be found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ior_nb.real import Lock
from ior_nb.result.cost import COSTS, Cost, Costs, Packages, margin_cells, said
from ior_nb.result.imports import by_package, imports_html, imports_line
from ior_nb.result.sources import Sources, here
from ior_nb.runtime import EventBatch, Recoder
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.index import rows_of
from ior_nb.runtime.stacks import NO_FRAME, Frame, imported, is_cell, is_library, own_frame, parsed
from ior_nb.runtime.text import HTML_FONT, NO_MATH, escaped_html, middle_cut, printable

__all__ = ["Annotated", "LineTally", "annotated"]

_STACKS: Final = 1 << 16
"""Distinct stacks that are remembered; of more the lesser half is dropped."""
_BELOW: Final = 5
"""Places of libraries shown below a line."""
_HOT: Final = 0.1
"""Share of the time from which on a line is a hot one."""
_AROUND: Final = 2
"""Lines shown around one that made calls, in a file that is not a cell."""
_TIMEIT: Final = "<magic-timeit>"
_TIMED: Final = frozenset(("<timed exec>", "<timed eval>", _TIMEIT))
_HERE: Final = Sources()


class LineTally:
    """Adds up batches by stack; any thread may ask meanwhile. As long as there are distinct stacks."""

    columns: Final = ("stack", *COSTS)
    """Those it looks at."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stacks = Recoder()
        self._sums = Costs()

    def add(self, batch: EventBatch) -> None:
        """Count these rows, if any has a stack."""
        codes = batch["stack"]
        if not len(batch) or (is_one_value(codes) and not codes[0]):
            return
        with self._lock:
            own = self._stacks.codes(codes, batch.tables["stack"])
            size = len(self._stacks.own)
            self._sums.grow(size)
            self._sums.made(batch, own)
            if size > _STACKS:
                self._drop()

    def _drop(self) -> None:
        order = np.argsort(-self._sums.columns["time"][1 : len(self._stacks.own)], kind="stable") + 1
        kept = np.append(0, order[: _STACKS // 2])
        self._sums.keep(kept, self._stacks.keep(kept))

    def costs(self) -> dict[tuple[Frame, ...], Cost]:
        """Return what each stack made; those of calls without one under the empty stack."""
        with self._lock:
            used = rows_of(self._sums.columns["calls"])
            costs, texts = self._sums.of(used), self._stacks.own.at(used)
        return dict(zip(map(parsed, texts), costs, strict=True))


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    cost: Cost | None = None
    below: tuple[tuple[Frame, Cost], ...] = ()
    """Where in libraries its calls were made, most time first."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """A text, each line with what it made: for a terminal, and as HTML that needs nothing else."""

    title: str
    lines: tuple[_Line, ...]
    total_ns: int
    """Time in calls of the whole trace: what shares are of."""
    more: tuple[str, ...] = field(default=())
    """What else there is to say."""
    imports: Packages = ()
    """What its imports made, by package; no line has it."""

    def text(self, width: int = 110) -> str:
        """Return plain text, nothing wider than `width`, safe on a terminal."""
        rows = [f"  {'calls':>9} {'bytes':>10} {'time':>8} {'waiting':>8}     line  {self.title}"]
        for line, behind_gap in self._parted():
            if behind_gap:
                rows.append(f"{'':41}…")
            cost = line.cost
            margin = "".ljust(40) if cost is None else f"{'*' if self._hot(cost) else ' '} {_margin(cost)} "
            rows.append(
                f"{margin:<40} {line.number:>7}  {middle_cut(printable(line.text), max(16, width - 51))}".rstrip()
            )
        if self.imports:
            rows.append(f"  {imports_line(self.imports, width - 2)}")
        return "\n".join([*rows, *self.more])

    def _parted(self) -> Iterator[tuple[_Line, bool]]:
        """Yield the lines, each with whether lines before it are left out."""
        before: int | None = None
        for line in self.lines:
            yield line, before is not None and line.number > before + 1
            before = line.number

    def html(self) -> str:
        """Return self-contained HTML; every traced string is escaped."""
        cell = "padding:0 8px;border:0;background:transparent;white-space:pre;text-align:right;vertical-align:top;"
        code = f"{cell}text-align:left;font-family:var(--jp-code-font-family,ui-monospace,monospace);"
        head = "".join(
            f'<th style="{cell}opacity:.6;font-weight:normal">{name}</th>'
            for name in ("calls", "bytes", "time", "waiting", "line")
        )
        rows = [f'<tr>{head}<th style="{code}opacity:.6;font-weight:normal">{escaped_html(self.title)}</th></tr>']
        for line, behind_gap in self._parted():
            if behind_gap:
                rows.append(f'<tr><td colspan="5" style="{cell}"></td><td style="{code}opacity:.5">…</td></tr>')
            rows.append(self._row(line, cell, code))
        more = "".join(f'<div style="opacity:.75">{escaped_html(text)}</div>' for text in self.more)
        table = f'<table style="{HTML_FONT}font-variant-numeric:tabular-nums;color:inherit;border-collapse:collapse">'
        text = f"{table}{''.join(rows)}</table>{imports_html(self.imports)}{more}"
        return f'<div {NO_MATH} style="max-width:100%;overflow-x:auto">{text}</div>'

    def _row(self, line: _Line, cell: str, code: str) -> str:
        text = escaped_html(line.text) or "&nbsp;"
        if line.cost is None:
            blank = f'<td style="{cell}"></td>' * 4
            return f'<tr>{blank}<td style="{cell}opacity:.4">{line.number}</td><td style="{code}">{text}</td></tr>'
        share = min(1.0, line.cost.time_ns / self.total_ns) if self.total_ns else 0.0
        hot = "font-weight:600;" if self._hot(line.cost) else ""
        bar = f"background:linear-gradient(90deg,rgba(230,120,40,.28) {share:.1%},transparent {share:.1%});"
        values = "".join(f'<td style="{cell}{hot}">{value}</td>' for value in margin_cells(line.cost))
        if line.below:
            places = "".join(
                f'<div style="opacity:.75">{escaped_html(_place(frame))}: {" ".join(said(cost))}</div>'
                for frame, cost in line.below
            )
            text = f'<details><summary style="cursor:pointer">{text}</summary>{places}</details>'
        number = f'<td style="{cell}opacity:.6">{line.number}</td>'
        return f'<tr>{values}{number}<td style="{code}{hot}{bar}">{text}</td></tr>'

    def _hot(self, cost: Cost) -> bool:
        return bool(self.total_ns) and cost.time_ns >= _HOT * self.total_ns

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()


def _margin(cost: Cost) -> str:
    calls, moved, time, waiting = margin_cells(cost)
    return f"{calls:>9} {moved:>10} {time:>8} {waiting:>8}"


def _place(frame: Frame) -> str:
    return f"{frame.function}  {'/'.join(frame.file.split('/')[-2:])}:{frame.line}"


def annotated(
    costs: Mapping[tuple[Frame, ...], Cost],
    *,
    file: str = "",
    cells: Mapping[str, int] | None = None,
    sources: Sources = _HERE,
    imports: Mapping[tuple[str, str], Cost] | None = None,
) -> list[Annotated]:
    """Return the texts of the user's own code, each line with what it made: cells, then modules, most time first.

    Args:
        costs: what each stack made.
        file: only files whose path ends so; else all cells, and where there is one the user's modules.
        cells: number of each cell by the name of its file.
        sources: where the texts are.
        imports: what imports made, by file and package: not what the lines of that file made.
    """
    total = sum(cost.time_ns for cost in costs.values())
    by_file: dict[str, dict[int, list[tuple[Frame, Cost]]]] = {}
    for stack, cost in costs.items():
        own = next((f for f in reversed(stack) if f.file.endswith(file)), NO_FRAME) if file else own_frame(stack)
        made_by = stack[-1] if stack else own
        if own.file in _TIMED and not file:
            own, timed = _timed(stack, own, sources), own
            made_by = own if made_by == timed else made_by
        if own.file and (file or not is_library(own.file)):
            lines = by_file.setdefault(own.file, {})
            if is_library(own.file) or not imported(stack):
                lines.setdefault(own.line, []).append((made_by, cost))
    if not (file or any(map(is_cell, by_file))):
        return []
    numbers = cells or {}

    def rank(path: str) -> tuple[bool, int]:
        return not is_cell(path), -sum(cost.time_ns for parts in by_file[path].values() for _, cost in parts)

    return [
        _annotated(
            path,
            sources.of(path),
            by_file[path],
            total,
            numbers.get(here(path), numbers.get(path)),
            by_package(imports or {}, path),
        )
        for path in sorted(by_file, key=rank)
        if file or by_file[path] or is_cell(path)
    ]


def _timed(stack: tuple[Frame, ...], own: Frame, sources: Sources) -> Frame:
    """Return the line of the cell that runs code by `%time` or the like, which call it the same in all cells.

    A function of such code may be another cell's: of `%%time` only what stands in no function is this one's for sure.
    """
    cell = next((frame for frame in reversed(stack) if is_cell(frame.file)), own)
    if own.file == _TIMEIT:
        return cell
    if own.function != "<module>":
        return own
    head = next(iter(sources.of(cell.file)), "")
    return cell._replace(line=own.line + 1) if head.split()[:1] == ["%%time"] else cell


def _annotated(
    path: str,
    source: tuple[str, ...],
    made: Mapping[int, Sequence[tuple[Frame, Cost]]],
    total: int,
    number: int | None,
    imports: Packages,
) -> Annotated:
    costs = {line: sum((cost for _, cost in parts), Cost()) for line, parts in made.items()}
    cell = is_cell(path)
    if cell and source:
        shown: Iterable[int] = range(1, len(source) + 1)
    elif source:
        shown = sorted({n for at in made for n in range(at - _AROUND, at + _AROUND + 1) if 1 <= n <= len(source)})
    else:
        shown = sorted(n for n in made if n)
    numbers = list(shown)
    lines = tuple(
        _Line(n, source[n - 1] if n <= len(source) else "", costs.get(n), _below(made.get(n, ()), path))
        for n in numbers
    )
    left = sum((cost for line, cost in costs.items() if line not in numbers), Cost())
    more: tuple[str, ...] = ()
    if left.calls:
        more += (f"{left.calls:,} more calls of lines that cannot be told",)
    if not source:
        more += ("its text cannot be found here",)
    title = f"cell {number}" if number is not None else "a cell" if cell else path
    return Annotated(title, lines, total, more, () if is_library(path) else imports)


def _below(parts: Iterable[tuple[Frame, Cost]], path: str) -> tuple[tuple[Frame, Cost], ...]:
    places: dict[Frame, Cost] = {}
    for frame, cost in parts:
        if frame.file != path:
            places[frame] = places.get(frame, Cost()) + cost
    return tuple(sorted(places.items(), key=lambda item: -item[1].time_ns)[:_BELOW])
