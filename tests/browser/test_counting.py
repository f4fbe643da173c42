"""A recording that takes long to count, in a real page."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import Lab, Notebook, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_a_recording_is_counted_until_the_user_stops_it(lab: Lab, context: BrowserContext) -> None:
    """A bar says how far the counting is; its button ends that, which the page says, and has it go on."""
    path = write_notebook(
        lab.folder / "counting.ipynb",
        "import numpy, os, tempfile, ior_nb\n"
        "from ior_nb.export.arrow import columns\n"
        "from ior_nb.runtime import EventBatch, new_tables\n"
        "from ior_nb.session import past\n"
        "from ior_nb.sinks.parquet import Recorder\n"
        "past._AT_ONCE = past._A_TICK = 0\n"  # a row group a look
        "recorder = Recorder(columns, group_rows=10)\n"
        "recorder.start(os.path.join(tempfile.mkdtemp(), 'x.parquet'), block=True)\n"
        "recorder.record(EventBatch({'seq': numpy.arange(4_000)}, new_tables()))\n"
        "t = ior_nb.load(recorder.stop())",
        "ior_nb.dashboard(t)",
    )
    expect.set_options(timeout=20_000)
    notebook = Notebook(context, lab, path)
    notebook.run(0)
    notebook.run(1)
    view = notebook.cell(1)
    line = view.locator(".bar-counting")

    expect(line).to_contain_text("of 4,000 rows")
    expect(line).to_contain_text("s left")
    line.locator("button", has_text="Stop counting").click()
    expect(line).to_contain_text("stopped, so that the panels show a part")
    line.locator("button", has_text="Count on").click()
    expect(line).to_contain_text("s left")
