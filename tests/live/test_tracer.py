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
        pid, tid, nr, flags, generation = struct.unpack_from("<IIHBB", body, 116)
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


def test_ignoring_a_thread_keeps_what_is_known_of_the_others(by_hand: Callable[[str], dict[str, Any]]) -> None:
    """`ignore` silences the thread from its next call on, writes no slot, and no other thread begins anew by it."""
    said = by_hand(
        """
script = '''
import os, sys, threading
fd, tids, go = os.open("/etc/passwd", os.O_RDONLY), [0, 0], threading.Barrier(3)
def work(number):
    tids[number] = threading.get_native_id()
    go.wait()
    while True:
        go.wait()
        os.pread(fd, 7, 0)
        go.wait()
for number in range(2):
    threading.Thread(target=work, args=(number,), daemon=True).start()
go.wait()
print(*tids, flush=True)
for line in sys.stdin:
    go.wait()
    go.wait()
    print("done", flush=True)
'''
child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
one, two = map(int, child.stdout.readline().split())
def turn():
    child.stdin.write("go\\n")
    child.stdin.flush()
    child.stdout.readline()
    return sorted([e["tid"] == two, e["flags"] & wire.EF_FIRST] for e in drained())
start(calls=(PREAD,), pids=(child.pid,))
said["at first"] = turn()
said["again"] = turn()
tracer.ignore([one])
said["ignored"] = turn()
for number in range(wire.SCOPE_ROUNDS):
    tracer.ignore([number + 5_000_000])
said["often"] = turn()
start(calls=(PREAD,), pids=(child.pid,))
said["next trace"] = turn()
kill(child)
"""
    )

    assert said["at first"] == [[False, 1], [True, 1]]
    assert said["again"] == [[False, 0], [True, 0]]
    assert said["ignored"] == [[True, 0]]
    assert said["often"] in ([[True, 0]], [[True, 1]])
    assert said["next trace"] == [[False, 1], [True, 1]]


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


def test_ignoring_a_thread_loses_nothing_it_does_meanwhile(by_hand: Callable[[str], dict[str, Any]]) -> None:
    """A call that ends while its thread is being ignored has ended: it is not taken for one that never did."""
    said = by_hand(
        """
script = '''
import os, select
os.read(0, 1)
while True:
    os.read(0, 1)
    os.write(1, b"x")
    select.select([0], [], [])
'''
child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
def blocked():
    while not open(f"/proc/{child.pid}/syscall").read().startswith(f"{READ} 0x0 "):
        time.sleep(0.001)
def answer():
    child.stdin.write(b"a")
    child.stdout.read(1)
blocked()
start(pids=(child.pid,))
child.stdin.write(b"a")
while not tracer.totals()["seen"]:
    time.sleep(0.001)
blocked()
slots = tracer._maps["slots"]
keys, moments = slots.keys, [answer]
def looked_at():
    found = list(keys())
    moments.pop()()
    return found
slots.keys = looked_at
tracer.ignore([child.pid])
for moment in moments:
    moment()
answer()
said = {name: tracer.totals()[name] for name in ("seen", "emitted", "killed")}
kill(child)
"""
    )

    assert said == {"seen": 1, "emitted": 1, "killed": 0}
