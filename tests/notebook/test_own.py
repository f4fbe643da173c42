"""Nothing of the tracer's or the notebook's is in a user's trace, and everything of the user's is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ior_nb.commands.verbs import VERBS
from tests.notebook.conftest import Kernel, started

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

# All that can be compared: what Python does between two lines, memory and locks, is left out.
FAMILIES = "FS,Network,AIO,Polling,Process,Time,Signals"

# What each verb is given. `{}` is a folder; `kept` is a trace of one stat.
LINES = {
    "show": "",
    "df": "",
    "sql": "SELECT file, count(*) FROM trace GROUP BY file",
    "filter": "all",
    "diff": "kept kept",
    "record": "{}/part.parquet",
    "load": "{}/kept.parquet",
    "export": "{}/out.html",
}
ROWS = """
import json
print(json.dumps([[r.syscall, r.file, max(r.ret, 0)] for r in sorted(_ior.batch, key=lambda r: r.time_ns)]))
"""
STAT = [["newfstatat", "/etc/hostname", 0]]


@pytest.fixture
def fresh() -> Iterator[Kernel]:
    """A kernel that has not done anything yet."""
    yield from started()


def rows(kernel: Kernel) -> list[list[object]]:
    """Return call, file and result of every row of the last trace, in the order of their beginning."""
    found: list[list[object]] = json.loads(kernel.run(ROWS).text)
    return found


def between(kernel: Kernel, *cells: str) -> list[list[object]]:
    """Run cells while `%ior start` traces; return the rows."""
    kernel.run("import asyncio, os, threading")
    kernel.run(f"%ior start --families {FAMILIES}")
    for cell in cells:
        kernel.run(cell)
    kernel.run("%ior stop")
    return rows(kernel)


@pytest.mark.parametrize("verb", [*VERBS, "nonsense"])
def test_a_verb_used_while_tracing_leaves_no_row(fresh: Kernel, verb: str, tmp_path: Path) -> None:
    """The first use of any verb in a kernel, with all it imports, begins and displays, is not in the user's trace."""
    fresh.run("import os")
    fresh.run(f"%%ior --no-display --name kept --record {tmp_path}/kept.parquet\nos.stat('/etc/hosts')")
    line = f"%ior {verb} {LINES.get(verb, '').format(tmp_path)}"
    before = [line] if verb != "stop" else []
    found = between(fresh, *before, "os.stat('/etc/hostname');", *(["%ior record stop"] if verb == "record" else []))

    assert found == STAT
    assert fresh.run("_ior.accounting.complete, _ior.accounting.left_out > 100").value == "(True, True)"


@pytest.mark.parametrize(
    "cell",
    [
        "1 / 0",
        "def broken(:",
        "print('text', flush=True)",
        "import sys; print('text', file=sys.stderr)",
        "display({'text/plain': 'x'}, raw=True)",
        "'a value'",
        "await asyncio.sleep(0.3)",
        "%ior show\n%ior status",
        "%%ior --no-display\npass",
        "%%ior --sample read=10 --filter errors\npass",
        "get_ipython().run_cell('1 + 1', silent=True);",
    ],
)
def test_what_the_notebook_does_for_a_cell_leaves_no_row(kernel: Kernel, cell: str) -> None:
    """Tracebacks, output, displays, a loop that polls, and cells inside a trace: only the user's own call is there."""
    found = between(kernel, cell, "os.stat('/etc/hostname');")

    # asyncio itself asks in which process it is, in a script as well
    assert [row for row in found if row[0] != "getpid" or "await" not in cell] == STAT


