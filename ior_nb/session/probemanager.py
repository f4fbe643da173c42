"""Which system calls are traced, while a trace runs: a change is a write into the kernel's table, nothing is attached.

A probe is one row of the syscall table. `Manager` keeps what is on and at which rate, and hands the whole choice to the
engine; when the engine refuses, nothing changes and the error stays with the probes it was about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ior_nb.errors import ConfigError, IorError, SessionClosed
from ior_nb.real import RLock
from ior_nb.runtime import ProbeState
from ior_nb.syscalls import BY_NUMBER, FAMILIES, SYSCALLS, Syscall, resolve

__all__ = ["FamilyState", "Manager"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyState:
    """How many probes of a family are on."""

    family: str
    active: int
    total: int


class Manager:
    """Probes of one run. Every method may be called from any thread; changes are applied one after the other.

    Args:
        enabled: numbers of the system calls that are on.
        rates: sampling by number: 1 (the default) records all, N one in N, 0 counts only.
        apply: tells the engine; raises an `IorError` when it cannot.
        syscalls: those the engine has.
    """

    def __init__(
        self,
        enabled: Iterable[int],
        rates: Mapping[int, int],
        apply: Callable[[frozenset[int], dict[int, int]], None],
        syscalls: Iterable[Syscall] = SYSCALLS,
    ) -> None:
        self._syscalls = sorted(syscalls, key=lambda call: call.name)
        self._enabled = frozenset(enabled)
        self._rates = dict(rates)
        self._apply = apply
        self._errors: dict[int, str] = {}
        self._closed = False
        self._lock = RLock()

    # ---- what there is

    def states(self) -> list[ProbeState]:
        """Return every probe, by name."""
        with self._lock:
            return [
                ProbeState(
                    syscall=call.name,
                    family=call.family,
                    active=call.number in self._enabled,
                    rate=self._rates.get(call.number, 1),
                    error=self._errors.get(call.number, ""),
                )
                for call in self._syscalls
            ]

    def families(self) -> list[FamilyState]:
        """Return every family, in the fixed order, also those of which nothing is on."""
        with self._lock:
            return [
                FamilyState(
                    family=family,
                    active=sum(BY_NUMBER[n].family == family for n in self._enabled),
                    total=sum(call.family == family for call in self._syscalls),
                )
                for family in FAMILIES
            ]

    def active_count(self) -> tuple[int, int]:
        """Return how many probes are on, and how many there are."""
        return len(self._enabled), len(self._syscalls)

    @property
    def enabled(self) -> frozenset[int]:
        """Numbers of the system calls that are on."""
        return self._enabled

    # ---- changes; each raises ConfigError for a name nobody knows, SessionClosed after close, IorError from the engine

    def toggle(self, syscall: str) -> None:
        """Switch one probe on or off."""
        with self._lock:
            number = self._number(syscall)
            self._change({number}, on=number not in self._enabled)

    def set_active(self, syscalls: Iterable[str], *, active: bool) -> None:
        """Switch probes on or off, in one write."""
        with self._lock:
            self._change({self._number(name) for name in syscalls}, on=active)

    def set_family(self, family: str, *, active: bool) -> None:
        """Switch a whole family on or off."""
        with self._lock:
            self._change(self._members(family), on=active)

    def set_rate(self, syscall: str, rate: int) -> None:
        """Sample a system call, or all of a family: 1 records all, N one in N, 0 counts only."""
        if rate < 0:
            raise ConfigError(f"a rate of {rate}: give 0 (count only), 1 (record all) or N (one in N)")
        with self._lock:
            known = {family.lower() for family in FAMILIES}
            numbers = self._members(syscall) if syscall.lower() in known else {self._number(syscall)}
            self._commit(self._enabled, self._rates | dict.fromkeys(numbers, rate), numbers)

    def close(self) -> None:
        """The run has ended: nothing is on, and nothing can be changed any more. Idempotent."""
        with self._lock:
            self._closed = True
            self._enabled = frozenset()

    def _number(self, syscall: str) -> int:
        if not isinstance(syscall, str):
            raise ConfigError(f"a system call is known by its name, not by {syscall!r:.80}")
        try:
            call = resolve(syscall)
        except LookupError as error:
            raise ConfigError(str(error.args[0])) from None
        if call not in self._syscalls:
            raise ConfigError(f"this machine has no {call.name}: only programs for another processor make that call")
        return call.number

    def _members(self, family: str) -> set[int]:
        numbers = {call.number for call in self._syscalls if call.family.lower() == family.lower()}
        if not numbers:
            raise ConfigError(f"unknown family {family!r}; one of {', '.join(FAMILIES)}")
        return numbers

    def _change(self, numbers: set[int], *, on: bool) -> None:
        self._commit(self._enabled | numbers if on else self._enabled - numbers, self._rates, numbers)

    def _commit(self, enabled: frozenset[int], rates: dict[int, int], about: set[int]) -> None:
        if self._closed:
            raise SessionClosed("the trace has ended; start another to change its probes")
        try:
            self._apply(enabled, rates)
        except IorError as error:
            self._errors |= dict.fromkeys(about, str(error))
            raise
        for number in about:
            self._errors.pop(number, None)
        self._enabled, self._rates = enabled, dict(rates)
