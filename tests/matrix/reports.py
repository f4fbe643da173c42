"""A plugin of pytest that writes down each test's outcome as a line of JSON when it is known, whatever comes after.

The first line has the number of tests by file. Loaded by `-p tests.matrix.reports --reports FILE`.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest


class Writer:
    """Collects the three phases of a test to one outcome."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now: dict[str, Any] = {}

    def _write(self, line: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            print(json.dumps(line), file=file)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write how many tests there are."""
        self._write({"collected": Counter(item.path.name for item in session.items)})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a phase; write the test down after its last."""
        if report.when == "setup":
            self._now = {"test": report.nodeid, "outcome": "passed", "seconds": 0.0, "why": ""}
        self._now["seconds"] = round(self._now["seconds"] + report.duration, 2)
        if report.outcome != "passed" and self._now["outcome"] != "failed":
            crash = getattr(report.longrepr, "reprcrash", None)
            why = crash.message if crash is not None else report.longrepr
            why = why[2] if isinstance(why, tuple) else str(why)
            self._now |= {"outcome": report.outcome, "why": why[:600]}
        if report.when == "teardown":
            self._write(self._now)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--reports FILE`."""
    parser.addoption("--reports", type=Path, required=True)


def pytest_configure(config: pytest.Config) -> None:
    """Begin."""
    config.pluginmanager.register(Writer(config.getoption("reports")))
