"""How long a trace takes to begin and to end, and where the time goes.

The whole is measured in a new process, with clocks put around methods of the package from outside. The parts are
measured in another, which does by hand what the collector does: it runs the same functions in the same order.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.bench.report import Row, log
from tests.bench.tools import median

TITLE = "startup: seconds"

_RUN = ["-m", "tests.bench.startup"]


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    rounds = 3 if quick else 7
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        log(f"round {number + 1} of {rounds}")
        for what in ("whole", "parts"):
            done = subprocess.run([sys.executable, *_RUN, what], check=True, stdout=subprocess.PIPE, text=True)
            for name, seconds in json.loads(done.stdout).items():
                found.setdefault(name, []).append(seconds)
    goals = {
        "cold: __enter__ to first event (command)": 1.0,
        "cold: stop": 0.3,
        "warm: __enter__ to first event (command)": 1.0,
        "warm: stop": 0.3,
        "probe toggle": 0.005,
    }
    rows = []
    for name, times in found.items():
        limit = goals.get(name)
        text = f"{median(times):.4f} s"
        rows.append(
            Row.judged(name, median(times), limit, "s", digits=3) if limit else Row(what=f"  {name}", measured=text)
        )
    return rows


class _Probe:
    """Clocks around methods of a class: adds up how long they took, and when they were first called."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.first: dict[str, float] = {}

    def around(self, owner: type, method: str, name: Callable[..., str]) -> None:
        plain = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            self.first.setdefault(method, begin)
            try:
                return plain(*args, **kwargs)
            finally:
                key = name(*args)
                self.seconds[key] = self.seconds.get(key, 0.0) + time.perf_counter() - begin

        setattr(owner, method, timed)


def whole() -> dict[str, float]:
    """Trace a command twice and this process once; return seconds by name."""
    begin = time.perf_counter()
    from ior_nb import TracerSession, trace
    from ior_nb.engine.bcc import BccEngine
    from ior_nb.session.window import Stretch
    from ior_nb.syscalls import resolve

    times = {"import of the package": time.perf_counter() - begin}
    probe = _Probe()
    probe.around(BccEngine, "_spawn", lambda *_: "spawn")
    probe.around(BccEngine, "_ask", lambda _, verb, *__: f"ask {verb}")
    probe.around(Stretch, "receive", lambda *_: "receive")
    probe.around(Stretch, "end", lambda *_: "stop")
    session = TracerSession()
    for state in ("cold", "warm"):
        probe.seconds.clear()
        probe.first.clear()
        begin = time.perf_counter()
        with trace(command=["cat", "/proc/self/stat", "/proc/self/maps"], session=session):
            times[f"{state}: __enter__"] = time.perf_counter() - begin
            sys.stdout.flush()
            time.sleep(0.2)
        times[f"{state}: __enter__ to first event (command)"] = probe.first["receive"] - begin
        times[f"{state}: stop"] = probe.seconds["stop"]
        if state == "cold":
            times["cold: of it, spawn"] = probe.seconds["spawn"]
            times["cold: of it, load (Python, bcc, BTF, compiler, verifier)"] = probe.seconds["ask load"]
        times[f"{state}: of it, attach"] = probe.seconds["ask start"]
    begin = time.perf_counter()
    window = trace(session=session)
    with window:
        times["warm: __enter__ (this process)"] = time.perf_counter() - begin
        engine = session.engine()
        enabled = window._stretch.plan.enabled
        begin = time.perf_counter()
        for _ in range(10):
            engine.set_specs(enabled, {resolve("read").number: 1})
        times["probe toggle"] = (time.perf_counter() - begin) / 10
    session.close()
    return times


def parts() -> dict[str, float]:
    """Do what the collector does on `load` and `start`; return seconds by name."""
    times: dict[str, float] = {}
    last = time.perf_counter()

    def done(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        times[f"collector by hand: {name}"] = now - last
        last = now

    from ior_nb.engine.collector import btf, compiler, hooks, image, machine, processes, program, sizes
    from ior_nb.syscalls import select

    done("import of its modules")
    described = btf.Btf(btf.VMLINUX.read_bytes())
    done("read BTF")
    compiler.import_bcc()
    done("import bcc")
    variant = program.Variant(classic=False, preemptible=False, typed=True)
    text = program.source(
        described,
        variant,
        event_pages=4096,
        name_pages=2048,
        cpus=sizes.possible_cpus(),
        threads=sizes.possible_threads(),
    )
    compiled = compiler.compile_text(text, program.FUNCTIONS)
    done("compile")
    loaded = image.load(compiled, dict.fromkeys(program.FUNCTIONS, hooks.KINDS["raw"]))
    done("create maps, verify and load")
    for number, row in program.all_specs(select((), ("read", "write"), ()), {}):
        loaded.maps["specs"].set(number.to_bytes(4, "little"), row)
    done("write the syscall table")
    hung = hooks.Hooks(loaded.programs, None, machine.Machine(loaded.maps), None)
    hung.begin(processes=True, follow=True)
    for point in hooks.HOOKS:
        hung.attach(point)
    done("attach")
    processes.parents()
    done("scan /proc once")
    hung.detach()
    done("detach")
    return times


if __name__ == "__main__":
    import os

    out = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # the traced command prints, too
    answer = json.dumps({"whole": whole, "parts": parts}[sys.argv[1]]())
    os.write(out, answer.encode())
