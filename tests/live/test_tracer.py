"""The loaded program from close by: what it does in moments no workload brings about at will."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ior_nb.engine import bcc

# A tracer of its own, without a collector process. `calls` has the bodies of the tests.
AROUND = """
import json, os, struct, subprocess, sys, time
sys.path.insert(0, {root!r})
from ior_nb.engine.collector import tracer as module, wire
from ior_nb.syscalls.machine import NUMBERS

READ, PREAD = NUMBERS["read"], NUMBERS["pread64"]
tracer = module.Tracer(event_bytes=1 << 12, name_bytes=1 << 20)
capacity = (1 << 12) // tracer.events.stride

def start(calls=(READ,), pids=(os.getpid(),), ignore_tids=(), **more):
    return tracer.start({{
        "scope": {{"mode": "pids", "pids": list(pids), "follow": True, "tid": 0, "uid": 0, "cgroup": 0}},
        "enabled": list(calls), "rates": {{}}, "ignore_tids": list(ignore_tids), "ignore_pids": [], **more,
    }})

def reader():
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    while not open(f"/proc/{{child.pid}}/syscall").read().startswith(f"{{READ}} 0x0 "):
        time.sleep(0.001)
    return child

def events(raw):
    found = []
    for at in range(0, len(raw), tracer.events.stride):
        body = raw[at + 8 : at + tracer.events.stride]
        pid, tid, nr, flags, generation = struct.unpack_from("<II24xHBB", body, 116)
        found.append({{"pid": pid, "tid": tid, "nr": nr, "flags": flags, "generation": generation}})
    return found

def drained():
    return events(tracer.events.read(tracer.events.produced))

def kill(child):
    child.kill()
    child.communicate()

said = {{}}
try:
    exec({body!r})
finally:
    tracer.close()
print(json.dumps(said))
"""


@pytest.fixture
def by_hand() -> Callable[[str], dict[str, Any]]:
    """`by_hand(body)` runs statements around a tracer in a process of their own; returns what they put into `said`."""

    def run(body: str) -> dict[str, Any]:
        code = AROUND.format(root=str(Path(bcc.__file__).parents[2]), body=body)
        ran = subprocess.run([sys.executable, "-I", "-c", code], check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    return run


# A call is cut off from its end when the hook at exits of calls is missing: a thread that is killed then is one whose
# call never returns, which else takes a death inside the kernel.
CUT_OFF = """
start(generation=3)
os.close(tracer._hooks._links.pop("sys_exit"))
"""


def test_a_call_in_flight_carries_the_filter_generation_of_its_own_end(
    by_hand: Callable[[str], dict[str, Any]],
) -> None:
    """A row in flight belongs to the filter in force when its thread, or the trace, ended, not when it last judged."""
    said = by_hand(
        CUT_OFF
        + """
killed, alive = reader(), reader()
tracer.set_filter({}, 7)
kill(killed)
said["killed"] = [e["generation"] for e in drained() if e["pid"] == killed.pid]
tracer.set_filter({}, 9)
tracer.detach()
said["alive"] = [e["generation"] for e in events(tracer.in_flight()) if e["pid"] == alive.pid]
kill(alive)
"""
    )

    assert said == {"killed": [7], "alive": [9]}


def test_killed_calls_without_room_in_the_ring_are_lost_and_not_in_flight(
    by_hand: Callable[[str], dict[str, Any]],
) -> None:
    """Every call seen is a row in flight, or counted as lost in the ring where that was full, and never both."""
    said = by_hand(
        CUT_OFF
        + """
children = [reader() for _ in range(capacity + 11)]
before = tracer.totals()
for child in children:
    kill(child)
after = tracer.totals()
said = {name: after[name] - before[name] for name in ("seen", "killed", "lost_ring", "emitted")}
said["rows"] = sum(e["flags"] & wire.EF_IN_FLIGHT != 0 for e in drained()) - capacity
said["killed"] -= capacity
"""
    )

    assert said == {"seen": 0, "killed": 0, "lost_ring": 11, "emitted": 0, "rows": 0}


def test_the_dead_are_no_targets(by_hand: Callable[[str], dict[str, Any]]) -> None:
    """A descendant that ended while the targets were being put in place leaves no entry to whoever gets its number."""
    said = by_hand(
        """
gone = subprocess.Popen(["true"])
gone.wait()
undead = subprocess.Popen(["true"])
while open(f"/proc/{undead.pid}/stat").read().split()[2] != "Z":
    time.sleep(0.001)
