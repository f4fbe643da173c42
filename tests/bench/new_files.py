"""Memory over files that come and go: what reader, collector and kernel hold while five million are made."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ior_nb import TracerSession
from ior_nb.engine.bcc import BccEngine
from ior_nb.session.tracing import trace
from tests.bench.report import Row, log

TITLE = "new files: each made, written, closed, removed; statistics on, no rows kept"
_PIECES = 20


@dataclass(frozen=True, slots=True)
class _Look:
    """What is held, in MiB."""

    reader: float
    collector: float
    maps: float


def measure(quick: bool) -> list[Row]:
    """Make the files and look at memory twenty times."""
    files = 500_000 if quick else 5_000_000
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        program = f"{folder}/new_files"
        subprocess.run(["cc", "-O2", "-o", program, str(Path(__file__).with_suffix(".c"))], check=True)
        engine = BccEngine()
        with (
            TracerSession(engine=engine) as session,
            trace(keep_rows=False, syscalls="openat,open,write,close,unlink", session=session) as traced,
        ):
            run, collector = session.running, engine.collector_pid
            assert run is not None
            assert collector is not None
            run.watch()
            looks = []
            for piece in range(_PIECES):
                each = files // _PIECES
                subprocess.run([program, folder, str(piece * each), str(each)], check=True)
                engine.flush()
                run.statistics.snapshot()
                looks.append(_Look(_resident(os.getpid()), _resident(collector), _maps(collector)))
                log(f"{(piece + 1) * each:,} files: {looks[-1]}")
    # In the first half tables fill to their limits; what is left is how they begin anew, again and again.
    half, late = looks[_PIECES // 2 :], looks[-1]
    accounting = traced.accounting
    return [
        Row(what="files, calls", measured=f"{files:,}, {accounting.seen:,}"),
        Row.judged("lost", accounting.lost_total, 0, "", digits=0),
        Row.judged("reader's memory, growth over the second half", late.reader - half[0].reader, 32, "MiB"),
        Row(what="  at its most, at the end", measured=f"{max(x.reader for x in looks):.0f}, {late.reader:.0f} MiB"),
        Row.judged("collector's memory, growth over the second half", late.collector - half[0].collector, 8, "MiB"),
        Row(what="  at the end", measured=f"{late.collector:.0f} MiB"),
        Row.judged("kernel's maps, growth over the second half", late.maps - half[0].maps, 1, "MiB"),
        Row(what="  at the end", measured=f"{late.maps:.1f} MiB"),
    ]


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def _maps(pid: int) -> float:
    """What the BPF maps a process holds take in the kernel."""
    total = 0
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        words = dict(line.split(":\t", 1) for line in info.read_text().splitlines() if ":\t" in line)
        total += int(words["memlock"]) if "map_type" in words else 0
    return total / 2**20
