from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.notebook.conftest import Kernel

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_a_cell_keeps_its_value_output_and_names(kernel: Kernel) -> None:
    """Value, printed text and namespace are as without the magic; the trace is displayed and bound to `_ior`."""
    answer = kernel.run("%%ior\nx = open('/etc/passwd').read()\nprint('hello')\nlen(x) > 0")

    assert (answer.status, answer.text, answer.value) == ("ok", "hello\n", "True")
    assert set(answer.displayed[0]) == {"text/plain", "text/html"}
    assert "/etc/passwd" in answer.displayed[0]["text/plain"]
    assert kernel.run("_ior.__class__.__name__, len(x) > 0").value == "('Trace', True)"


def test_an_indented_cell_runs_as_without_the_magic(kernel: Kernel) -> None:
    """As when a part of a function is pasted below it: IPython takes away what all lines are indented by."""
    body = "    x = open('/etc/hostname').read()\n    if x:\n        x = 7\n    x\n"

    assert kernel.run(body).value == "7"
    assert kernel.run(f"%%ior\n{body}").value == "7"
    assert kernel.run("set(_ior.batch.text('file'))").value == "{'/etc/hostname'}"


def test_on_a_terminal_a_cell_goes_on_below_the_magic(kernel: Kernel) -> None:
    """Enter behind `%%ior` begins the cell's next line, and an empty line ends it, as with every magic of a cell."""

    def asked(cell: str) -> str | None:
        return kernel.run(f"get_ipython().check_complete({cell!r})[0]").value

    assert asked("%%time\n1") == asked("%%ior --no-display") == "'incomplete'"
    assert asked("%%ior\nfor x in range(3):\n    x") == "'incomplete'"
    assert asked("%%ior\n1\n\n") == "'complete'"


def test_a_silenced_value_stays_silent(kernel: Kernel) -> None:
    """A trailing semicolon hides the value, as it does without the magic."""
    assert kernel.run("%%ior\n1 + 1;").value is None


@pytest.mark.parametrize(("families", "printing"), [("FS,Network,AIO", "print(n, flush=True)"), ("all", "n += 1")])
def test_exactly_the_cells_own_calls_are_rows(kernel: Kernel, families: str, printing: str) -> None:
    """13 stats are 13 rows: nothing of the tracer's, nothing of the kernel's messaging when the cell prints.

    A thread that has to wait for the interpreter's lock, as on a busy machine, calls futex; that is its own.
    """
    kernel.run("import os")
    body = f"for n in range(13):\n    os.stat('/etc/hostname')\n    {printing}"
    kernel.run(f"%%ior --families {families} --no-display\n{body}")
    rows = kernel.run(
        "from collections import Counter\n"
        "rows = zip(_ior.batch.text('syscall'), _ior.batch.text('file'))\n"
        "print(Counter(row for row in rows if row != ('futex', '')))"
    )

    assert rows.text.strip() == "Counter({('newfstatat', '/etc/hostname'): 13})"
    assert kernel.run("_ior.accounting.complete, _ior.accounting.unaccounted").value == "(True, 0)"


def test_an_error_is_shown_once_and_fails_the_cell(kernel: Kernel) -> None:
    """The traceback points at the user's line; the trace is there all the same."""
    answer = kernel.run("%%ior\nimport os\nos.stat('/etc/hostname')\n1 / 0")

    assert answer.status == "error"
    assert len(answer.errors) == 1
    assert "ZeroDivisionError" in answer.errors[0]
    assert "magics.py" not in answer.errors[0]
    assert kernel.run("list(_ior.batch.text('file'))").value == "['/etc/hostname']"


def test_top_level_await_works(kernel: Kernel) -> None:
    """A cell that awaits is traced, with its value and its multi-line strings."""
    body = "import asyncio, os\nawait asyncio.sleep(0.01)\nos.stat('/etc/hostname')\ns = '''a\n  b'''\ns"
    code = f"%%ior --syscalls newfstatat\n{body}"
    answer = kernel.run(code)

    assert (answer.status, answer.value) == ("ok", "'a\\n  b'")
    assert kernel.run("len(_ior.batch)").value == "1"


def test_an_interrupt_ends_the_cell_and_keeps_the_trace(kernel: Kernel) -> None:
    """Ctrl-C raises KeyboardInterrupt in the cell; what was traced until then is shown, and the next cell works."""
    timer = threading.Timer(1.5, kernel.manager.interrupt_kernel)
    timer.start()
    answer = kernel.run("%%ior\nimport os, time\nos.stat('/etc/hostname')\ntime.sleep(30)")

    assert answer.status == "error"
    assert "KeyboardInterrupt" in answer.errors[0]
    assert len(answer.displayed) == 1
    assert kernel.run("%%ior\n1").status == "ok"


