"""The collector of a session, for tests and benches that watch it or kill it."""

from __future__ import annotations

from ior_nb.engine.bcc import BccEngine
from ior_nb.session.session import TracerSession


def collector_pid(session: TracerSession) -> int:
    """Return the process id of a session's collector."""
    engine = session.engine()
    assert isinstance(engine, BccEngine)
    assert engine.collector_pid is not None
    return engine.collector_pid
