"""Which engine `auto` is: the best that works here, and in one line why no better one."""

from __future__ import annotations

import errno
import importlib
from typing import Final, NamedTuple

from ior_nb import errors
from ior_nb.engine import ENGINES
from ior_nb.engine.contract import Engine
from ior_nb.engine.counters import CountersEngine
from ior_nb.runtime.text import brief

__all__ = ["Choice", "best", "made"]

_LONGEST: Final = 200
_PASSING: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


class Choice(NamedTuple):
    """An engine, ready."""

    engine: Engine
    why: str = ""
    """Why it is not the first there is; empty where it is."""


def made(name: str) -> Engine:
    """Return the engine of that name."""
    module, _, attribute = ENGINES[name].home.partition(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)()
    return engine


def best(recordings: str = "") -> Choice:
    """Return the first engine that works here, of those that trace, opened; where none does, what stands in for it.

    Args:
        recordings: what is played back where none does (IOR_NB_REPLAY).

    Raises:
        RecordingError: the recordings are needed, and cannot be read.
        SourceError: the system is short of something just now; no reason to do with less from then on.
    """
    refusals: dict[str, errors.SourceError] = {}
    for name in [name for name, row in ENGINES.items() if row.traces]:
        engine = made(name)
        try:
            engine.open()
        except errors.SourceError as error:
            engine.close()
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _PASSING:
                raise
            refusals[name] = error
            continue
        why = "; ".join(f"{other} cannot ({brief(str(error), _LONGEST)})" for other, error in refusals.items())
        return Choice(engine, f"{name}, for {why}; see %ior doctor" if why else "")
    first = next(iter(refusals.values()))
    if recordings:
        from ior_nb.engine.replay import StandIn

        stand_in = StandIn(recordings, str(first))
        stand_in.open()
        return Choice(stand_in)
    others = "; ".join(f"{name}: {brief(str(error), _LONGEST)}" for name, error in list(refusals.items())[1:])
    first.args = (f"{first} Nor without BPF: {others}.", *first.args[1:])
    return Choice(CountersEngine(first))
