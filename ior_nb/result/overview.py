"""What a reader should see of a trace in two seconds: a sentence, when it happened, and which of his files it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ior_nb.result.crowd import Children
from ior_nb.result.pathcell import PATH_CELL, whole_path
from ior_nb.result.strip import Strip, drawn
from ior_nb.result.talks import Talk
from ior_nb.runtime.mine import LIBRARY, PIPE, SOCKET, SYSTEM
from ior_nb.runtime.text import HTML_FONT, escaped_html, middle_cut, printable, show_bytes, show_count, show_ns

__all__ = ["Line", "Overview", "grouped", "others"]

LINES: Final = 8
"""Lines of the user's own files at most."""
NAMED: Final = 1000
"""Names a sentence is made of at most."""
_MORE: Final = 4
"""So many lines more may be shown one by one."""
_NAMES: Final = 4
_SOCKETS, _PIPES, _LOOKED, _LIBRARIES = "sockets", "pipes", "looked", "libraries"
_CHILDREN: Final = "children"
_PEERS: Final = 2
LONGEST: Final = 48
"""Characters of a name in a sentence; the lines below it have it whole."""
_MOST_OF: Final = 0.7
"""Share of files that may stand for all of them."""
_LEAST_WAIT: Final = 0.01
"""Share of the time."""
_MOST: Final = 1 << 16
"""Files that are put together by folders; a summary need not know more of them apart."""


@dataclass(frozen=True, slots=True)
class Line:
    """One file, or the files of one folder, or of one sort."""

    name: str
    """A path as traced; of a folder with a slash behind it."""
    files: int
    calls: int
    read: int
    written: int
    folders: int = 1
    more: str = ""
    """What else is to be said of it."""
    sort: str = ""
    """Of lines that are none of the user's files: what they are, for whoever puts words together."""

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


def grouped(paths: Sequence[str], sums: np.ndarray, most: int = LINES) -> tuple[Line, ...]:
    """Return files as lines, most bytes first: many in one folder are one line, and many folders one above them.

    Args:
        paths: of the files.
        sums: calls, bytes read and bytes written of each, shape (3, n).
        most: lines at most; more than that only where folders have nothing in common.
    """
    paths, sums = paths[:_MOST], sums[:, :_MOST]
    members: dict[str, list[int]] = {}
    for number, path in enumerate(paths):
        members.setdefault(path.rpartition("/")[0], []).append(number)
    folders = dict.fromkeys(members, 1)
    while sum(1 if name else len(found) for name, found in members.items()) > most:
        deepest = max(name.count("/") for name in members)
        if deepest < 2:
            break
        joined: dict[str, list[int]] = {}
        counts: dict[str, int] = {}
        for name, found in members.items():
            above = name.rpartition("/")[0] if name.count("/") == deepest else name
            joined.setdefault(above, []).extend(found)
            counts[above] = counts.get(above, 0) + folders[name]
        members, folders = joined, counts
    room = most - len(members)
    lines = []
    for name, found in sorted(members.items(), key=lambda item: len(item[1])):
        if not name or len(found) - 1 <= room:  # names without a folder have nothing in common
            room -= len(found) - 1
            lines += [_line(paths[i], 1, sums[:, i]) for i in found]
        else:
            lines.append(_line(f"{name}/", len(found), sums[:, found].sum(axis=1), folders=folders[name]))
    lines.sort(key=lambda line: (-line.moved, -line.calls, line.name))
    if len(lines) > most + _MORE:
        rest = lines[most:]
        count = sum(line.files for line in rest)
        total = np.array([[line.calls, line.read, line.written] for line in rest]).sum(axis=0)
        lines[most:] = [_line(f"{count:,} more files", count, total, sort="more")]
    return tuple(lines)


def _line(name: str, files: int, sums: np.ndarray, *, folders: int = 1, sort: str = "") -> Line:
    calls, read, written = sums.tolist()
    return Line(name, files, calls, read, written, folders=folders, sort=sort)


