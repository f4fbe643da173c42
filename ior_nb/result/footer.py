"""What the footer of a recording says about its trace: when it begins, and at its end."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from typing import Protocol

from ior_nb.result.axis import clocks
from ior_nb.runtime import Completeness
from ior_nb.runtime.clock import Moment, boot_id
from ior_nb.runtime.ids import pid_namespace
from ior_nb.version import VERSION

__all__ = ["began_as", "ended_as"]


class Told(Protocol):
    """What a trace says of itself; see `Trace`."""

    title: str
    scope: str
    engine: str
    options: dict[str, str]
    records_command: bool
    origin: dict[str, str]
    began: Moment
    ended: Moment
    counters: dict[str, dict[str, int]]
    pages: Mapping[str, Mapping[str, int]]
    returncode: int | None


def began_as(trace: Told) -> dict[str, str]:
    """Return what is known when a trace begins."""
    options, title = dict(trace.options), trace.title
    if "command" in options and not trace.records_command:
        program = options["command"].split(" ")[0]
        title = program if title == options["command"] else title
        options["command"] = program
    pairs = {
        "ior_nb.version": VERSION,
        "ior_nb.hostname": platform.node(),
        "ior_nb.kernel": platform.release(),
        "ior_nb.machine": platform.machine(),
        "ior_nb.engine": trace.engine,
        "ior_nb.title": title,
        "ior_nb.scope": trace.scope,
        "ior_nb.boot_id": boot_id(),
        "ior_nb.pid_namespace": pid_namespace(),
        "ior_nb.options": json.dumps(options),
    } | trace.origin
    return pairs | clocks("started", trace.began)


def ended_as(trace: Told, told: Completeness) -> dict[str, str]:
    """Return what is known at its end.

    Args:
        trace: the trace.
        told: what its rows lack.
    """
    pairs = clocks("ended", trace.ended) | told.pairs()
    pairs |= {"ior_nb.counters": json.dumps(trace.counters), "ior_nb.pages": json.dumps(trace.pages)}
    if trace.returncode is not None:
        pairs["ior_nb.returncode"] = str(trace.returncode)
    return pairs
