"""`make run`, as far as it is ours: what it says, and that it is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("options", [[], ["--IdentityProvider.token="]])
def test_it_prints_one_address_and_that_opens_the_notebook(options: list[str], tmp_path: Path) -> None:
    """Nothing else is there to choose from; the server answers there as soon as it is printed."""
    places = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "RUNTIME", "DATA")}
    out = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "JUPYTER_TOKEN")
    places |= {name: value for name, value in os.environ.items() if name not in out}
    with subprocess.Popen(
        [sys.executable, "scripts/run", "notebooks/01-first-trace.ipynb", *options],
        cwd=ROOT,
        env=places,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        said = next(line for line in server.stdout if "http" in line)
        address = said.rpartition(" ")[2].strip()
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                page = answer.read().decode()
        finally:
            server.terminate()
            rest = server.stdout.read()

    assert re.fullmatch(
        r"==> open http://127\.0\.0\.1:\d+/lab/tree/notebooks/01-first-trace\.ipynb(\?token=\w+)?\n", said
    )
    assert ("token=" in said) is not bool(options)
    assert '"treePath": "notebooks/01-first-trace.ipynb"' in page
    assert "http" not in rest
