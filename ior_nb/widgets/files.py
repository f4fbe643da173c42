"""Files: one row for each file, or for each directory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import numpy as np
import traitlets

from ior_nb.runtime import FileRow, LiveRuntime, PageState, Snapshot
from ior_nb.runtime.mine import MINE, kind_of
from ior_nb.runtime.text import middle_cut
from ior_nb.widgets.page import packed, script, style
from ior_nb.widgets.plotlyjs import bundle_name
from ior_nb.widgets.table import ACTIVITY, TablePanel, activity_cells, fitted, numbers, section

__all__ = ["FilesPanel"]

_DIRECTORY: Final = {**ACTIVITY, "files": "files", "folded": "folded"}
_FILE: Final = {**ACTIVITY, "folded": "folded"}
_PAGES: Final = {name: name for name in ("cached", "dirtied", "written", "pending", "never")}
_ASKED: Final = 64
"""Files whose pages are asked about each time."""
_kind_of: Final = lru_cache(4096)(kind_of)


class FilesPanel(TablePanel):
    """Files and directories."""

    name = "files"
    dimensions = {"file": str}  # noqa: RUF012 - never changed
    _esm = script("files.js")
    _css = style("table.css")
    plotly = traitlets.Unicode("").tag(sync=True)

    def __init__(self, runtime: LiveRuntime) -> None:
        super().__init__(runtime, plotly=bundle_name())

    def sections(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return files and directories; a path is cut behind its last slash, so that its front is sent once."""
        heads: dict[str, int] = {}

        def file_size(row: FileRow) -> int:
            head, tail = _cut(row.path)
            new = head not in heads
            heads.setdefault(head, len(heads))
            return _bytes(tail) + (_bytes(head) if new else 0)

        files = fitted(snapshot.files, _FILE, file_size, {"path": "(other)"})
        directories = fitted(
            snapshot.directories, _DIRECTORY, lambda row: _bytes(row.directory), {"directory": "(other)"}
        )
        pages = self._pages(files)
        parts = [_cut(row.path) for row in files]
        heads = {head: at for at, head in enumerate(dict.fromkeys(head for head, _ in parts))}
        return {
            "files": packed(
                {
                    **section(files, _FILE),
                    "head": np.array([heads[head] for head, _ in parts], np.int32),
                    "tail": [tail for _, tail in parts],
                }
            ),
            "heads": packed({"text": list(heads)}),
            "pages": packed({"row": np.array(list(pages), np.int32), **numbers([*pages.values()], _PAGES)}),
            "directories": packed(
                {**section(directories, _DIRECTORY), "directory": [row.directory for row in directories]}
            ),
        }

    def _pages(self, files: Sequence[FileRow]) -> dict[int, PageState]:
        """Return what is known of the pages of the first of the user's own files, by their row."""
        own = (at for at, row in enumerate(files) if not row.special and _kind_of(row.path) == MINE)
        asked = {at: files[at].path for at in islice(own, _ASKED)}
        found = self.runtime.control.pages(list(asked.values()))
        return {at: found[path] for at, path in asked.items() if path in found}

    def still_rows(self, snapshot: Snapshot) -> tuple[list[str], list[list[str]]]:
        """Return the files."""
        rows = [[middle_cut(row.path, 60), *activity_cells(row)] for row in snapshot.files]
        return ["file", "accesses", "read", "written", "mean latency", "errors"], rows


def _cut(path: str) -> tuple[str, str]:
    at = path.rfind("/") + 1
    return path[:at], path[at:]


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace")) + 1
