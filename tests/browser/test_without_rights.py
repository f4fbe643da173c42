"""A notebook of a user who may trace nothing, in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import ROOT, Lab, Notebook, write_notebook
from tests.browser.test_first_notebook import shoot
from tests.nobody import write_kernel

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def kernel(lab: Lab) -> str:
    """The name of a kernel that runs as nobody, with no right that tracing takes, and may not trace itself."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a kernel as somebody else")
    return write_kernel(lab.folder / ".data", HOME="/nonexistent", IPYTHONDIR="/nonexistent")


def test_a_cell_shows_what_the_host_counts(lab: Lab, context: BrowserContext, kernel: str, tmp_path: Path) -> None:
    """Labelled so, with the reason, the amounts and the user's file; nothing says that calls were seen."""
    tmp_path.chmod(0o755)
    (tmp_path / "data.csv").write_bytes(bytes(1 << 20))
    path = write_notebook(
        lab.folder / "nobody.ipynb",
        "%load_ext ior_nb",
        f"%%ior\nfor _ in range(3):\n    open({str(tmp_path / 'data.csv')!r}, 'rb').read()",
        "%%ior --engine bcc\n1",
        kernel=kernel,
    )
    notebook = Notebook(context, lab, path)
    for index in range(3):
        notebook.run(index)
    shown = notebook.cell(1).locator(".jp-OutputArea-output").first
    shown.scroll_into_view_if_needed()
    shoot(notebook, "counters-only")

    said = shown.inner_text()
    assert "counters only" in said
    assert "nothing can be traced here" in said
    assert shown.locator("td", has_text="data.csv").count() == 1
    assert "calls seen" not in said
    assert "lacks CAP_BPF" in notebook.cell(2).inner_text()


WAYS = {
    "serve": ("serve, for bcc cannot (", "complete: "),
    "strace": ("strace, for bcc cannot (", "complete: "),
    "counters": ("nothing can be traced here", "counters only"),
}
"""What the first trace says of its way, and the last cell of where the calls went."""


@pytest.mark.parametrize("way", WAYS)
def test_the_first_notebook_as_an_ordinary_user(way: str, lab: Lab, context: BrowserContext, served: str) -> None:
    """Run All works with what there is: each says which way it was and why, and all cells have their results."""
    environ = {"HOME": "/nonexistent", "IPYTHONDIR": "/nonexistent", "IOR_NB_REPLAY": ""}
    environ["IOR_NB_SOCKET"] = served if way == "serve" else "/nonexistent"
    name = write_kernel(lab.folder / ".data", way, untraced=way == "counters", **environ)
    path = lab.folder / f"first-{way}.ipynb"
    book = nbformat.read(ROOT / "notebooks" / "01-first-trace.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    book.metadata.kernelspec = {"name": name, "display_name": name, "language": "python"}
    nbformat.write(book, path)  # type: ignore[no-untyped-call]
    notebook = Notebook(context, lab, path)
    notebook.command("notebook:clear-all-cell-outputs")
    notebook.command("notebook:run-all-cells")
    first, last = WAYS[way]

    # Each while it is in sight: what is not has no text.
    for index, name, texts in ((1, f"first-{way}", (first, "numbers.csv")), (4, f"first-{way}-end", (last,))):
        shown = notebook.cell(index).locator(".jp-OutputArea")
        shown.scroll_into_view_if_needed()
        shoot(notebook, name)
        for text in texts:
            expect(shown).to_contain_text(text)
    assert notebook.page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
