"""Every way the program can hang in the kernel: the rows are the same by each, whatever this kernel needs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ior_nb.engine import bcc
from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.collector.hooks import ALSO
from ior_nb.engine.collector.loader import WAYS
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.syscalls.machine import NUMBERS
from tests.live.test_known_workload import SCENARIOS, by_thread, differences, key, wrong_columns

if TYPE_CHECKING:
    from tests.live.conftest import Ran

pytestmark = pytest.mark.timeout(180)  # compiling is five seconds of a processor, which others may want too
MOST_INSTRUCTIONS = 100_000

# Prints the number of instructions the verifier went through, by program (struct bpf_prog_info.verified_insns).
VERIFIED = """
import json, struct, sys
sys.path.insert(0, {root!r})
from ior_nb.engine.collector.bpf import info_of
from ior_nb.engine.collector.hooks import KINDS
from ior_nb.engine.collector.machine import AT
from ior_nb.engine.collector.tracer import Tracer
tracer = Tracer(event_bytes=1 << 20, name_bytes=1 << 20, way={way!r})
kind = KINDS["tracepoint" if tracer.loading.way == "tracepoint" else "raw"]
tracer.loading.loaded.add(tracer.loading.image, dict.fromkeys(AT.values(), kind))
tracer.load_stacks()
if tracer.loading.way != "tracepoint":
    tracer.load_pages()
found = {{}}
for name, program in tracer.loading.loaded.programs.items():
    found[name] = struct.unpack_from("<I", info_of(program.fd), 216)[0]
tracer.close()
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=[way for way in WAYS if way != "raw"])
def engine(request: pytest.FixtureRequest, engine_slot: list[BccEngine]) -> Iterator[BccEngine]:
    """A collector that was told which way to take; the other live tests take the one this kernel needs."""
    made = BccEngine(way=request.param)
    engine_slot.append(made)
    yield made
    made.close()
    engine_slot.clear()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_rows_are_the_log_by_every_way(scenario: str, engine: BccEngine, run_scenario: Callable[..., Ran]) -> None:
    """By thread the rows are the known workload's log in every column, nothing is missing and nothing is extra."""
    ran = run_scenario(scenario)
    rows, log = by_thread(list(ran.rows)), by_thread(ran.expected)
    wrong = [
        (row, bad) for tid in log for e, row in zip(log[tid], rows[tid], strict=True) if (bad := wrong_columns(e, row))
    ]

    assert engine.way in WAYS
    assert differences(ran) == {"missing": {}, "extra": {}}
    assert {tid: [key(r) for r in rows[tid]] for tid in rows} == {tid: [e.key for e in log[tid]] for tid in log}
    assert wrong == []
    assert ran.trace.accounting.complete
    assert ran.trace.accounting.unaccounted == 0


# A child whose parent is its maker's parent, children of threads, and a child of that child: each reads its own file.
FAMILY = """
import ctypes, os, sys, threading
libc, folder, CLONE_PARENT, SIGCHLD = ctypes.CDLL(None), sys.argv[1], 0x8000, 17
CLONE = int(sys.argv[2])

def mark(name):
    os.close(os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CREAT))

def forked(name, inner=lambda: None):
    pid = os.fork()
    if not pid:
        mark(name)
        inner()
        os._exit(0)
    os.waitpid(pid, 0)

if not libc.syscall(CLONE, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0):
    mark("sibling")
    forked("sibling-child", lambda: forked("sibling-grandchild"))
    os._exit(0)
threads = [threading.Thread(target=forked, args=(f"thread-{n}",)) for n in range(23)]
for t in threads: t.start()
for t in threads: t.join()
"""


def test_no_child_is_missed(session: TracerSession, tmp_path: Path) -> None:
    """Children of threads that fork at once, of CLONE_PARENT, and theirs: each is traced from its first call."""
    (tmp_path / "family.py").write_text(FAMILY)
    folder = tmp_path / "marks"
    folder.mkdir()
    until = f"until [ -e {folder}/sibling-grandchild ]; do"  # nobody waits for a child of its maker's parent
    command = [
        "sh",
        "-c",
        f"{sys.executable} {tmp_path}/family.py {folder} {NUMBERS['clone']}; {until} sleep 0.02; done",
    ]
    with trace(command=command, session=session) as t:
        pass
    batch = t.batch.take(t.batch.text("syscall") == "openat")
    marks = Counter(Path(f).name for f in batch.text("file") if f.startswith(f"{folder}/"))

    assert marks == Counter([*(f"thread-{n}" for n in range(23)), "sibling", "sibling-child", "sibling-grandchild"])
    assert t.accounting.complete


@pytest.mark.parametrize("way", WAYS)
def test_the_verifier_is_done_soon(way: str) -> None:
    """Each function is verified within 100,000 instructions: a tenth of what the kernel allows, and quick to load."""
    code = VERIFIED.format(root=str(Path(bcc.__file__).parents[2]), way=way)
    ran = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    verified: dict[str, int] = json.loads(ran.stdout)

    assert {*WAYS[way].functions, *ALSO.values()} == {*verified.keys(), *ALSO.values()}
    assert all(0 < count <= MOST_INSTRUCTIONS for count in verified.values()), verified


# Prints (function, instruction) wherever the compiled program has a loop that old verifiers do not take.
RUN_ON = """
import json, sys
sys.path.insert(0, {root!r})
from ior_nb.engine.collector import compiler, loader, loops, program
from ior_nb.engine.collector.btf import VMLINUX, Btf
sizes = dict(event_pages=64, name_pages=64, cpus=2, threads=64)
text = program.source(Btf(VMLINUX.read_bytes()), loader.WAYS[{way!r}], **sizes)
code = compiler.compile_text(text, loader.functions_of(text, loader.WAYS[{way!r}])).code
print(json.dumps([[name, at] for name in code for at in loops.run_on(code[name])]))
"""


@pytest.mark.parametrize("way", WAYS)
def test_every_loop_is_closed_by_a_jump(way: str) -> None:
    """However the compiler lays it out, no function is left with a loop that the verifier of an old kernel refuses."""
    code = RUN_ON.format(root=str(Path(bcc.__file__).parents[2]), way=way)
    ran = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)

    assert json.loads(ran.stdout) == []
