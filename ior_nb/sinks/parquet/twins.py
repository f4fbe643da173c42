"""Hosts that are called the same though they are several: then a number of a process says nothing across recordings."""

from __future__ import annotations

from collections.abc import Sequence

from ior_nb.runtime.completeness import whole_number
from ior_nb.runtime.ids import mark
from ior_nb.sinks.parquet.scan import Recording

__all__ = ["told_apart"]

_Space = tuple[str, str]
"""A boot, and a namespace of processes there."""


def told_apart(recordings: Sequence[Recording]) -> list[Recording]:
    """Return recordings, whose hosts are called differently where they have one name and cannot be one.

    What records at the same time in another boot, or in another namespace of processes, is a machine or a container
    beside it. What comes later may be the same one, started anew, and keeps its name.
    """
    ran: dict[str, list[tuple[int, int, _Space, Recording]]] = {}
    for recording in recordings:
        boot, namespace = (recording.metadata.get(f"ior_nb.{key}", "") for key in ("boot_id", "pid_namespace"))
        if recording.host and boot and (when := _ran(recording)):
            ran.setdefault(recording.host, []).append((*when, (boot, namespace), recording))
    for host, those in ran.items():
        twins, until = set[_Space](), dict[_Space, int]()
        for begin, end, space, _ in sorted(those, key=lambda one: one[:3]):
            until = {other: last for other, last in until.items() if last > begin}
            if beside := {other for other in until if _differ(space, other)}:
                twins |= {space, *beside}
            until[space] = max(end, until.get(space, 0))
        for _, _, space, recording in those:
            if space in twins:
                recording.host = f"{host}-{mark(' '.join([host, *space]))}"
    return list(recordings)


def _differ(one: _Space, other: _Space) -> bool:
    """Tell whether a number of a process is another process in each; recordings of older programs have no namespace."""
    return one[0] != other[0] or (one[1] != other[1] and "" not in (one[1], other[1]))


def _ran(recording: Recording) -> tuple[int, int] | None:
    """Return from when to when it recorded, on the wall clock of its start; None where it does not say."""
    wall, boot, end = (
        whole_number(recording.metadata.get(f"ior_nb.{what}_nano")) or 0
        for what in ("started_at_unix", "started_at_boot", "ended_at_boot")
    )
    if not 0 < boot < wall:
        return None
    return wall, wall + max((end or recording.span()[1]) - boot, 0)
