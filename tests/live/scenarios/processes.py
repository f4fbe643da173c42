"""Scenarios of processes and threads: life and death, scheduling, signals, names, what restarts."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import signal
import struct
import sys
import threading
import time
from pathlib import Path

from ior_nb.syscalls.machine import NUMBERS
from tests.live.scenarios.calls import ANY, LIBC, NULL, Calls, Fd, at_least, buffer, scenario

PR_SET_NAME = 15


# ---- process, schedule, signals, others


@scenario("process-exec-lifecycle")
def process_exec(c: Calls) -> None:
    def child(inner: Calls) -> None:
        inner.call("getpid")
        inner.call("getppid")
        inner.call("setpgid", 0, 0)

    pid = c.forked(child)
    spawned = os.posix_spawn("/bin/true", ["true"], {})
    c.call("wait4", spawned, buffer(4), 0, NULL, ret=spawned)
    c.note("execve", tid=spawned, ret=0, file="/bin/true", bytes=0)
    c.note("exit_group", tid=spawned, ret=0, state="no return")
    c.call("wait4", pid, buffer(4), 0, NULL, error=errno.ECHILD, is_error=ANY)


@scenario("sched-basic")
def sched_basic(c: Calls) -> None:
    c.call("sched_yield")
    c.call("sched_getscheduler", 0)
    c.call("sched_getparam", 0, buffer(4))
    c.call("sched_getaffinity", 0, 128, buffer(128))
    c.call("sched_get_priority_max", 1, ret=99)


@scenario("signals-basic")
def signals_basic(c: Calls) -> None:
    c.call("rt_sigprocmask", 0, NULL, buffer(8), 8)
    c.call("rt_sigpending", buffer(8), 8)
    c.call("kill", os.getpid(), 0)
    c.call("tgkill", os.getpid(), os.getpid(), 0)
    c.call("rt_sigaction", signal.SIGUSR1, NULL, buffer(64), 8)


@scenario("misc-basic")
def misc_basic(c: Calls) -> None:
    c.call("newuname", buffer(512))
    c.call("sysinfo", buffer(256))
    c.call("umask", 0o077)
    c.call("getrusage", 0, buffer(256))
    c.call("times", buffer(64))


@scenario("priority-basic")
def priority_basic(c: Calls) -> None:
    c.call("getpriority", 0, 0)
    c.call("setpriority", 0, 0, 1)
    c.call("ioprio_get", 1, 0)
    c.call("ioprio_set", 1, 0, 2 << 13 | 5, error=None)


@scenario("posix-timer-lifecycle")
def posix_timer(c: Calls) -> None:
    timer = ctypes.c_int(0)
    c.call("timer_create", 1, NULL, timer)
    c.call("timer_settime", timer.value, 0, buffer(struct.pack("4q", 0, 0, 100, 0)), NULL)
    c.call("timer_gettime", timer.value, buffer(32))
    c.call("timer_getoverrun", timer.value)
    c.call("timer_delete", timer.value)


@scenario("sleep-syscalls")
def sleep_syscalls(c: Calls) -> None:
    c.call("nanosleep", buffer(struct.pack("qq", 0, 1_234_567)), NULL, requested_sleep_ns=1_234_567)
    c.call("clock_nanosleep", 1, 0, buffer(struct.pack("qq", 0, 7_654)), NULL, requested_sleep_ns=7_654)


# ---- what never returns


@scenario("noreturn-syscalls")
def noreturn(c: Calls) -> None:
    """One exit_group of a process, one exit of a thread, one rt_sigreturn a signal: once each."""

    def child(inner: Calls) -> None:
        tids: list[int] = []
        thread = threading.Thread(target=lambda: tids.append(threading.get_native_id()))
        thread.start()
        thread.join()
        while os.path.exists(f"/proc/self/task/{tids[0]}"):  # a joined thread has still to end
            time.sleep(0.001)
        inner.note("exit", tid=tids[0], state="no return", ret=0, latency_ns=0)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        for _ in range(3):
            signal.raise_signal(signal.SIGUSR1)
            inner.note("rt_sigreturn", state="no return")
        inner.note("exit_group", state="no return", ret=0, latency_ns=0)

    c.forked(child)


# ---- what signals interrupt


def _until_in(name: str, tid: int) -> None:
    """Wait until a thread is in a call."""
    while not Path(f"/proc/{tid}/syscall").read_text().startswith(f"{NUMBERS[name]} "):
        time.sleep(0.001)


def _reads(c: Calls, restart: bool) -> None:
    """Reads of a pipe, one of them interrupted by a handler."""
    reader, writer = (Fd(n) for n in os.pipe())
    handled = []
    signal.signal(signal.SIGALRM, lambda *_: handled.append(1))
    signal.siginterrupt(signal.SIGALRM, not restart)
    for size in (1, 2):
        os.write(writer, bytes(size))
        c.call("read", reader, buffer(8), 8, ret=size, bytes=size)

    def late() -> None:
        os.read(alarmed, 1)
        os.write(writer, bytes(3))

    alarmed, alarm = os.pipe()
    signal.set_wakeup_fd(-1)
    thread = threading.Thread(target=late)
    thread.start()
    tid, main = threading.get_native_id(), os.getpid()

    def interrupt() -> None:
        _until_in("read", tid)
        os.kill(main, signal.SIGALRM)
        while not re.search(r"^ShdPnd:\s0+$", Path(f"/proc/{main}/status").read_text(), re.MULTILINE):
            time.sleep(0.001)  # until the signal was taken, and with it the read is over
        os.write(alarm, b"x")

    other = threading.Thread(target=interrupt)
    other.start()
    # The row of the interrupted call says what the kernel says; the program sees 3 bytes, or EINTR.
    c.note("read", file=reader.name, ret=-512, bytes=0, is_error=False)
    got = c.raw("read", reader, buffer(8), 8)
    if restart:
        assert got == 3
        c.note("read", file=reader.name, ret=3, bytes=3, is_error=False)
    else:
        assert got == -errno.EINTR
        c.call("read", reader, buffer(8), 8, ret=3, bytes=3)
    thread.join()
    other.join()


@scenario("signal-restart")
def signal_restart(c: Calls) -> None:
    _reads(c, restart=True)


@scenario("signal-reexec")
def signal_reexec(c: Calls) -> None:
    _reads(c, restart=False)


@scenario("stop-restart")
def stop_restart(c: Calls) -> None:
    """A sleep that is stopped and continued is one row, or one that says it was restarted; never an error."""
    main = os.getpid()
    if (helper := os.fork()) == 0:
        _until_in("nanosleep", main)
        os.kill(main, signal.SIGSTOP)
        while ") T " not in Path(f"/proc/{main}/stat").read_text():
            time.sleep(0.001)
        os.kill(main, signal.SIGCONT)
        os._exit(0)
    c.note("nanosleep", ret=-516, is_error=False, requested_sleep_ns=900_000_000, bytes=0)
    c.note("restart_syscall", ret=0, is_error=False, bytes=0)
    assert c.raw("nanosleep", buffer(struct.pack("qq", 0, 900_000_000)), NULL) == 0
    os.waitpid(helper, 0)


@scenario("handled-sleep")
def handled_sleep(c: Calls) -> None:
    signal.signal(signal.SIGALRM, lambda *_: None)
    main = os.getpid()

    def interrupt() -> None:
        _until_in("nanosleep", main)
        os.kill(main, signal.SIGALRM)

    other = threading.Thread(target=interrupt)
    other.start()
    c.note("nanosleep", ret=-516, is_error=False, requested_sleep_ns=9_000_000_000)
    assert c.raw("nanosleep", buffer(struct.pack("qq", 9, 0)), NULL) == -errno.EINTR
    other.join()


# ---- names of threads


def _named(name: str) -> None:
    LIBC.prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0)


@scenario("thread-comm-short-lived")
def thread_short_lived(c: Calls) -> None:
    fd = c.open("f", content=bytes(64))

    def body(at: int) -> None:
        _named(f"short-{at}")
        for _ in range(4):
            c.call("pread64", fd, buffer(8), 8, 0, bytes=8, comm=f"short-{at}")

    for at in range(40):
        thread = threading.Thread(target=body, args=(at,))
        thread.start()
        thread.join()


@scenario("thread-comm-renamed")
def thread_renamed(c: Calls) -> None:
    fd = c.open("f", content=bytes(64))

    def body() -> None:
        for name in ("before", "after"):
            _named(name)
            c.call("pread64", fd, buffer(8), 8, 0, bytes=8, comm=name)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()


@scenario("thread-comm-late-rename")
def thread_late_rename(c: Calls) -> None:
    """Renamed by another thread, between two calls."""
    fd = c.open("f", content=bytes(64))
    renamed, made = threading.Event(), threading.Event()
    tids: list[int] = []

    def body() -> None:
        _named("early")
        tids.append(threading.get_native_id())
        c.call("pread64", fd, buffer(8), 8, 0, bytes=8, comm="early")
        made.set()
        renamed.wait()
        c.call("pread64", fd, buffer(8), 8, 0, bytes=8, comm="late")

    thread = threading.Thread(target=body)
    thread.start()
    made.wait()
    with open(f"/proc/self/task/{tids[0]}/comm", "w") as file:
        file.write("late")
    renamed.set()
    thread.join()


@scenario("thread-rename-in-open")
def thread_rename_in_open(c: Calls) -> None:
    """Renamed while an open of a pipe waits: the row has the name of the call's end or of its begin."""
    os.mkfifo(c.path("fifo"))

    def body() -> None:
        _named("opening")
        fd = c.opens("openat", -100, c.path("fifo"), os.O_RDONLY, 0, comm=ANY, file=c.path("fifo"))
        c.call("read", fd, buffer(8), 8, bytes=3, comm="opened", file=c.path("fifo"))

    thread = threading.Thread(target=body)
    thread.start()
    while thread.native_id is None:
        time.sleep(0.001)
    _until_in("openat", thread.native_id)
    with open(f"/proc/self/task/{thread.native_id}/comm", "w") as file:
        file.write("opened")
    Path(c.path("fifo")).write_bytes(b"abc")
    thread.join()


