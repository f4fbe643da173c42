"""Browser tests leave nothing to those after them."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Error

from tests.browser.conftest import Lab, Notebook, tidy, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_a_test_that_fails_in_its_start_leaves_no_page_and_no_kernel(lab: Lab, context: BrowserContext) -> None:
    """Whatever was opened before the failure is closed, the page and the kernel behind it."""
    before = len(context.pages), lab.sessions()
    path = write_notebook(lab.folder / "failing.ipynb", "1 / 0")
    during = []

    def fail() -> None:
        notebook = Notebook(context, lab, path)
        during.append((len(context.pages), len(lab.sessions())))
        notebook.page.wait_for_selector(".there-is-no-such-thing", timeout=100)

    with pytest.raises(Error), tidy(lab, context):
        fail()

    assert during == [(before[0] + 1, len(before[1]) + 1)]
    assert (len(context.pages), lab.sessions()) == before
