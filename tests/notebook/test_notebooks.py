from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_clean(path: Path) -> None:
    """Every notebook runs from top to bottom, and its traces are complete."""
    notebook = read(path)
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]

    assert not [o for o in outputs if o.output_type == "error"]
    assert "INCOMPLETE" not in str(outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_saved_with_its_outputs(path: Path) -> None:
    """A reader on a page that runs nothing sees the results: every code cell was run, none failed."""
    cells = [c for c in read(path).cells if c.cell_type == "code"]

    assert all(c.execution_count for c in cells)
    assert any("text/html" in o.get("data", {}) for c in cells for o in c.outputs)
