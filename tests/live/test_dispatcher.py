"""A dispatcher that several collectors share: each has its own rows, all of them, whatever becomes of the others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ior_nb.engine import bcc

READS = """
import os, sys
print(flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[1])):
    os.preadv(3, [bytearray(1)], 0)
"""
# Holds a dispatcher, and starts tracers at it, each a process of its own. `calls` has the bodies of the tests.
AROUND = """
import ctypes, json, os, select, signal, struct, subprocess, sys, threading
sys.path.insert(0, {root!r})
from ior_nb.engine.collector.dispatcher import Dispatcher
from ior_nb.engine.collector.bpf import misses_of
from ior_nb.syscalls.machine import NUMBERS

SIZES = dict(event_bytes=1 << 20, name_bytes=1 << 20)
dispatcher = Dispatcher(**SIZES, way={way!r})
over = threading.Event()

def listen():
    while not over.is_set():
        if select.select([dispatcher], [], [], 0.05)[0]:
            dispatcher.hear()

listener = threading.Thread(target=listen)
listener.start()

class Trace:
    def __init__(self, *pids, mode="pids", seat=True):
        with dispatcher.seat() as at:
            code = [sys.executable, "-I", "-c", {trace!r}, str(at), json.dumps([mode, *pids])]
            self.process = subprocess.Popen(
                code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=at.descriptors()
            )
        self.seat = at.number

    def begin(self):
        return self.ask("begin")

    def ask(self, what):
        self.process.stdin.write(what + "\\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        found = self.ask("end")
        self.process.communicate()
        return found

READS = {reads!r}

class Load:
    "Makes so many calls when told so, of a kind that nobody else makes."
    def __init__(self, count, code=READS):
        self.process = subprocess.Popen(
            ["sh", "-c", 'exec 3</dev/zero; exec "$@"', "sh", sys.executable, "-I", "-S", "-c", code, str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.pid = self.process.pid
        self.process.stdout.readline()

    def go(self):
        self.process.communicate("\\n")

said = {{}}
try:
    exec({body!r})
finally:
    over.set()
    listener.join()
    dispatcher.close()
print(json.dumps(said))
"""
# A tracer at a seat; what it is asked for it does, and says what it counted.
TRACE = """
import collections, json, struct, sys
sys.path.insert(0, {root!r})
from ior_nb.engine.collector import wire
from ior_nb.engine.collector.machine import Seat
from ior_nb.engine.collector.tracer import Tracer
from ior_nb.syscalls.machine import NUMBERS
tracer = Tracer(event_bytes=1 << 20, name_bytes=1 << 20, seat=Seat.read(sys.argv[1]))
mode, *pids = json.loads(sys.argv[2])
for line in sys.stdin:
    if line == "begin\\n":
        tracer.start({{
            "scope": {{"mode": mode, "pids": pids, "follow": True, "tid": 0, "uid": 0, "cgroup": 0}},
            "enabled": [NUMBERS["preadv2"]], "rates": {{}}, "ignore_tids": [], "ignore_pids": [],
        }})
        print(json.dumps(tracer._hooks.dispatched), flush=True)
    else:
        tracer.detach()
        rows, files = collections.Counter(), set()
        while raw := tracer.events.read(tracer.events.produced):
            for at in range(0, len(raw), tracer.events.stride):
                rows[struct.unpack_from("<I", raw, at + 8 + 116)[0]] += 1
                files.add(struct.unpack_from("<I", raw, at + 8 + 96)[0])
        totals = tracer.totals()
        lost = {{name: n for name, n in totals.items() if n and name in ("lost_ring", "slots_full", "skipped_runs")}}
        print(json.dumps([sorted(rows.items()), totals["seen"], lost, len(files)]), flush=True)
tracer.close()
"""


@pytest.fixture
def held() -> Callable[..., dict[str, Any]]:
    """`held(body)` runs statements around a dispatcher in a process of their own; returns what they put into `said`."""

    def run(body: str, way: str = "auto") -> dict[str, Any]:
        root = str(Path(bcc.__file__).parents[2])
        code = AROUND.format(root=root, body=body, reads=READS, way=way, trace=TRACE.format(root=root))
        ran = subprocess.run([sys.executable, "-I", "-c", code], check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    return run


def test_each_trace_has_its_own_rows(held: Callable[..., dict[str, Any]]) -> None:
    """Two traces at one dispatcher: all calls of their own process each, none of the other's or of nobody's."""
    said = held(
        """
loads = [Load(1009), Load(2003), Load(3001)]
traces = [Trace(load.pid) for load in loads[:2]]
said["dispatched"] = [trace.begin() for trace in traces]
for load in loads:
    load.process.stdin.write("\\n")
    load.process.stdin.flush()
for load in loads:
    load.process.wait()
pids = {load.pid: at for at, load in enumerate(loads)}
for trace in traces:
    rows, seen, lost, _ = trace.end()
    said[str(len(said))] = [{pids[pid]: n for pid, n in rows}, seen, lost]
"""
    )

    assert said == {"dispatched": [True, True], "1": [{"0": 1009}, 1009, {}], "2": [{"1": 2003}, 2003, {}]}


def test_a_second_trace_of_a_process_hangs_beside_the_dispatcher(held: Callable[..., dict[str, Any]]) -> None:
    """A process another trace has, and a trace of everything: each is complete all the same."""
    said = held(
        """
load = Load(1009)
traces = [Trace(load.pid), Trace(load.pid), Trace(mode="all")]
said["dispatched"] = [trace.begin() for trace in traces]
load.go()
found = [dict(trace.end()[0]) for trace in traces]
said["rows"] = [rows.get(load.pid) for rows in found]
"""
    )

    assert said == {"dispatched": [True, False, False], "rows": [1009] * 3}


FAMILY = """
import ctypes, os, subprocess, sys, threading
print(flush=True)
sys.stdin.readline()
def reads(count):
    for _ in range(count): os.preadv(3, [bytearray(1)], 0)
def forked(inner):
    pid = os.fork()
    if not pid:
        inner()
        os._exit(0)
    os.waitpid(pid, 0)
forked(lambda: forked(lambda: reads(7)))
threads = [threading.Thread(target=forked, args=(lambda: reads(11),)) for _ in range(13)]
for t in threads: t.start()
for t in threads: t.join()
CODE = "import os; [os.preadv(3, [bytearray(1)], 0) for _ in range(17)]"
subprocess.run([sys.executable, "-I", "-S", "-c", CODE], close_fds=False, pass_fds=(3,))
other = threading.Thread(target=os.execv, args=(sys.executable, [sys.executable, "-I", "-S", "-c", CODE]))
other.start()
other.join()
"""


@pytest.mark.parametrize("way", ["auto", "tracepoint"])
def test_what_a_process_begins_belongs_to_its_trace(way: str, held: Callable[..., dict[str, Any]]) -> None:
    """Forks, those of threads, vforks, and an exec by a thread that is not the first; a trace between others."""
    said = held(
        f"""
FAMILY = {FAMILY!r}
load, other = Load(0, FAMILY), Load(1009)
traces = [Trace(load.pid), Trace(other.pid)]
said["dispatched"] = [trace.begin() for trace in traces]
load.go(), other.go()
said["seen"] = [trace.end()[1:3] for trace in traces]
""",
        way,
    )

    assert said == {"dispatched": [True, True], "seen": [[7 + 13 * 11 + 17 + 17, {}], [1009, {}]]}


# Reads a file in a folder, at each line it is given, and says so.
HELD_OPEN = """
import os, sys
os.dup2(os.open(sys.argv[1], os.O_RDONLY), 3)
print(flush=True)
for line in sys.stdin:
    os.preadv(3, [bytearray(1)], 0)
    print(flush=True)
"""


def test_renames_by_others_are_seen_by_every_trace(held: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """A file held open has another name after a process in no trace, or in another one, has renamed its folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").touch()
    said = held(
        f"""
HELD_OPEN, folder = {HELD_OPEN!r}, {str(tmp_path)!r}
loads = [Load(folder + "/a/file", HELD_OPEN) for _ in range(2)]
traces = [Trace(load.pid) for load in loads]
said["dispatched"] = [trace.begin() for trace in traces]
def read():
    for load in loads:
        load.process.stdin.write("\\n")
        load.process.stdin.flush()
        load.process.stdout.readline()
read(), read()
os.rename(folder + "/a", folder + "/b")
read(), read()
other = Load(folder, "import os, sys; print(flush=True); input(); os.rename(sys.argv[1] + '/b', sys.argv[1] + '/c')")
traces.append(Trace(other.pid))
said["dispatched"] += [traces[-1].begin()]
other.go()
read(), read()
for load in loads:
    load.process.communicate()
said["files"] = [trace.end()[3] for trace in traces]
"""
    )

    assert said == {"dispatched": [True] * 3, "files": [3, 3, 0]}


# fork() with a number of one's choice: clone3 with set_tid.
REBORN = """
import array
def fork_as(number):
    tid = array.array("i", [number])
    arguments = struct.pack("<11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, tid.buffer_info()[0], 1, 0)
    return ctypes.CDLL(None, use_errno=True).syscall(435, arguments, len(arguments))
"""


def test_a_number_that_comes_again_is_nobodys(held: Callable[..., dict[str, Any]]) -> None:
    """A process that is given the number of one that was traced is in no trace, nor are its children."""
    said = held(
        REBORN
        + """
load = Load(1009)
trace = Trace(load.pid)
trace.begin()
load.go()
child = fork_as(load.pid)
if not child:
    fd = os.open("/dev/zero", os.O_RDONLY)
    os.preadv(fd, [bytearray(1)], 0)
    grandchild = os.fork()
    os.preadv(fd, [bytearray(1)], 0)
    if grandchild:
        os.waitpid(grandchild, 0)
    os._exit(0)
os.waitpid(child, 0)
said["same"] = child == load.pid
said["seen"] = trace.end()[1:3]
"""
    )

    assert said == {"same": True, "seen": [1009, {}]}


def test_a_collector_that_is_killed_leaves_its_seat(held: Callable[..., dict[str, Any]]) -> None:
    """The seat is free again, its programs are gone, its processes are nobody's, and no other trace lacks a row."""
    said = held(
        """
loads = [Load(1009), Load(2003)]
killed, other = traces = [Trace(load.pid) for load in loads]
for trace in traces:
    trace.begin()
killed.process.kill()
killed.process.communicate()
while killed.seat not in dispatcher._free:
    threading.Event().wait(0.001)
again = Trace(loads[0].pid)
said["seat"] = again.seat == killed.seat
said["dispatched"] = again.begin()
for load in loads:
    load.go()
said["seen"] = [trace.end()[1:3] for trace in (again, other)]
"""
    )

    assert said == {"seat": True, "dispatched": True, "seen": [[1009, {}], [2003, {}]]}


def test_it_hangs_in_the_kernel_only_while_somebody_traces(held: Callable[..., dict[str, Any]]) -> None:
    """Between traces nothing is attached, and the next trace is complete again."""
    said = held(
        """
first, second = Load(1009), Load(2003)
trace = Trace(first.pid, second.pid)
said["attached"] = [len(dispatcher._links) > 0]
trace.begin()
said["attached"] += [len(dispatcher._links) > 0]
first.go()
said["seen"] = [trace.ask("pause")[1:3]]
while dispatcher._links:
    threading.Event().wait(0.001)
said["attached"] += [len(dispatcher._links) > 0]
trace.begin()
second.go()
said["seen"] += [trace.end()[1:3]]
"""
    )

    assert said == {"attached": [False, True, False], "seen": [[1009, {}], [2003, {}]]}


def test_a_trace_goes_on_when_who_holds_the_dispatcher_is_gone(held: Callable[..., dict[str, Any]]) -> None:
    """One that runs loses nothing; one that begins hangs in the kernel by itself."""
    said = held(
        """
loads = [Load(1009), Load(2003)]
traces = [Trace(load.pid) for load in loads]
said["dispatched"] = [traces[0].begin()]
over.set()
listener.join()
for bell in dispatcher._bells.values():
    bell.close()
while dispatcher._links:
    os.close(dispatcher._links.pop())
said["dispatched"] += [traces[1].begin()]
for load in loads:
    load.go()
said["seen"] = [trace.end()[1:3] for trace in traces]
dispatcher._bells.clear()
"""
    )

    assert said == {"dispatched": [True, False], "seen": [[1009, {}], [2003, {}]]}
