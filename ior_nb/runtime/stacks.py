r"""Python stacks as text: how the column `stack` is written and read, and which of its frames is the user's own.

A stack is its frames from the outermost to the innermost, joined by `;`, each as `function (file:line)`. Names are
those of the traced program and can hold anything: a backslash, a `;` and, in a function's, a `(` are written as
escapes, so that no name can forge a frame. A stack that was longer than what is kept begins with `…`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

__all__ = [
    "CELLS",
    "CUT",
    "IMPORTS",
    "NO_FRAME",
    "Frame",
    "cell_files",
    "imported",
    "is_cell",
    "is_import",
    "is_library",
    "is_machinery",
    "own_frame",
    "parsed",
    "place_of",
    "written",
]

CELLS: Final = "ior_nb.cells"
"""Key of a recording's footer: JSON, by the name that the code of a cell has for a file, its "text" and "number"."""
CUT: Final = "…"
"""Stands for the outer frames that are not there."""

_OURS: Final = str(Path(__file__).resolve().parents[1]) + "/"
_LIBRARY: Final = re.compile(
    r"""/(?:site|dist)-packages/            # installed
      | /lib(?:64)?/python3\.\d+t?/         # of the standard library
      | /python3\d+t?\.zip/
      | ^<(?:frozen|__array_function__|attrs\ generated|decorator-gen)""",
    re.VERBOSE,
)
_MADE: Final = "__create_fn__."  # what dataclasses write for a class: in "<string>", as what a user has run from a text
_NOTEBOOK: Final = re.compile(r"/(?:site|dist)-packages/(?:IPython|ipykernel)/")
_IMPORTING: Final = re.compile(r"^<frozen (?:importlib\b|zipimport|site)")
_CELL: Final = re.compile(r"/ipykernel_\d+/\d+\.py$|^<ipython-input-")
_ESCAPED: Final = re.compile(r"\\(\\|x3b|x28)")
_MEANT: Final = {"\\": "\\", "x3b": ";", "x28": "("}


class Frame(NamedTuple):
    """One function that runs."""

    function: str
    """Its qualified name."""
    file: str
    line: int
    """0 where it has none."""


NO_FRAME: Final = Frame("", "", 0)
IMPORTS: Final = Frame("(imports)", "", 0)
"""Stands for all calls that are the cost of imports: they are no line's own."""


def written(frames: Iterable[Frame], *, cut: bool = False) -> str:
    """Return a stack as text.

    Args:
        frames: the outermost first.
        cut: there are more further out.
    """
    return ";".join([*([CUT] if cut else []), *map(_written, frames)])


def _written(frame: Frame) -> str:
    function = frame.function.replace("\\", "\\\\").replace(";", "\\x3b").replace("(", "\\x28")
    file = frame.file.replace("\\", "\\\\").replace(";", "\\x3b")
    return f"{function} ({file}:{frame.line})"


def place_of(frame: Frame) -> str:
    """Return the line of a frame with its file, `file:line`; nothing where there is no file."""
    return f"{frame.file}:{frame.line}" if frame.file else ""


@functools.lru_cache(1 << 14)
def parsed(text: str) -> tuple[Frame, ...]:
    """Return the frames of a stack, the outermost first. What is no frame of `written` is a function without a file."""
    return tuple(_parsed(part) for part in text.split(";")) if text else ()


def _parsed(part: str) -> Frame:
    function, bracket, rest = part.partition(" (")
    file, colon, line = rest.rpartition(":")
    if not bracket or not colon or not line.endswith(")") or not line[:-1].isdecimal():
        return Frame(_plain(part), "", 0)
    return Frame(_plain(function), _plain(file), int(line[:-1]))


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda match: _MEANT[match[1]], text)


@functools.lru_cache(1 << 14)
def is_library(file: str) -> bool:
    """Tell whether code of that file is not the user's own: the standard library's, installed, or ours."""
    return _LIBRARY.search(file) is not None or file.startswith(_OURS)


def is_cell(file: str) -> bool:
    """Tell whether a file name is that of a notebook's cell."""
    return _CELL.search(file) is not None


def cell_files(shell: object) -> Mapping[str, int]:
    """Return the number of each cell of an IPython shell by the name its code has for a file."""
    known = getattr(getattr(shell, "compile", None), "_filename_map", None)  # IPython 8 and later
    return known if isinstance(known, dict) else {}


def own_frame(frames: Iterable[Frame]) -> Frame:
    """Return the innermost frame of the user's own code; where there is none, the innermost that has a file.

    Args:
        frames: the outermost first.
    """
    innermost = NO_FRAME
    for frame in reversed(tuple(frames)):
        if frame.file and not is_library(frame.file) and not frame.function.startswith(_MADE):
            return frame
        if innermost is NO_FRAME and frame.file:
            innermost = frame
    return innermost


def is_machinery(frames: Sequence[Frame], *, cut: bool) -> bool:
    """Tell whether a call of the process that traces is not the user's work.

    The tracer's code makes it itself, or the notebook's does, and none of the user's is among those that called it.

    Args:
        frames: the outermost first.
        cut: there are more further out.
    """
    innermost = frames[-1].file if frames else ""
    if innermost.startswith(_OURS):
        return True
    return not cut and bool(_NOTEBOOK.search(innermost)) and all(is_library(frame.file) for frame in frames)


def imported(frames: Sequence[Frame]) -> bool:
    """Tell whether a call is the cost of an import: made by what imports, or by a package that is being imported.

    What a module of the user's own does while it is imported is the user's own.

    Args:
        frames: the outermost first.
    """
    for frame in reversed(frames):
        if _IMPORTING.search(frame.file):
            return True
        if frame.file and not is_library(frame.file):
            return False
    return False


def is_import(text: str) -> bool:
    """Tell the same of a stack as text."""
    return "<frozen " in text and imported(parsed(text))