@pytest.mark.parametrize(
    "code",
    [
        "%%ior --nonsense\n1",
        "%%ior --families Nonsense\n1",
        "%%ior --pid 999999999\n1",
        "%%ior --record /no/such/folder/x.parquet\n1",
        "%%ior --engine magic\n1",
        "%%ior --sample read\n1",
        "%ior nonsense",
        "%ior stop",
        "%ior start --syscalls opneat",
        "%ior record /no/such/folder/x.parquet",
    ],
)
def test_a_mistake_prints_one_line(kernel: Kernel, code: str) -> None:
    """A user's mistake is one UsageError line, no traceback; nothing was run."""
    answer = kernel.run(code)

    said = (answer.text + "".join(answer.errors)).strip()
    assert answer.status == "error"
    assert "UsageError" in said
    assert len(said.splitlines()) == 1
    assert answer.value is None


def test_start_status_df_stop(kernel: Kernel) -> None:
    """A trace over several cells: rows carry the cell they began in."""
    kernel.run("import os")
    assert "tracing process" in kernel.run("%ior start --syscalls stat,newfstatat").text
    kernel.run("for _ in range(5): os.stat('/etc/hostname')")
    kernel.run("for _ in range(7): os.stat('/etc/hosts')")
    status = kernel.run("%ior status").text
    assert "rows so far" in status
    assert "bcc: raw tracepoints, program " in status or "bcc: trace events (+66 ns a call), program " in status
    frame = kernel.run(
        "d = %ior df\nprint(d[d.file.astype(str).str.startswith('/etc/host')].groupby('cell').size().tolist())"
    )
    kernel.run("%ior stop")

    assert frame.text.strip() == "[5, 7]"
    assert kernel.run("%ior status").text.startswith("not tracing")
    count = kernel.run("print((_ior.batch.text('file') == '/etc/hosts').sum(), _ior.accounting.complete)")
    assert count.text.strip() == "7 True"


def test_a_cell_inside_a_running_trace_is_a_window(kernel: Kernel) -> None:
    """`%%ior` while `%ior start` is on traces just that cell; wanting more than is traced is refused."""
    kernel.run("import os")
    kernel.run("%ior start")
    answer = kernel.run("%%ior\nfor _ in range(3): os.stat('/etc/hostname')")
    refused = kernel.run("%%ior --families all\n1")
    inner = kernel.run(
        "print((_ior.batch.text('file') == '/etc/hostname').sum(), len(_ior.batch), _ior.accounting.line())"
    )
    kernel.run("%ior stop")

    assert answer.status == "ok"
    assert refused.status == "error"
    assert inner.text.startswith("3 3 complete: 3 calls seen, 3 recorded")


def test_recording_from_the_magics(kernel: Kernel, tmp_path: Path) -> None:
    """`--record` records a cell; `%ior record` records from now on until told to stop."""
    from ior_nb.sinks.parquet import read

    kernel.run("import os")
    kernel.run(f"%%ior --record {tmp_path}/cell.parquet\nfor _ in range(11): os.stat('/etc/hostname')")
    kernel.run("%ior start --syscalls newfstatat")
    kernel.run(f"%ior record {tmp_path}/part.parquet")
    kernel.run("for _ in range(17): os.stat('/etc/hosts')")
    kernel.run("%ior record stop")
    kernel.run("%ior stop")

    assert read(tmp_path / "cell.parquet")["file"].to_pylist() == ["/etc/hostname"] * 11
    assert read(tmp_path / "part.parquet")["file"].to_pylist().count("/etc/hosts") == 17


def test_text_of_options_is_not_expanded(kernel: Kernel) -> None:
    """`{x}` and `$x` in a line reach the magic as they stand."""
    kernel.run("x = 'FS'")

    assert "{x}" in kernel.run("%%ior --families {x}\n1").evalue


def test_completion_offers_verbs_options_and_values(kernel: Kernel) -> None:
    """Tab completes what the magic knows."""
    assert "start" in kernel.complete("%ior st")
    assert "Network" in kernel.complete("%%ior --families N")
    assert "replay" in kernel.complete("%%ior --engine r")
    assert "parquet" in kernel.complete("%ior export p")


def test_doctor_and_help_print(kernel: Kernel) -> None:
    """Both are text."""
    assert "10 of 10 calls counted" in kernel.run("%ior doctor").text
    assert "%ior record" in kernel.run("%ior help").text


def test_the_html_escapes_hostile_names(kernel: Kernel) -> None:
    """A file called like markup is text in the result's HTML."""
    kernel.run("import os, tempfile; d = tempfile.mkdtemp()")
    answer = kernel.run("%%ior\nopen(d + '/<img src=x onerror=alert(1)>\\x1b[2J', 'w').write('x');")

    page = json.dumps(answer.displayed[0]["text/html"])
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;\\\\x1b[2J" in page


def test_unloading_leaves_no_collector(kernel: Kernel) -> None:
    """`%unload_ext` ends the collector; loading again works."""
    kernel.run("%%ior\n1")
    kernel.run("%unload_ext ior_nb")
    children = kernel.run("print(open('/proc/self/task/%d/children' % __import__('os').getpid()).read().split())")
    kernel.run("%load_ext ior_nb")

    assert children.text.strip() == "[]"
    assert kernel.run("%%ior\n1").status == "ok"