alive = reader()
scan, listed = module.descendants, module.threads
module.descendants = lambda roots: {gone.pid: os.getpid(), **scan(roots)}
module.threads = lambda pid: [gone.pid] if pid == gone.pid else listed(pid)
found = start()
for name, pid in (("gone", gone.pid), ("undead", undead.pid), ("alive", alive.pid)):
    said[name] = [pid in map(int, found["running"])]
    key = struct.pack("<I", pid)
    said[name] += [tracer._maps[table].get(key) is not None for table in ("targets", "slots")]
kill(alive)
undead.wait()
"""
    )

    assert said == {"gone": [False] * 3, "undead": [False] * 3, "alive": [True] * 3}


AS_OWNER = """
import mmap, threading
descriptor, size = tracer.doing()
doing = mmap.mmap(descriptor, size)
fd = os.open("/etc/passwd", os.O_RDONLY)
me = threading.get_native_id()
def reads(count):
    for _ in range(count):
        os.pread(fd, 7, 0)
def counted():
    return [tracer.totals()[name] for name in ("seen", "left_out")]
CODE = "import os, sys\\nfor _ in range(1009): os.pread(int(sys.argv[1]), 7, 0)"
def execute():
    os.set_inheritable(fd, True)
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", CODE, str(fd)])
getpid, os.getpid = os.getpid, lambda: 0  # a collector ignores its own process
start(calls=(PREAD,), owner=getpid())
os.getpid = getpid
"""


def test_a_call_is_left_out_while_its_thread_does_other_work(by_hand: Callable[[str], dict[str, Any]]) -> None:
    """A thread's byte decides call by call, without a request: what it keeps out makes no row, and is counted."""
    said = by_hand(
        AS_OWNER
        + """
for state, count in ((0, 3), (1, 5), (2, 7), (0, 11)):
    doing[me] = state
    reads(count)
said["counted"] = counted()
said["rows"] = len(drained())
"""
    )

    assert said == {"counted": [14, 12], "rows": 14}


def test_threads_belong_to_the_work_that_began_them(by_hand: Callable[[str], dict[str, Any]]) -> None:
    """A thread has its beginner's byte from its first call on; its number is the user's again when it has ended."""
    said = by_hand(
        AS_OWNER
        + """
def born(state):
    doing[me] = state
    seen = []
    def work():
        seen.append((threading.get_native_id(), doing[threading.get_native_id()]))
        reads(10)
    thread = threading.Thread(target=work)
    thread.start()
    doing[me] = 0
    thread.join()
    number, at_first = seen[0]
    while os.path.exists(f"/proc/self/task/{number}"):
        time.sleep(0.001)
    return at_first, doing[number]
said["born"] = [born(state) for state in (0, 1, 2)]
said["counted"] = counted()
"""
    )

    assert said == {"born": [[0, 0], [1, 0], [2, 0]], "counted": [10, 20]}


def test_processes_are_the_users_but_for_the_tracers_own(by_hand: Callable[[str], dict[str, Any]]) -> None:
    """A child is in from its first call on with all it begins, and out with all of that in the tracer's own work."""
    said = by_hand(
        AS_OWNER
        + """
def forked(state):
    before = counted()
    doing[me] = state
    pid = os.fork()
    if not pid:
        reads(10)
        if not os.fork():
            execute()
        os.wait()
        os._exit(0)
    doing[me] = 0
    os.waitpid(pid, 0)
    return [after - old for after, old in zip(counted(), before)]
found = [forked(state) for state in (0, 1, 2)]
said["in"] = [seen >= 1019 and left_out == 0 for seen, left_out in found[:2]]
said["left out"] = found[2][0] == 0 and found[2][1] >= 1019
"""
    )

    assert said == {"in": [True, True], "left out": True}


def test_a_forked_child_says_for_itself_until_it_executes(by_hand: Callable[[str], dict[str, Any]]) -> None:
    """A child has the mapping, under its own number; a program it executes is the user's whatever the byte says."""
    said = by_hand(
        AS_OWNER
        + """
child = os.fork()
if not child:
    reads(3)
    doing[os.getpid()] = 1
    reads(5)
    execute()
os.waitpid(child, 0)
seen, said["left out"] = counted()
said["seen"] = seen >= 1012
"""
    )

    assert said == {"seen": True, "left out": 5}