@scenario("thread-comm-fdtable")
def thread_fdtable(c: Calls) -> None:
    """A thread that has made no call before changes the descriptors all share."""
    fd = c.open("f")

    def body() -> None:
        c.call("dup3", fd, 300, 0, ret=300, file=fd.name)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    c.call("write", Fd(300), b"abc", 3, bytes=3, file=fd.name)


# ---- fork, exec, thread exit


@scenario("fork-inherit-fds")
def fork_inherit(c: Calls) -> None:
    reader, writer = (Fd(n) for n in os.pipe())
    c.call("write", writer, b"abc", 3, bytes=3)
    c.forked(lambda inner: inner.call("read", reader, buffer(3), 3, bytes=3, file=reader.name) and None)


THREAD_EXEC = """
import ctypes, os, sys, threading
def run():
    os.execv(sys.executable, [sys.executable, '-S', '-c', 'import os; os.pread(200, 7, 0)'])
threading.Thread(target=run).start()
threading.Event().wait()
"""


def _thread_exec(c: Calls) -> int:
    number = c.open("f", content=b"seven!!")
    os.dup2(number, 200, inheritable=True)
    pid = os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", THREAD_EXEC], dict(os.environ))
    assert os.waitpid(pid, 0)[1] == 0
    c.note("pread64", tid=pid, file=number.name, ret=7, bytes=7, fd=200)
    return pid


