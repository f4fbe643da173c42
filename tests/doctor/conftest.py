"""A good machine to take something away from."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from ior_nb.syscalls import machine as architecture
from tests.doctor.machine import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine where everything is right; its processor is one that is supported."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(architecture, "SUPPORTED", True)
    return Machine(tmp_path)
