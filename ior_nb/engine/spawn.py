"""How a collector is started, with sudo where that is needed, watched and ended; how long one waits for what it does.

On the standard library alone: the doctor starts one where everything else may be missing.
"""

from __future__ import annotations

import _socket
import contextlib
import functools
import math
import os
import posix
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ior_nb import real
from ior_nb.engine.collector.rights import missing_rights
from ior_nb.real import Descriptor

__all__ = [
    "ASLEEP_S",
    "BUFFER_BYTES",
    "IDLE_S",
    "NAME_RING_BYTES",
    "RING_BYTES",
    "Collector",
    "spawn",
    "sudo_works",
    "waited",
]

# What a collector is asked to load, unless told otherwise: a compiled program is kept for these sizes.
RING_BYTES: Final = 16 << 20
NAME_RING_BYTES: Final = 8 << 20
BUFFER_BYTES: Final = 512 << 20

IDLE_S: Final = 60.0
ASLEEP_S: Final = 5.0  # a collector that owes an answer has something to do
_LOOK_S: Final = 1.0
_SUDO_IDLE_S: Final = 20.0  # without an answer from a name server sudo sleeps for some of them
_END_S: Final = 5.0
_WORDS: Final = 300

_DEVNULL: Final = (posix.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)

_PACKAGE: Final = Path(__file__).resolve().parents[1]
# Nobody's child, for the owner may wait for all of his: the one he started ends at once.
_ALONE: Final = """
import os, sys
for name in os.listdir("/proc/self/fd"):
    if int(name) > 2:
        try: os.close(int(name))
        except OSError: pass
if os.fork(): os._exit(0)
os.setsid()
os.chdir("/")
os.write(0, os.getpid().to_bytes(4, "little"))
"""
# By its place: nothing is put on the path, for back-ports of the standard library may lie beside us.
_RUN: Final = f"""
from importlib import util
folder = {str(_PACKAGE)!r}
spec = util.spec_from_file_location("ior_nb", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["ior_nb"] = module = util.module_from_spec(spec)
spec.loader.exec_module(module)
from ior_nb.engine.collector.__main__ import main
sys.exit(main(["--owner", sys.argv[1]]))
"""


class Collector:
    """A collector process: its socket, its words, its end.

    Any thread may use it, one at a time each way of the socket.

    Args:
        connection: our end of the socket.
        log: its standard error, a file in memory.
    """

    def __init__(self, connection: Descriptor, log: Descriptor) -> None:
        self._ours, self._log = connection, log
        self.socket = _socket.socket(fileno=connection.fd)
        self.pid = 0
        self._began: list[bytes] = []

    @property
    def connection(self) -> _socket.socket:
        """The socket, to receive from.

        Raises:
            OSError: it was closed by somebody else.
        """
        self._ours.fd  # noqa: B018 - it raises
        return self.socket

    def sends_within(self, seconds: float) -> bool:
        """Wait for it to send something, or to end; tell whether it was in time."""
        return _readable(self.connection.fileno(), seconds)

    def send(self, data: bytes) -> None:
        """Send it all.

        Raises:
            OSError: the socket broke, or was closed by somebody else.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self.connection.send(rest, _socket.MSG_NOSIGNAL) :]

    def greeted(self, seconds: float) -> bool:
        """Wait for its number, the first thing it sends; tell whether it came, or will not."""
        self.socket.settimeout(seconds)
        try:
            number = self.socket.recv(4)
        except TimeoutError:
            return False
        self.socket.settimeout(None)
        self.pid = int.from_bytes(number, "little")
        self._began = _stat(self.pid)[19:20] if number else []
        return True

    def said(self) -> str:
        """Return its last words on standard error, in a line; empty where there are none."""
        try:
            text = os.pread(self._log.fd, 1 << 20, 0).decode(errors="replace")
        except OSError:
            return ""
        lines = ["".join(c if c.isprintable() else "?" for c in line) for line in text.splitlines() if line.strip()]
        fatal = [line for line in lines if line.startswith("Fatal Python error")]
        return (fatal or lines or [""])[-1][:_WORDS]

    def hang_up(self) -> None:
        """Have it end, and wait for that; what does not end is killed. Whoever waits for what it sends goes on."""
        try:
            self.connection.shutdown(_socket.SHUT_RDWR)
        except OSError:
            self.kill()
        if not self._ended():
            self.kill()
            self._ended()

    def kill(self) -> None:
        """End it at once."""
        with self._handle() as handle:
            if handle is None:
                return
            try:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            except PermissionError:  # under sudo it is root's
                _run(["sudo", "-n", "--", "kill", "-KILL", str(self.pid)])
            except OSError:
                pass  # it is gone

    def close(self) -> None:
        """Give the descriptors back. Idempotent."""
        self.socket.detach()  # the number may be somebody else's by now
        self._ours.close()
        self._log.close()

    def _ended(self) -> bool:
        """Wait for its end; False when it has not come in time, or cannot come."""
        with self._handle() as handle:
            if handle is None:
                return True
            spent = 0.0
            while spent < _END_S and _state(self.pid) not in _STOPPED:
                if _readable(handle, _LOOK_S):
                    with contextlib.suppress(
                        OSError
                    ):  # where its parent ended it became ours: process 1 of a container
                        posix.waitpid(self.pid, os.WNOHANG)
                    return True
                spent += _LOOK_S
            return False

    @contextlib.contextmanager
    def _handle(self) -> Iterator[int | None]:
        """Give a descriptor of the process; None when it is gone."""
        try:
            handle = os.pidfd_open(self.pid) if self.pid else -1
        except ProcessLookupError:
            handle = -1
        try:
            alive = handle >= 0 and _stat(self.pid)[19:20] == self._began  # else somebody else has its number
            yield handle if alive else None
        finally:
            if handle >= 0:
                os.close(handle)


def spawn(run: str = _RUN, *, sudo: bool = True) -> Collector:
    """Start a collector; it ends when its socket is closed.

    Args:
        run: the Python text it runs; its socket is descriptor 0, its owner the first argument.
        sudo: whether it may be started with sudo, where rights are missing.

    Raises:
        OSError: it cannot be started; `strerror` says why.
    """
    command = [_python(), "-I", "-S", "-X", "faulthandler", "-c", _ALONE + run, str(os.getpid())]
    if sudo and missing_rights() is not None and sudo_works():
        command = ["sudo", "-n", "--", *command]
    ours, theirs = _socket.socketpair()
    collector: Collector | None = None
    try:
        with contextlib.suppress(OSError):
            ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, 8 << 20)
        log = Descriptor(os.memfd_create("ior-nb collector"))
        collector = Collector(Descriptor(ours.detach()), log)
        stdin, stderr = Descriptor(theirs.detach()), log.fd
        try:
            copies = [(posix.POSIX_SPAWN_DUP2, fd, place) for fd, place in ((stdin.fd, 0), (stderr, 2))]
            starter = _start(command, [*copies, _DEVNULL])
        finally:
            stdin.close()
        if not waited(collector.greeted, starter, idle_s=_SUDO_IDLE_S) or not collector.pid:
            with contextlib.suppress(OSError):
                posix.kill(starter, signal.SIGKILL)
            _status(starter)
            raise OSError(0, collector.said() or "it ended at once, without a word")
        _status(starter)
    except BaseException:
        ours.close()
        theirs.close()
        if collector is not None:
            collector.hang_up()
            collector.close()
        raise
    return collector


def _python() -> str:
    """Return the interpreter: this program may be another one that runs Python inside it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in (sys.executable, str(Path(sys.base_prefix, "bin", version)), shutil.which(version)):
        if name and re.search("py(thon|py)", Path(name).name.lower()) and os.access(name, os.X_OK):
            return name
    raise OSError(
        2, f"there is no {version} to run it: {sys.executable!r} is another program, {sys.base_prefix} has none"
    )