def test_completions_and_the_history_leave_no_row(kernel: Kernel) -> None:
    """What a page asks for between cells and while one awaits is the notebook's work; so is a history that is saved."""
    kernel.run("import asyncio, os")
    kernel.run(f"%ior start --families {FAMILIES}")
    kernel.client.execute("await asyncio.sleep(0.5)\nos.stat('/etc/hostname');")
    kernel.complete("os.pa")
    kernel.run("get_ipython().history_manager.save_flag.set() if get_ipython().history_manager.save_flag else None;")
    kernel.run("%ior stop")

    assert [row for row in rows(kernel) if row[0] != "getpid"] == STAT


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("for _ in range(11): os.pread(zero, 7, 0)", 11),
        ("await work(11)", 11),
        ("background = asyncio.create_task(work(13)); later = asyncio.create_task(work(4))\nawait later", 17),
        ("asyncio.get_running_loop().call_later(0.05, reads, 11)", 11),
        ("await asyncio.to_thread(reads, 11)", 11),
        ("await asyncio.get_running_loop().run_in_executor(None, reads, 11)", 11),
        ("t = threading.Thread(target=reads, args=(11,), name='Control'); t.start(); t.join()", 11),
        ("get_ipython().run_cell('reads(11)')", 11),
        ("exec('reads(11)')\n%time reads(2)", 13),
        ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    reads(11)", 11),
        ("%ior status\nreads(11)\n%ior df\nreads(2)", 13),
        ("class Shown:\n    def _repr_html_(self): reads(11); return ''\nShown()", 11),
        ("reads(11)\n1 / 0", 11),
        ("pid = os.fork()\nif not pid:\n    reads(11); print('child'); os._exit(0)\nos.waitpid(pid, 0)", 11),
    ],
)
def test_what_the_users_code_does_is_there(kernel: Kernel, code: str, count: int) -> None:
    """Whatever way it is run in: threads of any name, tasks and callbacks between cells, children, representations."""
    prepare = "import asyncio, os, threading\nzero = os.open('/dev/zero', 0)\ndef reads(n):\n"
    prepare += "    for _ in range(n): os.pread(zero, 7, 0)\n"
    prepare += "async def work(n):\n    for _ in range(n): os.pread(zero, 7, 0); await asyncio.sleep(0.002)\n"
    kernel.run(prepare)
    kernel.run("%ior start --syscalls pread64")
    kernel.run(code)
    kernel.run("await asyncio.sleep(0.3)")
    kernel.run("%ior stop")
    kernel.run("os.close(zero)")

    assert len(rows(kernel)) == count


def test_what_a_user_owns_is_the_users(kernel: Kernel) -> None:
    """Threads called like a kernel's, classes of modules called like Jupyter's, eventfds, a ZeroMQ of one's own."""
    kernel.run(
        "import os, threading, types, zmq\nzero = os.open('/dev/zero', 0)\nevent = os.eventfd(0)\n"
        "gates = [threading.Event() for _ in range(5)]\n"
        "def work(gate):\n    gate.wait()\n    for _ in range(11): os.pread(zero, 7, 0)\n"
        "module = types.ModuleType('zmq_consumer')\n"
        "exec('import threading\\nclass Consumer(threading.Thread): pass', module.__dict__)\n"
        "kinds = [threading.Thread, threading.Thread, threading.Thread, threading.Thread, module.Consumer]\n"
        "names = ['Controller-1', 'HeartbeatSender', 'ior-pump', 'IPythonHistorySavingThread', 'x']\n"
        "threads = [k(target=work, args=(g,), name=n) for k, g, n in zip(kinds, gates, names)]\n"
        "for t in threads: t.start()\n"
        "context = zmq.Context(); server, client = context.socket(zmq.REP), context.socket(zmq.REQ)\n"
        "port = server.bind_to_random_port('tcp://127.0.0.1'); client.connect(f'tcp://127.0.0.1:{port}')\n"
    )
    kernel.run("%ior start")
    kernel.run("for g in gates: g.set()\nfor t in threads: t.join()")
    kernel.run("for _ in range(7): os.eventfd_write(event, 1)")
    kernel.run("client.send(b'x' * 1009); server.recv(); server.send(b'y'); client.recv()")
    kernel.run("%ior stop")
    found = rows(kernel)
    kernel.run("client.close(0); server.close(0); context.term()")

    assert found.count(["pread64", "/dev/zero", 7]) == 55
    assert sum(row[:2] == ["write", "anon_inode:[eventfd]"] and row[2] == 8 for row in found) >= 7
    sent = [row for row in found if row[0] == "sendto" and isinstance(row[2], int) and row[2] > 1009]
    assert len(sent) == 1


