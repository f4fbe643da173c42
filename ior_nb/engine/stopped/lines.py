r"""What strace writes, made into `Calls`: a block of lines at a time, by patterns that run over all of it.

strace is told to write every text in hexadecimal, `"\x2f\x65"` and `3<\x2f\x65>`: no name of a file can look like
strace's own words, and what stands between quotes or angle brackets has no comma, bracket or line end. Nothing in here
runs a Python statement for a line, but for a call that another one interrupted on paper.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.roles import RESULT_FD
from ior_nb.engine.stopped.source import Birth, Block, Calls, Change
from ior_nb.engine.stopped.tasks import CLONE_PARENT, CLONE_THREAD, SET_NAME
from ior_nb.engine.stopped.words import (
    error_number,
    file_of,
    nanoseconds,
    number,
    socket_word,
    text_of,
    total_of,
    unescaped,
)
from ior_nb.syscalls import ALIASES, BY_NAME, NATIVE, Syscall

__all__ = ["HELPERS", "SOCKETS", "Lines", "with_roles", "without"]

HELPERS: Final = ("execve", "execveat", "clone", "clone3", "fork", "vfork", "chdir", "fchdir", "chroot", "prctl")
"""Calls that tell what becomes of tasks: read whether or not they are wanted."""
SOCKETS: Final = ("socket", "socketpair", "accept", "accept4")
"""Calls that tell what a socket is."""
_MAKING: Final = ("clone", "clone3", "fork", "vfork")
_MAKES: Final = re.compile(rb"(?:%s)\(" % "|".join(_MAKING).encode())
_KINDS: Final = 0xF  # SOCK_STREAM and the others, below the flags
_MOST_SOCKETS: Final = 1 << 16

_LINE: Final = re.compile(rb"^(\d+) +(\d+)\.(\d{9}) (.*)\n", re.MULTILINE)
_CALL: Final = re.compile(
    rb"(\w+)\((.*)\) += (\?|0x[0-9a-f]+|-?\d+)((?:<[^>]*>(?:\(deleted\))?| /\* \d+ in strace's PID NS \*/)?)"
    rb"(?: (E[A-Z0-9_]+)| \(errno (\d+)\))?(?:.*?<(\d+)\.(\d{9})>)?[^<>]*$"
)
_RESUMED: Final = re.compile(rb"<\.\.\. (\w+) resumed>")
_CUT: Final = re.compile(rb" ?<(?:unfinished|detached|pid changed to \d+) ?\.\.\.>")
_ENDED: Final = re.compile(rb"\+\+\+ (?:exited with|killed by) ")
_SUPERSEDED: Final = re.compile(rb"\+\+\+ superseded by execve in pid (\d+) \+\+\+")
_CALLED_HERE: Final = re.compile(rb" /\* (\d+)")
"""The number of a task outside of its pid namespace."""
_FLAGS: Final = re.compile(rb"flags=(0x[0-9a-f]+|\d+)")
_EVENTS: Final = re.compile(rb"\{(?:events=)?(0x[0-9a-f]+|\d+)")
_FIRST: Final = re.compile(rb"\[(-?\d+)")
_PAIR: Final = re.compile(rb"\[((\d+)(?:<[^>]*>(?:\(deleted\))?)?), (\d+)")


def _argument(depth: int = 5) -> bytes:
    """Return the pattern of one argument: no comma but inside of brackets."""
    inner = rb"[^\[\](){}]"
    for _ in range(depth):
        inner = rb"(?:[^\[\](){}]|[\[({]" + inner + rb"*[\])}])"
    return rb"(?:[^,\[({]+|[\[({]" + inner + rb"*[\])}])+"


_ARGUMENT: Final = re.compile(_argument())
_MISSING: Final = [b""] * 6
_NUMBERS: Final = {
    **{name.encode(): call.number for name, call in BY_NAME.items() if call.native},
    **{alias.encode(): BY_NAME[name].number for alias, name in ALIASES.items() if BY_NAME[name].native},
}
_NUMBERS.pop(b"restart_syscall", None)  # the rest of a call that our own stop has interrupted
_OF_NUMBER: Final = {call.number: call for call in NATIVE}
_WORDS: Final = (
    "fd fd2 dirfd dirfd2 size offset open_flags at_flags link_flags move_flags pick_flags recv_flags iovcnt "
    "sleep_flags timeout_ms nfds epoll_op target_fd length length2 brk request"
).split()
"""Roles of words that are what the register held; other words are pointers, of which nobody wants the value."""


_HERE: Final = (b"-100", b"AT_FDCWD")


def _flags(words: bytes) -> int:
    """Return the flags among a call's arguments, 0 without them."""
    return number(m[1]) if (m := _FLAGS.search(words)) else 0


