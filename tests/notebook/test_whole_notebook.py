"""A notebook of ordinary work, traced from inside with every verb used in between, against strace from outside."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ior_nb.commands.verbs import VERBS
from ior_nb.syscalls import BY_NAME, DEFAULT_FAMILIES, NATIVE, resolve
from tests.notebook.conftest import Kernel, started

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# One a paragraph.
CELLS = r"""
text.write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(20_011)))

with open(text) as stream:
    total = sum(int(line.split(",")[0]) for line in stream if line[0] != "x")
print(total)

frame = pandas.read_csv(text)
frame.describe().shape

frame.to_csv(folder / "out.csv", index=False)
os.path.getsize(folder / "out.csv")

numpy.save(folder / "a.npy", numpy.arange(100_003))
numpy.load(folder / "a.npy")[::7].sum()

with gzip.open(folder / "z.gz", "wb") as z:
    z.write(b"7" * 300_007)
with gzip.open(folder / "z.gz") as z:
    z.read()

connection = sqlite3.connect(folder / "db")
connection.execute("create table t(a)")
connection.executemany("insert into t values (?)", [(i,) for i in range(101)])
connection.commit()
connection.close()

shutil.copytree(folder / "tree", folder / "copy")
sorted(len(files) for _, _, files in os.walk(folder / "copy"))

[path.read_bytes() for path in sorted((folder / "copy").rglob("*.bin"))][0][:3]

1 / 0

open("/nowhere/file")

with contextlib.suppress(OSError):
    os.unlink("/nowhere")
os.rename(folder / "z.gz", folder / "y.gz")

!cat {folder}/out.csv | wc -c > {folder}/count

subprocess.run(["cp", text, folder / "by-cp"], check=True).returncode

pid = os.fork()
if not pid:
    text.read_bytes()
    print("a child")
    os._exit(0)
os.waitpid(pid, 0)[1]

worker = fork.Process(target=copy_of, args=(text, folder / "by-worker"))
worker.start()
worker.join()

with concurrent.futures.ThreadPoolExecutor(3) as pool:
    sizes = list(pool.map(lambda path: len(path.read_bytes()), parts))

await asyncio.gather(*[reads(path) for path in parts])

one, two = socket.socketpair()
one.sendall(b"9" * 4001)
len(two.recv(1 << 16)), one.close(), two.close()

task = asyncio.get_event_loop().create_task(reads(text))
await asyncio.sleep(0.05)
shutil.rmtree(folder / "copy")
""".strip().split("\n\n")
PREPARE = """
import asyncio, concurrent.futures, contextlib, gzip, multiprocessing, os, pathlib, shutil, socket, sqlite3, subprocess
import numpy, pandas
folder = pathlib.Path({folder!r})
text, fork = folder / "text.csv", multiprocessing.get_context("fork")
def copy_of(source, target): target.write_bytes(source.read_bytes())
async def reads(path):
    await asyncio.sleep(0.01)
    return len(path.read_bytes())
def begin():
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tree/deep").mkdir(parents=True)
    for number in range(11): (folder / "tree/deep" / f"{{number}}.bin").write_bytes(bytes(1009 * number))
    globals()["parts"] = sorted((folder / "tree/deep").iterdir())
begin()
"""
# The same without a notebook: a loop that is there, output that goes nowhere, IPython's way to run a command, and an
# open database as its history is one, for SQLite looks twice then.
SCRIPT = """
import ast, inspect, io, json, sys
cells, prepare = json.loads(sys.argv[1])
sys.stdout = sys.stderr = io.StringIO()
space = {"print": lambda *_, **__: None}
exec(prepare, space)
import asyncio, os
from IPython.utils.process import system
history = space["sqlite3"].connect(sys.argv[0] + ".sqlite")
history.execute("create table t(a)")
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
def run(cell):
    if cell[0] == "!":
        return system(cell[1:].format(**space))
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    modules = [(tree, "exec")] + ([(ast.Expression(last.value), "eval")] if last is not None else [])
    for module, mode in modules:
        value = eval(compile(module, "<cell>", mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), space)
        if inspect.iscoroutine(value): loop.run_until_complete(value)
def run_all():
    for cell in cells:
        try: run(cell)
        except Exception: pass
run_all()
space["begin"]()
os.stat("/")
run_all()
os.access("/", 0)
os._exit(0)
"""
VERB_LINES = {
    "sql": "SELECT count(*) FROM trace",
    "diff": "kept kept",
    "record": "{}/part.parquet",
    "load": "{}/kept.parquet",
    "export": "{}/out.html",
    "convert": "{0}/kept.parquet {0}/compact",
}
Call = tuple[str, str, int]


@pytest.fixture
def fresh() -> Iterator[Kernel]:
    """A kernel that has not done anything yet."""
    yield from started()


def test_a_notebook_of_ordinary_work_is_what_strace_sees_from_outside(fresh: Kernel, tmp_path: Path) -> None:
    """20 cells, all verbs in between, a debugger attached: the multiset of (call, file, bytes or error) is strace's."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    ours = by_the_notebook(fresh, tmp_path)
    theirs = by_strace(tmp_path)

    assert {
        call: (ours[call], theirs[call]) for call in ours.keys() | theirs.keys() if ours[call] != theirs[call]
    } == {}
    assert sum(ours.values()) > 500


