"""A place of its own for what a test labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from ior_nb.runtime import labellog, labels


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of logs that no other process writes to, for a process that has labelled nothing yet."""
    found = tmp_path / "logs"
    monkeypatch.setattr(labellog, "folder", lambda: found)
    monkeypatch.setattr(labels, "_process", labels._Process())
    return found
