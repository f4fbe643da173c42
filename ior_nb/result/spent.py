"""Why a trace took its time, in two lines: what its calls waited for, and what the device had to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ior_nb.runtime.text import show_bytes, show_count, show_ns

__all__ = ["Spending"]

_OTHERS: Final = "wait_other_ns"
_LEAST: Final = 0.01
"""Share of the time that is worth a word."""
_SOME_NS: Final = 1_000_000
_SOME_BYTES: Final = 1 << 20
"""Less is no news, unless a device was asked for what was read."""
_MOST_OF: Final = 0.9
"""Share of what was fetched that is nearly all of it."""
_PHRASES: Final = {
    "on_cpu_ns": "on the CPU",
    "wait_cpu_ns": "waiting for a CPU",
    "wait_device_ns": "waiting for the device",
    "wait_lock_ns": "waiting for locks in the kernel",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What was measured of the rows."""

    fetched: int = -1
    """Bytes devices were made to read, readahead included; -1 where nobody counted."""
    read: int = 0
    """Bytes read from files."""
    cached: int = 0
    """Of them, bytes no device had to read."""
    latency_ns: int = 0
    """Time in the calls whose parts are known."""
    slept_ns: int = 0
    """Of it, what faults on mapped files slept: they are no calls."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """By column of `schema.PARTS`; empty where nothing was measured."""
    waiting_ns: int = 0
    """What calls waited for somebody else, which is none of the time in calls."""
    waited_in: str = ""
    """The call that did most of it."""
    faults: int = 0
    """Faults on mapped files that brought pages in, or slept."""
    faulted: int = 0
    """Bytes they brought in."""
    wheres: Mapping[str, str] = field(default_factory=dict)
    """The file that has half of a part, or of `faulted`, and more; as it is shown, raw."""

    def lines(self) -> tuple[str, ...]:
        """Return the lines that are worth it."""
        return tuple(line for line in (self._time(), self._bytes()) if line)

    def _bytes(self) -> str:
        if self.fetched < 0 or (not self.fetched and self.read < _SOME_BYTES):
            return ""
        if self.faulted > max(_MOST_OF * self.fetched, self.cached):
            return f"{self._by_faults()} fetched {self._amount_by_faults('from the device')}"
        fetched = f"{show_bytes(self.fetched)} fetched from the device"
        if self.faulted >= _SOME_BYTES:
            fetched += f", by {self._by_faults()} {self._amount_by_faults('of it')}"
        if not self.read:
            return fetched if self.fetched >= _SOME_BYTES else ""
        if not self.fetched:
            return f"read {show_bytes(self.read)} from files, all of it from the page cache"
        return f"read {show_bytes(self.read)} from files: {show_bytes(self.cached)} from the page cache, {fetched}"

    def _by_faults(self) -> str:
        """Return which faults brought pages in: somebody touched a few bytes for each."""
        file = self.wheres.get("faulted")
        return f"{show_count(self.faults, 'page fault')} on {f'the mapped {file}' if file else 'mapped files'}"

    def _amount_by_faults(self, what: str) -> str:
        return f"{show_bytes(self.faulted)} {what}, {show_bytes(self.faulted // max(self.faults, 1))} each"

    def _time(self) -> str:
        """Return what the time in calls went to, and where waiting was longer, in which call that was."""
        long = self.waiting_ns >= max(_SOME_NS, self.latency_ns - self.parts.get(_OTHERS, 0))
        others = f"{show_ns(self.waiting_ns)} waiting for others, most in {self.waited_in}" if long else ""
        return "; ".join(filter(None, (self._in_calls(), others)))

    def _in_calls(self) -> str:
        whole = self.latency_ns - self.parts.get(_OTHERS, 0)
        if not self.parts or whole < _SOME_NS:
            return ""
        ranked = sorted(((self.parts.get(name, 0), name) for name in _PHRASES), reverse=True)
        some = [f"{show_ns(part)} {self._at(name)}" for part, name in ranked if part and part >= _LEAST * whole]
        where = "calls and page faults" if self.slept_ns >= _LEAST * whole else "calls"
        return f"of {show_ns(whole)} in {where}: {', '.join(some)}" if some else ""

    def _at(self, name: str) -> str:
        """Return a part in words, with the file that most of it was for."""
        file = self.wheres.get(name)
        return f"{_PHRASES[name]} ({file})" if file else _PHRASES[name]