def _start(command: list[str], actions: Sequence[Any]) -> int:
    """Start a program with no signal ignored or blocked, away from the terminal; return its number."""
    signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    start = functools.partial(
        posix.posix_spawnp, command[0], command, os.environ, file_actions=actions, setsigmask=(), setsigdef=signals
    )
    try:
        return start(setsid=True)
    except NotImplementedError:  # a Python that was built for an old C library
        return start(setpgroup=0)


def _run(command: list[str]) -> int | None:
    """Run a program in silence; return its exit status, None when it did not end or nobody can tell."""
    nothing = (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    try:
        pid = _start(command, [nothing, _DEVNULL, (posix.POSIX_SPAWN_DUP2, 1, 2)])
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        ended = waited(functools.partial(_readable, handle), pid, idle_s=_SUDO_IDLE_S)
    finally:
        os.close(handle)
    if not ended:
        with contextlib.suppress(OSError):
            posix.kill(pid, signal.SIGKILL)
    return _status(pid)


def _status(pid: int) -> int | None:
    """Wait for a child; return its exit status, None where somebody else has waited for it."""
    try:
        return os.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None


def _readable(fd: int, seconds: float) -> bool:
    poller = real.select.poll()
    poller.register(fd, real.select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def sudo_works() -> bool:
    """Tell whether sudo runs a command without asking."""
    return shutil.which("sudo") is not None and _run(["sudo", "-n", "true"]) == 0


def waited(
    done: Callable[[float], bool],
    pid: int | None,
    *,
    idle_s: float = IDLE_S,
    asleep_s: float = math.inf,
    most_s: float = math.inf,
    busy: Callable[[], bool] = lambda: False,
) -> bool:
    """Wait as long as a process works on something: on an emulated or a loaded machine that takes minutes.

    Args:
        done: waits for at most so many seconds; tells whether it is done.
        pid: of the process; its children count too (sudo has one). One that is stopped is not waited for.
        idle_s: how long it may take no processor time.
        asleep_s: how long, where it also waits for neither a processor nor a disk.
        most_s: how long all of it may take.
        busy: whether what it has done is on its way.

    Returns:
        Whether it is done.
    """
    idle = asleep = spent = 0.0
    worked = -1.0
    while not done(_LOOK_S):
        now = _cpu_seconds(pid) if pid is not None else worked
        state = _state(pid) if pid is not None else ""
        idle = idle + _LOOK_S if now == worked and not busy() else 0.0
        asleep = asleep + _LOOK_S if idle and state == "S" else 0.0
        worked = now
        spent += _LOOK_S
        if state in _STOPPED or idle >= idle_s or asleep >= asleep_s or spent >= most_s:
            return False
    return True


_STOPPED: Final = ("T", "t")


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on, none when the process is gone."""
    with contextlib.suppress(OSError, ValueError):
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return stat[stat.rindex(b")") + 2 :].split()
    return []


def _state(pid: int) -> str:
    return (_stat(pid) or [b""])[0].decode()


def _cpu_seconds(pid: int) -> float:
    """Return the processor time a process and its children have taken so far, 0 when it is gone."""
    total = 0.0
    if fields := _stat(pid):
        total = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        with contextlib.suppress(OSError, ValueError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            total += sum(_cpu_seconds(int(child)) for child in children)
    return total
