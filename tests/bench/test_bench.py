"""All benches as one test: `make bench`. Set IOR_NB_BENCH to arguments of `python -m tests.bench`, such as --quick."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.bench
def test_every_number_is_reached() -> None:
    """The table is printed by the command itself; its status says whether a goal was missed."""
    if os.geteuid() != 0:
        pytest.skip("tracing for a bench needs root")
    arguments = os.environ.get("IOR_NB_BENCH", "").split()
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-m", "tests.bench", *arguments], cwd=root, check=False)
    assert done.returncode == 0, "a goal was missed; see the table"
