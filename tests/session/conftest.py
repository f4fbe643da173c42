"""What tests of a session share: an engine the test plays, and a session on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ior_nb.session.session import TracerSession
from tests.fakes import FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    """An engine whose rows the test hands out, and which says how often it was started and stopped."""
    return FakeEngine()


@pytest.fixture
def session(engine: FakeEngine) -> Iterator[TracerSession]:
    """A session on that engine."""
    with TracerSession(engine=engine) as made:
        yield made