def by_the_notebook(kernel: Kernel, tmp_path: Path) -> Counter[Call]:
    """Return what `%ior start` sees of the cells."""
    kernel.run(PREPARE.format(folder=str(tmp_path / "work")))
    for cell in CELLS:
        kernel.run(cell)
    kernel.run(f"%%ior --no-display --name kept --record {tmp_path}/kept.parquet\nos.stat('/etc/hosts')")
    kernel.run("begin()")
    verbs = [
        f"%ior {verb} {VERB_LINES.get(verb, '')}".format(tmp_path) for verb in VERBS if verb not in ("start", "stop")
    ]
    assert kernel.run("%ior start").status == "ok"
    for number, cell in enumerate(CELLS):
        kernel.run(cell)
        if number < len(verbs):
            assert kernel.run(verbs[number]).status == "ok", verbs[number]
        if cell.startswith("worker"):  # whoever forks under a debugger waits for it, without any tracer too
            kernel.attach_debugger()
    kernel.run("%ior stop")
    told = kernel.run(
        "import json\nprint(json.dumps([[r.syscall, r.file, r.bytes if r.ret >= 0 else r.ret] for r in _ior.batch]))"
    )
    assert kernel.run("_ior.accounting.complete, _ior.accounting.unaccounted").value == "(True, 0)"
    return Counter(filter(None, (comparable(name, file, value) for name, file, value in json.loads(told.text))))


def by_strace(tmp_path: Path) -> Counter[Call]:
    """Return what strace sees of the same cells as a script."""
    names = ",".join(f"?{call.name}" for call in NATIVE if call.family in DEFAULT_FAMILIES) + ",?sendfile"
    log = tmp_path / "strace.log"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    prepare = PREPARE.format(folder=str(tmp_path / "work"))
    shutil.rmtree(tmp_path / "work")
    options = ["-f", "-y", "-qq", "-s", "4096", "-o", str(log), "-e", f"trace={names}", "-e", "signal=none"]
    subprocess.run(
        ["strace", *options, sys.executable, str(script), json.dumps([CELLS, prepare])],
        stdin=subprocess.PIPE,
        capture_output=True,
        check=True,
    )
    return Counter(filter(None, (comparable(*call) for call in calls_of(log.read_text(errors="backslashreplace")))))


_RESULT = re.compile(r"\) += (?:(0x[0-9a-f]+|-?\d+)(?:<(.*)>)?(\(deleted\))?|\?)(?: (E[A-Z0-9]+) .*| .*)?$")
_DESCRIPTOR = re.compile(r"(?:^|, )(?:\d+|AT_FDCWD)<([^>]*)>(\(deleted\))?")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_APART = ("pipe2", "socketpair", "dup2", "dup3", "close_range", "page_fault")
_TO = ("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "copy_file_range")


def calls_of(log: str) -> Iterator[tuple[str, str, int]]:
    """Return call, file and bytes or error of each line between the markers."""
    begun: dict[str, str] = {}
    inside = False
    for line in log.splitlines():
        tid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[tid] = rest.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest):
            rest = begun.pop(tid, "").rstrip() + resumed[1]
        name, _, rest = rest.partition("(")
        found = _RESULT.search(rest)
        if found is None:
            continue
        if not inside or rest.startswith('"/", F_OK'):
            inside = inside or ('"/", ' in rest and "stat" in name)
            if name.startswith(("access", "faccess")) and rest.count('"/", F_OK'):
                return
            continue
        number = -getattr(errno, found[4]) if found[4] else int(found[1] or "0", 0)
        name = resolve(name).name
        yield name, found[2] or file_of(name, rest[: found.start()]), number


def file_of(name: str, arguments: str) -> str:
    """Return the file a call acted on: of a call on two the second."""
    which = -1 if name in _TO else 0
    bases = [path + (" (deleted)" if gone else "") for path, gone in _DESCRIPTOR.findall(arguments)]
    base = bases[which] if bases else ""
    if BY_NAME[name].arg("path") is None and BY_NAME[name].arg("exec_path") is None:
        return base
    text = _TEXT.findall(arguments)[which]
    return str(Path(base or "/", text)) if text else base


def comparable(name: str, file: str, value: int) -> Call | None:
    """Return a call as both see it; None for what is not compared.

    Descriptors, pipes and sockets have other numbers. How often the terminal of a `!` command is read depends on time.
    Calls on two descriptors or none have no one file. A page that the kernel has to bring in anew is no call.
    """
    file = re.sub(r"\[\d+\]", "[]", re.sub(r"^/tmp/#\d+ \(deleted\)$", "pipe:[]", file))  # where pytest's output goes
    if file.startswith(("/dev/ptmx", "/dev/pts")) or name in _APART:
        return None
    moves = BY_NAME[name].bytes_class != "none"
    return name, file, value if moves or value < 0 else 0
