"""A real JupyterLab in a real browser. Only loopback is reachable: what else a page asks for is noted and refused."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest
from playwright.sync_api import BrowserContext, sync_playwright

ROOT: Final = Path(__file__).resolve().parents[2]
FLAGS: Final = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
NO_NEWS: Final = '{"fetchNews": "false", "checkForUpdates": false}'


# Jupyter handles a page's messages in another way in each: 6.31 after the cell, 7.1 in a thread of its own, the newest
# after the cell again. scripts/setup puts the older ones beside the environment's own.
KERNELS: Final = ("python3", "ipykernel-6.31", "ipykernel-7.1")


def write_kernels(folder: Path) -> None:
    """Offer the older kernels to a server whose JUPYTER_PATH is the folder."""
    for name in KERNELS[1:]:
        place = folder / "kernels" / name
        place.mkdir(parents=True)
        (place / "kernel.json").write_text(
            json.dumps(
                {
                    "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                    "display_name": name,
                    "language": "python",
                    "env": {"PYTHONPATH": str(Path(sys.prefix) / name)},
                }
            )
        )


class Lab:
    """A JupyterLab server on a free loopback port, in its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        settings = folder / ".settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(NO_NEWS)
        write_kernels(folder / ".data")
        places = {
            "JUPYTER_PATH": ".data",
            "JUPYTER_CONFIG_DIR": ".config",
            "JUPYTER_RUNTIME_DIR": ".runtime",
            "JUPYTERLAB_SETTINGS_DIR": ".settings",
            "JUPYTERLAB_WORKSPACES_DIR": ".workspaces",
        }
        self._log = (folder / "lab.log").open("w")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={self.port}"),
                *("--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"),
                "--JupyterNotebookApp.expose_app_in_browser=True",
                "--ServerApp.disable_check_xsrf=True",  # or its kernels could be ended by a page alone
                f"--ServerApp.root_dir={folder}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=os.environ | {name: str(folder / place) for name, place in places.items()},
            start_new_session=True,
        )
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/status", timeout=2).close()
            except OSError:
                assert self._process.poll() is None, (folder / "lab.log").read_text()
                time.sleep(0.1)
            else:
                return
        raise TimeoutError((folder / "lab.log").read_text())

    def sessions(self) -> set[str]:
        """Return the ids of the open notebooks; each has a kernel."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/sessions", timeout=10) as answer:
            return {session["id"] for session in json.load(answer)}

    def end(self, session: str) -> None:
        """End the kernel of a notebook."""
        address = f"http://127.0.0.1:{self.port}/api/sessions/{session}"
        urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=30).close()

    def stop(self) -> None:
        """End the server and its kernels."""
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


class Notebook:
    """A notebook opened in the page."""

    def __init__(self, context: BrowserContext, lab: Lab, path: Path, *, place: str = "lab/tree") -> None:
        self.page = context.new_page()
        self.external: list[str] = []
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.route("**/*", self._route)
        self.page.goto(f"http://127.0.0.1:{lab.port}/{place}/{path.name}?reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.page.wait_for_function(
            "() => document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'", timeout=60_000
        )
        self.page.evaluate("() => window.jupyterapp.shell.collapseLeft?.()")
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.ready")

    def _route(self, route: Any) -> None:
        url = route.request.url
        if url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
            route.continue_()
        else:
            self.external.append(url)
            route.abort()

    def command(self, name: str, timeout: float = 90) -> None:
        """Run a command of the application and wait for its end."""
        self.page.evaluate(
            "name => { window.__done = 0; window.jupyterapp.commands.execute(name)"
            ".then(() => { window.__done = 1 }, e => { window.__done = 'failed: ' + e }) }",
            name,
        )
        self.page.wait_for_function("() => window.__done", timeout=timeout * 1000)
        assert self.page.evaluate("() => window.__done") == 1

    def cell(self, index: int) -> Any:
        """Return a code cell."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def run(self, index: int) -> None:
        """Run one code cell."""
        self.cell(index).locator(".jp-InputArea-editor").click()
        self.command("notebook:run-cell")


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One server for all tests here."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The distribution's browser."""
    found = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if found is None:
        if os.environ.get("IOR_NB_REQUIRE_LIVE") == "1":
            pytest.fail("browser tests are required here, and there is no Chromium", pytrace=False)
        pytest.skip("no Chromium on this machine")
    return found


@pytest.fixture(scope="package")
def context(chromium: str) -> Iterator[BrowserContext]:
    """One browser for all tests here, and no longer: it leaves this thread an event loop and the process a child."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        opened = browser.new_context(viewport={"width": 1200, "height": 900})
        yield opened
        opened.close()
        browser.close()


@contextlib.contextmanager
def tidy(lab: Lab, context: BrowserContext) -> Iterator[None]:
    """Close what is opened meanwhile, page and kernel, however it ends."""
    pages, sessions = list(context.pages), lab.sessions()
    try:
        yield
    finally:
        for page in context.pages:
            if page not in pages:
                page.close()
        for session in lab.sessions() - sessions:
            lab.end(session)


@pytest.fixture(scope="module", autouse=True)
def tidy_module(lab: Lab, context: BrowserContext) -> Iterator[None]:
    """What the fixtures of a module open is closed with it, also when they fail in their start."""
    with tidy(lab, context):
        yield


@pytest.fixture(autouse=True)
def tidy_test(lab: Lab, context: BrowserContext) -> Iterator[None]:
    """What a test opens is closed with it."""
    with tidy(lab, context):
        yield


def write_notebook(path: Path, *cells: str, kernel: str = "python3") -> Path:
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(c) for c in cells],  # type: ignore[no-untyped-call]
        metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
    )
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return path
