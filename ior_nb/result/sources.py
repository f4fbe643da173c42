"""The text of lines: of the notebook's cells, of cells that a recording brought along, of files that are unchanged."""

from __future__ import annotations

import ast
import json
import linecache
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ior_nb.runtime.completeness import is_map, json_of
from ior_nb.runtime.stacks import CELLS, is_cell

__all__ = ["Sources", "here", "recorded"]

_MOST: Final = 1 << 20
"""Characters of all cells in a footer."""
_MARKED: Final = re.compile(r"# (%%ior.*)")
"""What stands for `%%ior OPTIONS` in the text of a cell that runs; see `commands.magics`."""
_TEXT: Final = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_CALLED: Final = re.compile(rf"(\s*|[^'\"#]*= ?)get_ipython\(\)\.(\w+)\(({_TEXT}(?:, {_TEXT})*)\)\s*")
"""What IPython makes of a magic, or of a command for the shell."""


def here(file: str) -> str:
    """Return what a file is called here: the code of a cell is named by its text, in a folder of each kernel's own."""
    name = file.rpartition("/")[2]
    if file in linecache.cache or not is_cell(file):
        return file
    return next((known for known in list(linecache.cache) if known.endswith(f"/{name}") and is_cell(known)), file)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a trace's lines have their text from."""

    texts: Mapping[str, str] = field(default_factory=dict)
    """Of cells, by file, as a recording has them."""
    until_ns: int = 0
    """Files that were written later than that (wall clock) are others by now; 0 for a trace of now."""
    host: str = ""
    """Name of the machine the files are on, where it may be another one."""

    def of(self, file: str) -> tuple[str, ...]:
        """Return the lines of a file or a cell; none where they cannot be found, or may be others."""
        if file in self.texts:
            return _shown(self.texts[file].splitlines())
        if not file or not (is_cell(file) or self._is_unchanged(file)):
            return ()
        if not is_cell(file):
            linecache.checkcache(file)  # it keeps what was there when somebody asked first
        try:
            lines = [line.rstrip("\n") for line in linecache.getlines(here(file))]
        except (OSError, ValueError, MemoryError):
            return ()
        return _shown(lines) if is_cell(file) else tuple(lines)

    def line(self, file: str, number: int) -> str:
        """Return the text of a line without its indentation; empty where it cannot be found."""
        lines = self.of(file)
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""

    def pairs(self, files: Iterable[str], numbers: Mapping[str, int]) -> dict[str, str]:
        """Return what a footer says of the cells among these files; nothing without any.

        Args:
            files: the names of code.
            numbers: of cells, as this notebook has them.
        """
        found: dict[str, dict[str, str | int]] = {}
        room = _MOST
        for file in dict.fromkeys(filter(is_cell, files)):
            text = "\n".join(self.of(file))
            room -= len(text)
            if text and room >= 0:
                number = numbers.get(here(file))
                found[file] = {"text": text} if number is None else {"text": text, "number": number}
        return {CELLS: json.dumps(found)} if found else {}

    def _is_unchanged(self, file: str) -> bool:
        if self.host and self.host != platform.node():
            return False
        try:
            return not self.until_ns or Path(file).stat().st_mtime_ns <= self.until_ns
        except (OSError, ValueError):
            return True  # it is no file: text that somebody has put where lines are looked up


def _shown(lines: list[str]) -> tuple[str, ...]:
    """Return the lines of a cell as they were written."""
    if lines and (marked := _MARKED.fullmatch(lines[0])) is not None:
        lines[0] = marked[1]
    shown = [_written(line) for line in lines]
    return tuple(shown[0].splitlines() if len(shown) == 1 else shown)


def _written(line: str) -> str:
    """Return a magic, or a command for the shell, as it was written; a magic of a whole cell as all of its lines."""
    if "get_ipython()" not in line or (called := _CALLED.fullmatch(line)) is None:
        return line
    before, way = called[1], called[2]
    try:
        match way, ast.literal_eval(f"({called[3]},)"):
            case "system", (command,):
                return f"{before}!{command}"
            case "getoutput", (command,):
                return f"{before}!{command}" if before.strip() else f"{before}!!{command}"
            case "run_line_magic", (name, rest):
                return f"{before}%{name} {rest}".rstrip()
            case "run_cell_magic", (name, rest, body) if not before:
                return f"{f'%%{name} {rest}'.rstrip()}\n{body}"
    except (ValueError, SyntaxError):  # a text may be anybody's
        pass
    return line


def recorded(footer: Mapping[str, str]) -> tuple[dict[str, str], dict[str, int]]:
    """Return texts and numbers of the cells in a footer, by file; anybody may have written it."""
    found = json_of(footer, CELLS)
    cells = {file: cell for file, cell in found.items() if is_map(cell)} if is_map(found) else {}
    texts = {file: cell["text"] for file, cell in cells.items() if isinstance(cell.get("text"), str) and is_cell(file)}
    numbers = {file: cell["number"] for file, cell in cells.items() if type(cell.get("number")) is int}
    return texts, {file: number for file, number in numbers.items() if file in texts}