def others(kinds: np.ndarray, looked: np.ndarray, sums: np.ndarray) -> tuple[Line, ...]:
    """Return a line each for sockets, pipes, names that were only looked at, and libraries and the system.

    Args:
        kinds: of `runtime.mine`, of each file.
        looked: which of the user's own were only looked at.
        sums: calls, bytes read and bytes written of each, shape (3, n).
    """
    lines = []
    for sort, found, one, many in (
        (_SOCKETS, kinds == SOCKET, "socket", "sockets"),
        (_PIPES, kinds == PIPE, "pipe, timer or event", "pipes, timers, events"),
        (_LOOKED, looked, "name only looked at", "names only looked at"),
        (
            _LIBRARIES,
            np.isin(kinds, (LIBRARY, SYSTEM)),
            "file of libraries and the system",
            "files of libraries and the system",
        ),
    ):
        if count := int(found.sum()):
            name = show_count(count, one, many)
            lines.append(_line(name, count, sums[:, found].sum(axis=1), sort=sort))
    return tuple(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it."""

    strip: Strip
    lines: tuple[Line, ...]
    """The user's own files."""
    others: tuple[Line, ...]
    children: Children
    talks: Sequence[Talk] = ()
    """Whom sockets talked with, most bytes first."""
    used: Sequence[str] = ()
    """Paths of own files, the first `NAMED`."""
    files_used: int = 0
    read: Sequence[str] = ()
    """Of those that were read."""
    files_read: int = 0
    bytes_read: int = 0
    written: Sequence[str] = ()
    files_written: int = 0
    bytes_written: int = 0
    looked: Sequence[str] = ()
    """Of own names that were only looked at."""
    files_looked: int = 0
    system: Sequence[str] = ()
    """Of files of the system that were read."""
    bytes_system: int = 0
    missing: Sequence[str] = ()
    """Of own files that were not there."""
    files_missing: int = 0
    failed: int = 0
    """Calls that failed otherwise, but for those on libraries, and on the system where there are own files."""
    failures: Sequence[tuple[str, str]] = ()
    """Which those are, the commonest first: system call, error."""
    synced: int = 0
    """Times mapped memory was written back: its bytes are no calls'."""
    home: str = field(default="", compare=False)
    """The folder that names are shown relative to; empty for none."""

    def name(self, path: str) -> str:
        """Return a path as a user in his folder says it."""
        if not self.home or self.home == "/":
            return path
        if path.rstrip("/") == self.home:
            return "./"
        return path.removeprefix(f"{self.home}/") if path.startswith(f"{self.home}/") else path

    def _said(self, path: str) -> str:
        return middle_cut(self.name(path), LONGEST)

    def sentence(self) -> str:
        """Return what a user would say; the text is raw."""
        parts = []
        amounts = show_bytes(self.bytes_read), show_bytes(self.bytes_written)
        if self.files_read and self.read == self.written and self.files_read == self.files_written:
            both = self._some(self.read, self.files_read)
            parts.append(f"read and wrote {both} ({amounts[0]} read, {amounts[1]} written)")
        else:
            for verb, paths, count, amount in (
                ("read", self.read, self.files_read, amounts[0]),
                ("wrote", self.written, self.files_written, amounts[1]),
            ):
                if count:
                    parts.append(f"{verb} {self._some(paths, count)} ({amount})")
        if self.files_used and not parts:
            parts.append(f"used {self._some(self.used, self.files_used)}, no bytes moved")
        if self.talks:
            more = f" and {len(self.talks) - _PEERS:,} more" if len(self.talks) > _PEERS else ""
            parts.append(f"talked to {_listed([talk.words() for talk in self.talks[:_PEERS]])}{more}")
        for line in self.others:
            if line.sort == _SOCKETS and line.moved and not self.talks:
                moved = f"{show_bytes(line.written)} sent, {show_bytes(line.read)} received"
                parts.append(f"{line.name} ({moved})")
        if self.children.count:
            parts.append(show_count(self.children.count, "child process", "child processes"))
        libraries = sum(line.read for line in self.others if line.sort == _LIBRARIES)
        if not self.files_used and 0 < len(self.system) <= _NAMES and 2 * self.bytes_system >= libraries:
            parts.insert(
                0, f"read {_listed([self._said(path) for path in self.system])} ({show_bytes(self.bytes_system)})"
            )
        troubles = []
        if self.files_missing == 1:
            troubles.append(f"{self._said(self.missing[0])} was missing")
        elif self.files_missing:
            few = self.files_missing <= _NAMES
            what = _listed([self._said(path) for path in self.missing]) if few else f"{self.files_missing:,} names"
            troubles.append(f"{what} were missing")
        if self.failed:
            ways = ", ".join(f"{call} {error}" for call, error in self.failures[:2])
            troubles.append(f"{show_count(self.failed, 'call')} failed" + (f" ({ways})" if ways else ""))
        if not parts and troubles and not libraries:
            return ", ".join(troubles)
        if not parts and self.files_looked and not libraries:
            parts.append(f"looked at {self._some(self.looked, self.files_looked)}")
        if not parts:
            parts.append("no files of your own")
            read = f" ({show_bytes(libraries)} read)" if libraries else ""
            parts += [f"{line.name}{read}" for line in self.others if line.sort == _LIBRARIES]
        said = ", ".join(parts)
        return f"{said}; {', '.join(troubles)}" if troubles else said

    def _some(self, paths: Sequence[str], count: int) -> str:
        """Return files in words: few by their names, many by their folder."""
        if count <= _NAMES:
            return _listed([self._said(path) for path in paths])
        folders = Counter(path.rpartition("/")[0] for path in paths)
        folder, inside = folders.most_common(1)[0]
        if inside == len(paths):
            return f"{count:,} files{self._within(folder)}"
        left = count - inside
        if inside >= _MOST_OF * count:
            last = next(path for path in paths if path.rpartition("/")[0] != folder)
            more = self._said(last) if left == 1 else f"{left:,} more"
            return f"{inside:,} files{self._within(folder)} and {more}"
        shared = _common(list(folders))
        if shared and (not self.home or shared.startswith(f"{self.home}/")):
            return f"{count:,} files{self._within(shared, 'under')}"
        return f"{self._said(paths[0])} and {count - 1:,} more"

    def _within(self, folder: str, word: str = "in") -> str:
        if folder in ("", self.home):
            return ""
        return f" {word} {self._said(folder)}"

    # ---- as text

    def text(self, took_ns: float, width: int) -> Iterator[str]:
        """Yield lines no wider than `width`, safe on a terminal."""
        rows = list(self._strips(took_ns))
        if rows:
            yield ""
            for name, values, top, most in rows:
                yield f"  {name:>7} ▏{self.strip.line(values, top)}▕ {most}"
            yield f"          0{show_ns(took_ns).rjust(len(self.strip.calls))}"
        if self.lines:
            yield ""
            yield f"  {'':12} {'read':>10} {'written':>10} {'calls':>8}  my files"
            most_moved = max(line.moved for line in self.lines)
            for line in self.lines:
                yield self._text_line(line, line.moved / most_moved if most_moved else 0, width)
        rest = [*self._rest()]
        if rest:
            yield ""
            for line in rest:
                yield self._text_line(line, 0, width)

    def _text_line(self, line: Line, share: float, width: int) -> str:
        bar = "█" * int(share * 12) + ("▌" if share * 12 % 1 >= 0.5 or 0 < share < 1 / 12 else "")
        numbers = f"  {bar:12} {_some_bytes(line.read):>10} {_some_bytes(line.written):>10} {line.calls:>8,}  "
        more = f"  {line.more}" if line.more else ""
        count = self._count(line)
        shown = middle_cut(printable(self.name(line.name)), max(16, width - len(numbers) - len(count) - len(more)))
        return f"{numbers}{shown}{count}{printable(more)}"

    def _count(self, line: Line) -> str:
        if line.files == 1 or line.sort:
            return ""
        inside = f" in {line.folders:,} folders" if line.folders > 1 else ""
        return f"  {line.files:,} files{inside}"

    def _rest(self) -> Iterator[Line]:
        if self.children.count:
            names = self.children.names[:_NAMES]
            more = ", ".join(f"{name} {count:,}" if count > 1 else name for name, count in names)
            more += f" and {len(self.children.names) - _NAMES:,} more" if len(self.children.names) > _NAMES else ""
            word = show_count(self.children.count, "child process", "child processes")
            yield Line(
                word,
                1,
                self.children.calls,
                self.children.bytes_read,
                self.children.bytes_written,
                more=f"({more})",
                sort=_CHILDREN,
            )
        yield from self.others

    def _strips(self, took_ns: float) -> Iterator[tuple[str, np.ndarray, float, str]]:
        """Yield name, values, what the full height means, and a word on the whole."""
        strip = self.strip
        moved = strip.read + strip.written
        for name, values, show in (("calls", strip.calls, lambda n: f"{n:,}"), ("bytes", moved, show_bytes)):
            if values.any():
                yield name, values, float(values.max()), show(int(values.sum()))
        if strip.waiting.sum() > _LEAST_WAIT * took_ns:
            yield "waiting", strip.waiting, float(strip.waiting.max()), show_ns(int(strip.waiting.sum()))

    # ---- as HTML

    def html(self, took_ns: float) -> str:
        """Return a part of a page, light or dark; every traced string is escaped."""
        return f"{self._html_strips(took_ns)}{self._html_lines()}"

    def _html_strips(self, took_ns: float) -> str:
        rows = []
        for name, values, top, most in self._strips(took_ns):
            pictures = {
                "calls": [(values, "currentColor", 0.45), (self.strip.errors, "#d64550", 1.0)],
                "bytes": [(self.strip.read, _READ, 1.0), (self.strip.written, _WRITTEN, 1.0)],
                "waiting": [(values, _WAITING, 0.8)],
            }[name]
            picture = drawn(pictures, top, name)
            rows.append(
                f'{_ROW}<td style="{_CELL}{_QUIET}text-align:left">{name}</td>'
                f'<td style="{_CELL}width:99%">{picture}</td>'
                f'<td style="{_CELL}text-align:right">{most}</td></tr>'
            )
        if not rows:
            return ""
        ends = f'<span style="float:right">{show_ns(took_ns)}</span>0'
        empty = f'<td style="{_CELL}"></td>'
        return (
            f'<table style="{_TABLE}width:100%;max-width:720px;margin:6px 0 2px">{"".join(rows)}'
            f'{_ROW}{empty}<td style="{_CELL}{_QUIET}font-size:11px;text-align:left">{ends}</td>{empty}</tr></table>'
        )

    def _html_lines(self) -> str:
        rest = [*self._rest()]
        if not self.lines and not rest:
            return ""
        heads = ("read", "written", "calls")
        head = "".join(f'<th style="{_CELL}{_QUIET}font-weight:normal;text-align:right">{name}</th>' for name in heads)
        most = max((line.moved for line in self.lines), default=0)
        mine = "my files" if self.lines else ""
        left = f'<th style="{_CELL}{_QUIET}font-weight:normal;text-align:left">{mine}</th>'
        rows = [
            f'{_ROW}<th style="{_CELL}"></th>{left}{head}</tr>',
            *(self._html_line(line, most, "") for line in self.lines),
            *(self._html_line(line, 0, "opacity:.65;") for line in rest),
        ]
        return f'<table style="{_TABLE}width:100%;max-width:720px;margin:2px 0 4px">{"".join(rows)}</table>'

    def _html_line(self, line: Line, most: int, look: str) -> str:
        bar = "".join(
            f'<span style="display:inline-block;height:9px;width:{max(1, round(_BAR * value / most))}px;'
            f'background:{color}"></span>'
            for value, color in ((line.read, _READ), (line.written, _WRITTEN))
            if most and value
        )
        numbers = (_some_bytes(line.read), _some_bytes(line.written), f"{line.calls:,}")
        cells = "".join(f'<td style="{_CELL}{look}text-align:right">{n}</td>' for n in numbers)
        said = f"{self._count(line)}{f'  {line.more}' if line.more else ''}".strip()
        note = f'<span style="opacity:.65">&ensp;{escaped_html(said)}</span>' if said else ""
        tip = line.name if line.name.startswith("/") else ""
        path = escaped_html(line.name) if line.sort else whole_path(self.name(line.name), tip, room=len(said))
        return (
            f'{_ROW}<td style="{_CELL}min-width:{_BAR}px;line-height:1;text-align:left">{bar}</td>'
            f'<td style="{_CELL}{PATH_CELL}{look}">{path}{note}</td>{cells}</tr>'
        )


_READ, _WRITTEN, _WAITING = "#3b7dc4", "#e08a2e", "#8e63b8"
_TABLE: Final = (
    f"{HTML_FONT}font-variant-numeric:tabular-nums;color:inherit;border-collapse:collapse;table-layout:auto;"
)
_CELL: Final = "padding:1px 10px 1px 0;border:0;background:transparent;white-space:nowrap;"
_ROW: Final = '<tr style="background:transparent">'  # Jupyter's own tables have stripes
_QUIET: Final = "opacity:.6;"
_BAR: Final = 48


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _common(folders: Sequence[str]) -> str:
    """Return the folder that all of these are in; empty for none."""
    parts = [folder.split("/") for folder in folders]
    same = 0
    for at in zip(*parts, strict=False):
        if len(set(at)) > 1:
            break
        same += 1
    return "/".join(parts[0][:same])


def _some_bytes(count: int) -> str:
    return show_bytes(count) if count else "·"
