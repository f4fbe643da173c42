"""What a client of the service may ask for: every request is checked word by word, and made anew of what was checked.

Who is not root sees tasks of his own: by `pid` his processes and what they start, by `uid` himself. The kernel program
judges that again at each call (`hidden` of bpf/scope.c), so what is checked here is for a clear answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.__main__ import Refused
from ior_nb.engine.collector.processes import Viewer, descendants, numbers, parents
from ior_nb.engine.collector.program import MODES
from ior_nb.engine.collector.served.peer import Peer, all_mine

__all__ = ["EVENT_BYTES", "NAME_BYTES", "Gate", "Limits"]

EVENT_BYTES: Final = 16 << 20  # one size for all: a program is compiled for it
NAME_BYTES: Final = 8 << 20
_MOST_NUMBERS: Final = 4096
_U32: Final = (1 << 32) - 1
_U64: Final = (1 << 64) - 1
_COMM_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What one user may take; each of his clients has its part of it, so that together they cannot take more."""

    clients: int = 8
    """At a time."""
    everybody: int = 64
    """The same of all users together."""
    memory: int = 1024 << 20
    """Bytes of rings in the kernel, and of what waits for a client that is slow."""
    requests: int = 400
    """A second; what is more waits."""
    connections: int = 40
    """In ten seconds."""

    @property
    def buffer(self) -> int:
        """Bytes that may wait for one client."""
        return max(self.memory // self.clients - EVENT_BYTES - NAME_BYTES, 1 << 20)

    @property
    def pace(self) -> float:
        """Requests a second of one client."""
        return max(self.requests / self.clients, 1.0)


class Pace:
    """A bucket of tokens that may be overdrawn.

    Args:
        rate: tokens a second.
        room: tokens at most.
        clock: in seconds.
    """

    def __init__(self, rate: float, room: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._room, self._clock = rate, room, clock
        self._tokens, self._at = room, clock()

    def take(self) -> None:
        """Take one."""
        self._tokens = self._filled() - 1

    def wait(self) -> float:
        """Return in how many seconds there is one."""
        return max(0.0, (1 - self._filled()) / self._rate)

    def _filled(self) -> float:
        now = self._clock()
        self._tokens = min(self._room, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return self._tokens


class _Fields:
    """What was sent under some names, each of which is taken once.

    Args:
        given: anything at all; no more than a JSON object will do.
        what: what it is, for refusals.
    """

    def __init__(self, given: Any, what: str) -> None:
        if not isinstance(given, dict):
            raise Refused("ConfigError", f"{what} is an object of JSON, not {type(given).__name__}")
        self._given: dict[str, Any] = dict(given)
        self._what = what

    def __bool__(self) -> bool:
        return bool(self._given)

    def given(self, name: str) -> bool:
        """Whether there is a value."""
        return self._given.get(name) is not None

    def keys_below(self, bound: int) -> list[str]:
        """Return the names, which are numbers."""
        for name in self._given:
            if not (name.isascii() and name.isdecimal() and len(name) < 6 and int(name) < bound):
                raise self._wrong(name, f"is not named by a number below {bound}")
        return list(self._given)

    def drop(self, *names: str) -> None:
        """Do without values the service decides on."""
        for name in names:
            self._given.pop(name, None)

    def part(self, name: str) -> _Fields:
        """Return an object, empty where there is none."""
        value = self._given.pop(name, None)
        return _Fields({} if value is None else value, name)

    def number(self, name: str, low: int, high: int, default: Any) -> Any:
        """Return a whole number within bounds."""
        value = self._given.pop(name, None)
        if value is None:
            return default
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(name, f"is no whole number from {low} to {high}")
        return value

    def numbers(self, name: str, high: int) -> list[int]:
        """Return a list of them."""
        value = self._given.pop(name, None)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > _MOST_NUMBERS:
            raise self._wrong(name, f"is no list of at most {_MOST_NUMBERS} numbers")
        if not all(type(each) is int and 0 <= each <= high for each in value):
            raise self._wrong(name, f"has other than whole numbers up to {high}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a truth."""
        value = self._given.pop(name, None)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(name, "is neither true nor false")
        return value

    def word(self, name: str, default: str, longest: int) -> str:
        """Return a short text."""
        value = self._given.pop(name, None)
        if value is None:
            return default
        if not isinstance(value, str) or len(value) > longest:
            raise self._wrong(name, f"is no text of at most {longest} characters")
        return value

    def hexadecimal(self, name: str, size: int) -> str:
        """Return so many bytes, in hexadecimal; zeros where there is none."""
        value = self.word(name, "00" * size, 2 * size)
        if len(value) != 2 * size or not set(value) <= set("0123456789abcdef"):
            raise self._wrong(name, f"is not {size} bytes in hexadecimal")
        return value

    def no_more(self) -> None:
        """Refuse what nobody has taken."""
        for name in self._given:
            raise self._wrong(name, "is not known")

    def _wrong(self, name: Any, why: str) -> Refused:
        return Refused("ConfigError", f"{ascii(name)[:60]} of {self._what} {why}")


class Gate:
    """One client's.

    Args:
        peer: who it is.
        limits: of a user.
        audit: is told what was asked for, and what became of it.
        proc: where processes are looked up.
    """

    def __init__(self, peer: Peer, limits: Limits, audit: Callable[..., None], *, proc: Path = Path("/proc")) -> None:
        self.peer = peer
        self.limits = limits
        self.viewer = Viewer(peer.uid, guarded=peer.uid != 0)
        self.pace = Pace(limits.pace, 2 * limits.pace)
        self._audit = audit
        self._proc = proc
        self._depth = max(len(peer.numbers) - 1, 0)

    def request(self, message: Any) -> dict[str, Any]:
        """Return a request as it may be met.

        Raises:
            Refused: it may not, or is none.
        """
        self.pace.take()
        fields = _Fields(message, "a request")
        verb = fields.word("verb", "", 16)
        check = _VERBS.get(verb)
        if check is None:
            raise Refused("ConfigError", f"the service knows no request {verb!r}")
        checked = check(self, fields)
        fields.no_more()
        return {"verb": verb, **checked}

    def done(self, request: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Write down what became of a request."""
        match request["verb"]:
            case "start":
                scope = {key: value for key, value in request["scope"].items() if value not in (0, False, (), [])}
                self._audit("traces", scope=scope, calls=len(request["enabled"]))
            case "stop":
                totals = answer["totals"]
                self._audit("ends its trace", **{name: totals[name] for name in ("seen", "emitted", "hidden")})

    # ---- requests

    def load(self, fields: _Fields) -> dict[str, Any]:
        """Sizes are the service's own."""
        fields.drop("event_bytes", "name_bytes", "way")
        namespace = fields.number("namespace", 0, _U64, 0)
        if self._depth:  # that his numbers are shown by; a wrong one shows him wrong ones of what is his
            self.viewer = replace(self.viewer, namespace=namespace, depth=self._depth)
        wanted = fields.number("buffer_bytes", 0, _U64, self.limits.buffer)
        return {
            "event_bytes": EVENT_BYTES,
            "name_bytes": NAME_BYTES,
            "buffer_bytes": min(wanted, self.limits.buffer),
        }

    def start(self, fields: _Fields) -> dict[str, Any]:
        """A trace of what is his."""
        # Nothing is read for it by name or address, no thread of his is hurried: these are rights he has not.
        fields.drop("hurry", "programs", "counter", "owner", "stacks")
        return {
            "scope": self._scope(fields.part("scope")),
            **self.specs(fields),
            **self.filter(fields),
            "ignore_tids": fields.numbers("ignore_tids", _U32),
            "ignore_pids": fields.numbers("ignore_pids", _U32),
            "waits": fields.flag("waits"),
            "owner": self.peer.numbers[-1] if self._depth else self.peer.pid,
        }

    def _scope(self, fields: _Fields) -> dict[str, Any]:
        mode = fields.word("mode", "", 16)
        scope = {
            "mode": mode,
            "pids": fields.numbers("pids", _U32),
            "follow": fields.flag("follow", True),
            "at_exec": fields.flag("at_exec"),
            **{
                name: fields.number(name, 0, _U64 if name == "cgroup" else _U32, 0) for name in ("tid", "uid", "cgroup")
            },
        }
        fields.no_more()
        if mode not in MODES or mode == "none" or (mode == "pids" and not scope["pids"]):
            raise Refused("ConfigError", f"a scope of mode {mode!r} with {len(scope['pids'])} processes is none")
        if self._depth:
            scope["pids"] = self._inside(scope)
        if self.peer.uid != 0:
            self._refuse_others(scope)
        return scope

    def _inside(self, scope: Mapping[str, Any]) -> list[int]:
        """Return processes by our numbers, for a client who lives in a pid namespace and knows them by others.

        They are those below the topmost process of his namespace that he descends from: other containers have the
        same numbers, and often the same users.
        """
        if scope["mode"] != "pids":
            raise Refused("PermissionDenied", "in a container its processes can be traced, not users or the machine")
        tree = parents()
        top = self.peer.pid
        while len(numbers(tree.get(top, 0))) > self._depth:
            top = tree[top]
        known: dict[int, int] = {}
        for pid in (top, *descendants([top], tree)):
            his = numbers(pid)
            if len(his) > self._depth:
                known[his[self._depth]] = pid
        for number in scope["pids"]:
            if number not in known:
                raise Refused("PermissionDenied", f"process {number} is gone, or none of this container")
        return [known[number] for number in scope["pids"]]

    def _refuse_others(self, scope: Mapping[str, Any]) -> None:
        me = self.peer.uid
        if scope["mode"] == "all":
            raise Refused("PermissionDenied", f"the whole machine is for root alone; trace user {me}, or a process")
        if scope["mode"] == "cgroup":
            raise Refused("PermissionDenied", f"control groups are for root alone; trace user {me}, or a process")
        if scope["mode"] == "uid" and scope["uid"] != me:
            raise Refused("PermissionDenied", f"user {scope['uid']} is another one than you, who are {me}")
        for pid in scope["pids"]:
            if not self._may_see(pid):
                raise Refused(
                    "PermissionDenied", f"process {pid} is gone, not yours, or runs with other rights than yours"
                )

    def _may_see(self, pid: int) -> bool:
        """Whether a process is his: by all of its ids, and, as its folder belongs to him, dumpable."""
        try:
            owner = (self._proc / str(pid)).stat().st_uid
        except OSError:
            return False
        return owner == self.peer.uid and all_mine(pid, self.peer.uid, self._proc)

    def specs(self, fields: _Fields) -> dict[str, Any]:
        """Which calls are on, and their rates."""
        rates = fields.part("rates")
        return {
            "enabled": fields.numbers("enabled", wire.SPECS - 1),
            "rates": {key: rates.number(key, 0, _U32, 1) for key in rates.keys_below(wire.SPECS)},
        }

    def filter(self, fields: _Fields) -> dict[str, Any]:
        """What of a filter the kernel program decides."""
        wanted = fields.part("filter")
        checked: dict[str, Any] = {}
        if wanted:
            checked = {
                "pid": wanted.number("pid", 0, _U32, 0),
                "tid": wanted.number("tid", 0, _U32, 0),
                "calls": wanted.numbers("calls", wire.SPECS - 1) if wanted.given("calls") else None,
                "latency_min": wanted.number("latency_min", 0, _U64, None),
                "latency_max": wanted.number("latency_max", 0, _U64, None),
                "errors_only": wanted.flag("errors_only"),
                "audit": wanted.flag("audit"),
                "comm": wanted.hexadecimal("comm", _COMM_BYTES),
                "comm_mask": wanted.hexadecimal("comm_mask", _COMM_BYTES),
            }
        wanted.no_more()
        return {"filter": checked, "generation": fields.number("generation", 0, 255, 0)}

    def flush(self, fields: _Fields) -> dict[str, Any]:
        """A barrier."""
        return {"counters": fields.flag("counters")}

    def nothing(self, fields: _Fields) -> dict[str, Any]:
        """A request of one word."""
        return {}


_VERBS: Final[Mapping[str, Callable[[Gate, _Fields], dict[str, Any]]]] = {
    "load": Gate.load,
    "start": Gate.start,
    "specs": Gate.specs,
    "filter": Gate.filter,
    "flush": Gate.flush,
    "alive": Gate.nothing,
    "stop": Gate.nothing,
}
