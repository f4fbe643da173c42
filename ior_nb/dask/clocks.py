"""How far the clock of a host is from the scheduler's: by half of the smallest of some round trips."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Difference", "answering", "client_is_there", "measured", "silent", "to_scheduler", "unreached"]

_TRIPS: Final = 16
_CLOCK: Final = "ior_nb_clock_"
_CLIENT: Final = "ior_nb_client_"
"""What a scheduler is asked: these and the run, for another trace may end before."""
_REACH_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two wall clocks."""

    offset_ns: int = 0
    """What is to be added to the clock of this host."""
    error_ns: int = -1
    """How wrong that may be: half of the round trip it comes from. -1 where nobody has answered."""


async def measured(ask: Callable[[], Awaitable[Any]], clock: Callable[[], int] = time.time_ns) -> Difference:
    """Return the difference to a clock that has to be asked.

    Args:
        ask: asks it, ns.
        clock: this host's.
    """
    found: list[tuple[int, int]] = []
    for _ in range(_TRIPS):
        sent = clock()
        there = int(await ask())
        back = clock()
        found.append((back - sent, there - (sent + back) // 2))
    trip, offset = min(found)
    return Difference(offset, -(-trip // 2))


async def to_scheduler(server: Any, run: str) -> Difference:
    """Return the difference of this host's clock to the scheduler's; one without an error where it does not answer."""
    try:
        return await measured(getattr(server.scheduler, _CLOCK + run))
    except Exception:  # whatever it is, the rows are there without it
        return Difference()


async def client_is_there(server: Any, run: str) -> bool:
    """Whether the scheduler still has the client that began a trace."""
    try:
        return bool(await getattr(server.scheduler, _CLIENT + run)())
    except Exception:  # a scheduler that does not answer has no client
        return False


def answering(run: str, client: str) -> Callable[..., None]:
    """Return what lets a scheduler answer, for `run_on_scheduler`. It goes by value: none of ours need be there."""
    clock, there = _CLOCK + run, _CLIENT + run

    def answer(dask_scheduler: Any) -> None:
        import time

        dask_scheduler.handlers[clock] = lambda comm=None: time.time_ns()
        dask_scheduler.handlers[there] = lambda comm=None: client in dask_scheduler.clients

    return answer


def unreached(addresses: Sequence[str]) -> Callable[..., Awaitable[list[str]]]:
    """Return what tells which of these a scheduler does not reach, by value as well; Dask would wait half a minute."""
    within_s = _REACH_S

    async def look(dask_scheduler: Any) -> list[str]:
        import asyncio

        from distributed import connect

        async def reach(address: str) -> bool:
            try:
                comm = await asyncio.wait_for(connect(address, **dask_scheduler.connection_args), within_s)
            except OSError:  # as is a TimeoutError
                return False
            comm.abort()
            return True

        reached = await asyncio.gather(*map(reach, addresses))
        return [address for address, there in zip(addresses, reached, strict=True) if not there]

    return look


def silent(run: str) -> Callable[..., None]:
    """Return what takes that back."""
    operations = (_CLOCK + run, _CLIENT + run)

    def take_back(dask_scheduler: Any) -> None:
        for operation in operations:
            dask_scheduler.handlers.pop(operation, None)

    return take_back
