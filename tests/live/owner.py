"""A process that traces, to be killed: `owner.py FOLDER WORKLOAD own|pid`, run by the tests of faults.

It says on stdout, one JSON object a line: its collector as soon as there is one, then again and again how many rows
its recording holds for sure. A forked worker that lives on, and a load that is traced, run beside it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ior_nb.engine.bcc import BccEngine
from ior_nb.export.arrow import columns
from ior_nb.session.session import TracerSession
from ior_nb.sinks.parquet import Recorder


def say(**facts: Any) -> None:
    """Print one line, at once."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main(folder: Path, workload: str, scope: str) -> None:
    """Trace a load until somebody kills us."""
    from ior_nb import trace

    session = TracerSession()
    session._recorder = Recorder(to_arrow=columns, group_rows=10_007, flush_seconds=0.05)
    engine = session.engine()
    assert isinstance(engine, BccEngine)
    engine.open()
    say(collector=engine.collector_pid)
    worker = os.fork()
    if not worker:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the test waits for the end of our stdout
        signal.pause()
    command = [workload, str(folder), "-", *(["drip"] if scope == "pid" else ["load", "1"])]
    # Whenever we are killed the load ends, too: also before anybody was told of it.
    load = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=subprocess.DEVNULL)
    zero = os.open("/dev/zero", os.O_RDONLY)
    session.record(folder / "recording.parquet")
    with trace(session=session, keep_rows=False, pid=load.pid if scope == "pid" else None):
        say(worker=worker, load=load.pid)
        while True:
            if scope == "own":
                for _ in range(1009):
                    os.pread(zero, 13, 0)
            say(
                rows=session.recorder().status().rows_written, temporary=str(session.recorder().status().temporary_path)
            )
            time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