def _birth(maker: int, flags: int, row: int) -> Birth:
    """Return the birth of a task by flags of clone."""
    return Birth(maker, bool(flags & CLONE_THREAD), row, bool(flags & CLONE_PARENT))


def _directory(word: bytes) -> bytes | None:
    """Return the directory a path is relative to: None for the working directory, where it is not named."""
    found = file_of(word)
    return found if found is not None else None if word.strip() in _HERE else b""


def without(numbers: Iterable[int]) -> str:
    """Return what strace is asked for: all calls but those nobody wants, by all their names.

    So it writes those as well that it is too old to know, by their numbers.
    """
    told = {*numbers, *(call.number for call in NATIVE if call.name in (*HELPERS, *SOCKETS))}
    names = _all_names(call for call in NATIVE if call.number not in told)
    return f"!{names}" if names else "all"


def with_roles(roles: set[str]) -> str:
    """Return strace's names of the calls that have an argument of one of these roles, and of those that make tasks."""
    found = (c for c in NATIVE if c.name in HELPERS or any(c.arg(role) is not None for role in roles))
    return _all_names(found)


def _all_names(calls: Iterable[Syscall]) -> str:
    """Return the names strace may know calls by; those it does not know it passes over."""
    names = {name for call in calls for name in (call.name, call.also) if name}
    names |= {alias for alias, name in ALIASES.items() if name in names}
    return ",".join(f"?{name}" for name in sorted(names))


