"""A notebook of a user who may trace nothing, in a real browser."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import Lab, Notebook, write_notebook
from tests.browser.test_first_notebook import shoot

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]

SEARCHES = "2"  # CAP_DAC_READ_SEARCH: this machine's Python may be where only root may look


@pytest.fixture
def kernel(lab: Lab) -> str:
    """The name of a kernel that runs as nobody, with no right that tracing takes, and may not trace itself."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a kernel as somebody else")
    place = Path(lab.folder, ".data", "kernels", "nobody")
    place.mkdir(parents=True, exist_ok=True)
    helper = Path(__file__).parents[1] / "live" / "fewer_rights.py"
    as_nobody = [sys.executable, str(helper), "65534", SEARCHES, "untraced"]
    argv = [*as_nobody, sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    home = {"HOME": "/nonexistent", "IPYTHONDIR": "/nonexistent"}
    spec = {"argv": argv, "display_name": "nobody", "language": "python", "env": home}
    (place / "kernel.json").write_text(json.dumps(spec))
    return "nobody"


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
