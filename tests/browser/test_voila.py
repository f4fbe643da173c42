"""Voilà: the dashboard of a notebook as a page of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import ROOT

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def voila(tmp_path: Path) -> Iterator[str]:
    """Serve the second notebook; gives the address."""
    shutil.copy(ROOT / "notebooks" / "02-live-dashboard.ipynb", tmp_path / "live.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with (tmp_path / "voila.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "voila", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1", "live.ipynb"],
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ
            | {"JUPYTER_RUNTIME_DIR": str(tmp_path / "run"), "JUPYTER_CONFIG_DIR": str(tmp_path / "cfg")},
            start_new_session=True,
        )
        try:
            for _ in range(300):
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=1):
                        break
                except OSError:
                    assert server.poll() is None, (tmp_path / "voila.log").read_text()
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(15)


def test_the_dashboard_is_a_page_of_its_own(voila: str, context: BrowserContext) -> None:
    """Voilà runs the notebook and shows the live dashboard, without its static picture beside it."""
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(voila, timeout=60_000, wait_until="domcontentloaded")
    page.wait_for_selector(".ov-value", timeout=60_000)
    assert page.locator(".bar-title").inner_text().startswith("traced")
    assert int(page.locator(".ov-value").first.inner_text().replace(",", "")) > 1000
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".bar-title:has-text('tracing')")
    assert page.locator(".ior-still").evaluate_all("nodes => nodes.filter(n => n.offsetParent !== null).length") == 0
    ours = [url for url in asked if not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))]
    assert [url for url in ours if "awesome" not in url] == []  # Voilà's own template asks for its icons