@scenario("exec-non-leader-thread")
def exec_non_leader(c: Calls) -> None:
    """The thread that executes becomes the leader: the call ends under the leader's number."""
    pid = _thread_exec(c)
    c.note("exit_group", tid=pid, state="no return")


@scenario("exec-into-open")
def exec_into_open(c: Calls) -> None:
    """What the new program opens has its name."""
    path = c.file("read-by-cat", b"seven!!")
    out = os.open("/dev/null", os.O_WRONLY)
    program = os.path.realpath("/bin/cat")
    actions = [(os.POSIX_SPAWN_DUP2, out, 1)]
    pid = os.posix_spawn(program, ["cat", path], {}, file_actions=actions)
    assert os.waitpid(pid, 0)[1] == 0
    c.note("execve", tid=pid, file=program, ret=0, comm="cat")
    c.note("exit_group", tid=pid, state="no return", comm="cat")
    c.note("openat", tid=pid, file=path, path_arg=path, comm="cat")


@scenario("thread-exit-keeps-fd")
def thread_exit_keeps(c: Calls) -> None:
    reader, writer = (Fd(n) for n in os.pipe())
    thread = threading.Thread(target=lambda: c.call("write", writer, b"abc", 3, bytes=3))
    thread.start()
    thread.join()
    c.call("read", reader, buffer(3), 3, bytes=3)
    c.call("write", writer, b"abc", 3, bytes=3)


def _is_zombie(tid: int) -> bool:
    with open(f"/proc/self/task/{tid}/stat") as file:
        return file.read().rsplit(") ", 1)[1][0] == "Z"


@scenario("thread-exit-group-dead")
def thread_exit_group_dead(c: Calls) -> None:
    """The leader ends first; a thread goes on working."""

    def child(inner: Calls) -> None:
        fd = inner.open("f", content=b"x" * 7)
        leader = os.getpid()

        while not _is_zombie(leader):
            time.sleep(0.001)
        inner.call("pread64", fd, buffer(7), 7, 0, bytes=7)

    c.forked(child, leader_ends=True)


@scenario("resource-limits")
def resource_limits(c: Calls) -> None:
    c.call("prlimit64", 0, resource.RLIMIT_NOFILE, NULL, buffer(16))
    c.call("getrlimit", resource.RLIMIT_NOFILE, buffer(16))
    c.call("madvise", NULL, 0, 0, error=None, ret=at_least(-4095))