class Lines:
    """Reads the lines of one strace.

    Attributes:
        open: calls that have begun and not ended: task -> (time, their words).
    """

    def __init__(self) -> None:
        self.open: dict[bytes, tuple[int, bytes]] = {}
        self._sockets: dict[bytes, int] = {}
        self._names: defaultdict[int, deque[bytes]] = defaultdict(deque)

    def name(self, tid: int, name: bytes) -> None:
        """Tell what a thread was called after its next line in which it names itself; empty: nobody knows."""
        self._names[tid].append(name)

    def read(self, block: bytes, offset: int) -> Block:
        """Read whole lines.

        Args:
            block: the lines, each with its end.
            offset: from the clock of the lines, the epoch's, to the boot clock, ns.
        """
        found = _LINE.findall(block)
        if not found:
            return Block(Calls(0), unread=block.count(b"\n"))
        tids, seconds, rests, texts = zip(*found, strict=True)
        times = np.fromiter(map(int, seconds), np.int64, len(found)) * 1_000_000_000
        times += np.fromiter(map(int, rests), np.int64, len(found)) + offset
        ended: list[tuple[int, int]] = []
        early = np.zeros(len(found), bool)
        lines = list(texts)
        odd = [i for i, text in enumerate(texts) if (text[-1:] == b">" and text[:1] == b"<") or text[-4:] == b"...>"]
        odd += [i for i, text in enumerate(texts) if text[:1] in b"+<-"]
        for i in sorted(set(odd)):
            self._odd(i, tids, times, lines, ended, early)
        rows = [i for i, text in enumerate(lines) if text]
        matches = list(map(_CALL.match, map(lines.__getitem__, rows)))
        good = [k for k, match in enumerate(matches) if match is not None]
        made = self._calls([rows[k] for k in good], [m for m in matches if m is not None], tids, times, early)
        made.ended = ended
        made.making = self._making(len(made.calls))
        made.unread = len(matches) - len(good) + block.count(b"\n") - len(found)
        return made

    def _making(self, row: int) -> list[Birth]:
        """Return the tasks that calls make which have not returned; `row` calls have."""
        return [_birth(int(tid), _flags(text), row) for tid, (_, text) in self.open.items() if _MAKES.match(text)]

    def rest(self) -> list[tuple[int, int, bytes]]:
        """Return the calls that have not ended, (task, time, words as far as they were written), and forget them."""
        found = [(int(tid), time, text) for tid, (time, text) in self.open.items()]
        self.open.clear()
        return found

    def unended(self) -> Block:
        """Return them as calls that are in flight."""
        rest = self.rest()
        texts = [text + b") = ?" for *_, text in rest]
        matches = [m for text in texts if (m := _CALL.match(text)) is not None]
        kept = [k for k, text in enumerate(texts) if _CALL.match(text) is not None]
        tids = tuple(b"%d" % tid for tid, *_ in rest)
        times = np.array([time for _, time, _ in rest], np.int64)
        return self._calls(kept, matches, tids, times, np.zeros(len(rest), bool))

    def _odd(
        self,
        i: int,
        tids: tuple[bytes, ...],
        times: np.ndarray,
        lines: list[bytes],
        ended: list[tuple[int, int]],
        early: np.ndarray,
    ) -> None:
        """Read a line that is not one whole call: empty it, or make it one."""
        tid, text = tids[i], lines[i]
        if resumed := _RESUMED.match(text):
            time, begun = self.open.pop(tid, (0, b""))
            rest = text[resumed.end() :]
            if not begun.startswith(resumed[1] + b"("):  # it began before the trace
                early[i] = True
                begun = resumed[1] + b"("
            else:
                times[i] = time
            whole = begun + rest
            if _CUT.search(rest) and b") = ?" not in rest:  # let go in the middle
                self.open[tid] = (int(times[i]), begun)
                lines[i] = b""
            else:
                lines[i] = _CUT.sub(b"", whole) if b"<unfinished ...>" in rest else whole
        elif superseded := _SUPERSEDED.match(text):
            if superseded[1] in self.open:  # that thread goes on under this number
                self.open[tid] = self.open.pop(superseded[1])
            lines[i] = b""
        elif _ENDED.match(text):
            ended.append((int(tid), int(times[i])))
            lines[i] = b""
        elif text[:3] in (b"---", b"+++"):
            lines[i] = b""
        elif (cut := _CUT.search(text, max(0, len(text) - 40))) and cut.end() == len(text):
            self.open[tid] = (int(times[i]), text[: cut.start()])
            lines[i] = b""

    def _calls(
        self,
        rows: list[int],
        matches: list[re.Match[bytes]],
        tids: tuple[bytes, ...],
        times: np.ndarray,
        early: np.ndarray,
    ) -> Block:
        """Make calls of matched lines.

        Args:
            rows: which line each is.
            matches: of `_CALL`.
            tids: of all lines.
            times: of all lines.
            early: of all lines, whether their call began before the trace.
        """
        if not matches:
            return Block(Calls(0))
        names, words, results, files, errors, numbers, seconds, rests = zip(*map(re.Match.groups, matches), strict=True)
        nr = np.fromiter(map(_NUMBERS.get, names, repeat(-1)), np.int64, len(names))
        block = Block(Calls(0))
        strange = np.flatnonzero(nr < 0)
        for k in strange.tolist():
            by_number = names[k].removeprefix(b"syscall_0x")
            if by_number != names[k]:
                nr[k] = int(by_number, 16) if int(by_number, 16) in _OF_NUMBER else -1
                block.unknown += int(nr[k] < 0)
            else:
                block.before += names[k] == b"restart_syscall"
                block.compat += names[k] != b"restart_syscall"
        began = ~early[rows]
        block.before += int((~began & (nr >= 0)).sum())
        kept = np.flatnonzero((nr >= 0) & began)
        calls = block.calls = Calls(len(kept))
        if not len(kept):
            return block
        at = kept.tolist()

        def of(column: tuple[bytes, ...]) -> list[bytes]:
            return [column[k] for k in at] if len(at) < len(column) else list(column)

        line = np.array(rows)[kept]
        calls.nr = nr[kept]
        calls.tid = np.fromiter(map(int, map(tids.__getitem__, line.tolist())), np.int64, len(at))
        calls.time = times[line]
        results_, errors_, files_ = of(results), of(errors), of(files)
        calls.ret = np.fromiter(map(number, results_), np.uint64, len(at)).view(np.int64)
        named = np.array([e is not None for e in errors_]) | np.array([n is not None for n in of(numbers)])
        for k in np.flatnonzero(named).tolist():
            calls.ret[k] = -error_number(errors_[k] or numbers[at[k]])
        whole = np.fromiter(map(int, [s or 0 for s in of(seconds)]), np.int64, len(at))
        part = np.fromiter(map(int, [r or 0 for r in of(rests)]), np.int64, len(at))
        calls.latency = whole * 1_000_000_000 + part
        unanswered = np.array([r == b"?" for r in results_]) & ~named
        calls.flags[unanswered] = wire.EF_IN_FLIGHT
        arguments = list(map(_ARGUMENT.findall, of(words)))
        for n in np.unique(calls.nr).tolist():
            mine = np.flatnonzero(calls.nr == n)
            call = _OF_NUMBER[n]
            given = [[*arguments[k], *_MISSING] for k in mine.tolist()]
            self._fill(block, call, mine, given, [files_[k] for k in mine.tolist()])
        return block

    def _fill(
        self, block: Block, call: Syscall, mine: np.ndarray, given: list[list[bytes]], files: list[bytes]
    ) -> None:
        """Fill the columns of one system call's rows."""
        calls = block.calls
        words: dict[str, list[bytes]] = {}
        for index, argument in enumerate(call.args):
            if argument.role:
                words[argument.role] = [g[index] for g in given]
                if argument.role in _WORDS:
                    calls.args[mine, index] = np.fromiter(map(number, words[argument.role]), np.uint64, len(mine))
        if call.result == "none":
            calls.flags[mine] = wire.EF_NO_RETURN
            calls.ret[mine] = calls.latency[mine] = 0
        if "fd" in words:
            calls.file[mine] = list(map(file_of, words["fd"]))
        if RESULT_FD[call.number]:
            calls.file[mine] = [file_of(b"0" + f) if f else b for f, b in zip(files, calls.file[mine], strict=True)]
        if "fds_out" in words:
            calls.file[mine] = [file_of(m[1]) if (m := _PAIR.search(w)) else None for w in words["fds_out"]]
        if "fd2" in words:
            calls.file2[mine] = list(map(file_of, words["fd2"]))
            calls.extra[mine] = -1
        for role, path, base, null in (
            ("path", "path", "dirfd", "null"),
            ("exec_path", "path", "dirfd", "null"),
            ("text", "path", "", "null"),
            ("path_out", "path", "", "null"),
            ("path2", "path2", "dirfd2", "null2"),
            ("text2", "path2", "", "null2"),
        ):
            if role in words:
                getattr(calls, path)[mine] = list(map(text_of, words[role]))
                getattr(calls, null)[mine] = [w.strip() == b"NULL" for w in words[role]]
                if base in words:
                    getattr(calls, base.replace("dirfd", "base"))[mine] = list(map(_directory, words[base]))
        if "offset" in words:
            calls.pos[mine] = calls.args[mine, call.arg("offset") or 0].view(np.int64)
        for role, column in (("offset_ptr", calls.pos), ("offset2_ptr", calls.extra)):
            if role in words:
                column[mine] = [int(m[1]) if (m := _FIRST.match(w.strip())) else -1 for w in words[role]]
        self._extra(calls, mine, words)
        self._changes(block, call, mine, given, files)

    @staticmethod
    def _extra(calls: Calls, mine: np.ndarray, words: dict[str, list[bytes]]) -> None:
        """Fill the one word more a record has, by the role that says what it is."""
        found: list[int] = []
        extra: dict[str, Callable[[bytes], int]] = {
            "iovec": total_of,
            "msghdr": total_of,
            "sleep_timespec": lambda w: nanoseconds(w, -1, -1),
            "timeout_timespec": lambda w: nanoseconds(w, -1, -2),
            "timeout_timeval": lambda w: nanoseconds(w, -1, -2),
            "epoll_event": lambda w: number(m[1]) if (m := _EVENTS.search(w)) else 0,
            "open_how": lambda w: number(m[1]) if (m := _FLAGS.search(w)) else -1,
            "fds_out": lambda w: int(m[2]) | int(m[3]) << 32 if (m := _PAIR.search(w)) else 0,
        }
        for role, meaning in extra.items():
            if role in words:
                found = list(map(meaning, words[role]))
        if "mmsghdr" in words:
            rets = calls.ret[mine].tolist()
            found = [
                sum(map(int, re.findall(rb"msg_len=(\d+)", w)[: max(ret, 0)]))
                for w, ret in zip(words["mmsghdr"], rets, strict=True)
            ]
        if found:
            calls.extra[mine] = found

    def _changes(
        self, block: Block, call: Syscall, mine: np.ndarray, given: list[list[bytes]], files: list[bytes]
    ) -> None:
        """Note what these calls change beyond themselves: tasks, programs, names, folders, sockets."""
        calls = block.calls
        if call.name in SOCKETS:
            self._note_sockets(block, call, mine, given, files)
        if call.name not in HELPERS:
            return
        for k, words, file in zip(mine.tolist(), given, files, strict=True):
            ret, tid = int(calls.ret[k]), int(calls.tid[k])
            naming = call.name == "prctl" and number(words[0]) == SET_NAME
            name = self._names[tid].popleft() if naming and self._names[tid] else b""
            if ret < 0 or calls.flags[k] & wire.EF_IN_FLIGHT:
                continue
            if call.name in _MAKING and ret > 0:
                made = int(m[1]) if (m := _CALLED_HERE.match(file)) else ret
                block.born[made] = _birth(tid, _flags(b",".join(words)), k)
            elif call.name in ("execve", "execveat"):
                block.execs.append(Change(k, tid, calls.path[k] or b""))
            elif naming:
                block.comms.append(Change(k, tid, name))
            elif call.name == "chdir":
                block.folders.append(Change(k + 1, tid, calls.path[k] or b""))
            elif call.name == "fchdir":
                block.folders.append(Change(k + 1, tid, unescaped(calls.file[k] or b"")))
            elif call.name == "chroot":
                block.roots.append(Change(k + 1, tid, calls.path[k] or b""))

    def _note_sockets(
        self, block: Block, call: Syscall, mine: np.ndarray, given: list[list[bytes]], files: list[bytes]
    ) -> None:
        """Learn what sockets are from the calls that make them; one that is accepted is like the one that listens."""
        for k, words, file in zip(mine.tolist(), given, files, strict=True):
            if call.name in ("socket", "socketpair"):
                kind = max(number(part) for part in words[1].split(b"|") if number(part) <= _KINDS)
                word = socket_word(number(words[0]), kind, number(words[2]))
            else:
                word = self._sockets.get(block.calls.file[k] or b"", 0)
            ends = re.findall(rb"\d+<([^>]*)>", words[3]) if call.name == "socketpair" else [file_of(b"0" + file)]
            block.sockets |= {end: word for end in ends if end is not None and word}
        if len(self._sockets) > _MOST_SOCKETS:
            self._sockets.clear()
        self._sockets |= block.sockets