def test_an_attached_debugger_leaves_no_row(fresh: Kernel) -> None:
    """Its threads, its adapter, what it does in the user's threads: not in the trace, attached before or meanwhile."""
    pytest.importorskip("debugpy")
    work = (
        "def stat(): os.stat('/etc/hostname')\nts = [threading.Thread(target=stat) for _ in range(5)]\n"
        "for t in ts: t.start()\nfor t in ts: t.join()"
    )
    fresh.run("import os, threading")
    fresh.run("%ior start")
    fresh.attach_debugger()
    fresh.run(work)
    fresh.run("%ior stop")
    meanwhile = rows(fresh)
    fresh.run("%%ior --no-display\n" + work)
    afterwards = rows(fresh)
    fresh.run(f"%%ior --no-display --families {FAMILIES}\n" + work)

    assert meanwhile == STAT * 5
    assert afterwards == STAT * 5
    assert "getpid" not in [row[0] for row in rows(fresh)]  # Python asks for nothing but the numbers of its threads
    assert "10 of 10 calls counted" in fresh.run("%ior doctor").text  # a collector that starts does not wait for it


def test_a_thread_that_a_debugger_did_not_see_begin_is_itself(fresh: Kernel) -> None:
    """Its dummy may have the number of who attached: what it prints leaves no row, what it stats does."""
    pytest.importorskip("debugpy")
    fresh.run(
        "import _thread, os, threading\ngo, done = threading.Event(), threading.Event()\n"
        "def work():\n    go.wait(); print('x', flush=True); os.stat('/etc/hostname'); done.set()\n"
        "_thread.start_new_thread(work, ());"
    )
    fresh.attach_debugger()
    fresh.run("%%ior --no-display\ngo.set(); done.wait(10)")

    assert rows(fresh) == STAT


def test_tracing_without_the_magics_meets_the_notebook_too() -> None:
    """`ior_nb.trace()` in a cell of a kernel that has not loaded them: the block's calls, and later cells' alone."""
    for kernel in started(load=False):
        kernel.run("import asyncio, ior_nb, os")
        kernel.run(f"with ior_nb.trace(families='{FAMILIES}') as t:\n    os.stat('/etc/hostname'); print('x')")
        kernel.run(f"window = ior_nb.trace(families='{FAMILIES}'); u = window.__enter__()")
        kernel.run("1 / 0")
        kernel.run("print('x', flush=True); await asyncio.sleep(0.2); os.stat('/etc/hostname')")
        kernel.run("window.end()")
        names = kernel.run("print([list(x.batch.text('syscall')) for x in (t, u)])").text.strip()

        assert names in (str([["newfstatat"], [*asked, "newfstatat"]]) for asked in ([], ["getpid"]))


def test_rows_are_counted_as_the_user_gets_them(kernel: Kernel) -> None:
    """`%ior status`, the dashboard's bar and the trace in the end have one number of rows."""
    kernel.run("import os, ior_nb")
    kernel.run("%ior start")
    for _ in range(3):
        kernel.run("print('x'); os.stat('/etc/hostname');")
    status = kernel.run("%ior status").text
    bar = kernel.run("ior_nb.session.session.default_session().live().state().rows")
    kernel.run("%ior stop")

    assert ": 3 rows so far" in status
    assert (bar.value, kernel.run("len(_ior)").value) == ("3", "3")


def test_a_forked_child_has_no_row_of_ours(kernel: Kernel) -> None:
    """It asks for its number before it can say whose work it does: its frames tell, and nothing counts that call."""
    child = "if not pid: print('x'); os.stat('/etc/hosts'); os._exit(0)"
    found = between(kernel, f"pid = os.fork()\n{child}\nos.waitpid(pid, 0);")
    asked = sum(row[0] == "gettid" for row in found)  # Python itself does, in a child

    assert ["newfstatat", "/etc/hosts", 0] in found
    assert kernel.run("any('/ior_nb/' in stack for stack in _ior.batch.text('stack'))").value == "False"
    assert kernel.run("_ior.accounting.unaccounted").value == "0"
    assert kernel.run("_ior.counters.get('gettid', {'calls': 0})['calls']").value == str(asked)
