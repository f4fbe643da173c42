"""Be a user without any right, and a client of the service: `as_user.py UID SOCKET PYTHON DEED ...`.

    traces SCOPE COMMAND...   trace a command (`command`), a process (`pid:N`), a user (`uid:N`) or all (`system`) while
                              the command runs; print what came of it, as JSON
    tries SCOPE...            do so with several scopes; print the errors
    twice COUNT               trace this process with two sessions; print what each has
    holds FILE                trace this process; say so in FILE, and wait to be killed
    loads LOAD CALLS          trace tests/bench/load.c; print what a call cost, and what was lost
    doctor                    print which way the doctor would take

Everything is imported before the rights go: the interpreter may lie where only root looks.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any


def traces(scope: str, command: list[str]) -> dict[str, Any]:
    """Trace; return the rows' files, and where the calls went, or the error."""
    from ior_nb import errors
    from ior_nb.session.session import TracerSession
    from ior_nb.session.tracing import trace

    kind, _, number = scope.partition(":")
    known: dict[str, dict[str, Any]] = {
        "command": {"command": command},
        "pid": {"pid": int(number) if number.isdecimal() else 0},
        "uid": {"uid": int(number) if number.isdecimal() else 0},
        "cgroup": {"cgroup": number},
        "system": {"system": True},
    }
    with TracerSession(engine=os.environ.get("IOR_NB_ENGINE", "serve")) as session:
        try:
            with trace(**known[kind], session=session, families="all") as t:
                if kind != "command":
                    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        except (errors.SourceError, errors.ConfigError) as error:
            return {"kind": type(error).__name__, "error": str(error)}
        return {
            "files": t.batch.text("file").tolist(),
            "comms": sorted(set(t.batch.text("comm").tolist())),
            "pids": sorted(set(t.batch["pid"].tolist())),
            "accounting": t.accounting.as_dict(),
            "complete": t.accounting.complete,
            "engine": t.engine,
            "why": session.why,
            "how": session.how,
            "notes": list(t.notes),
        }


def loads(program: str, calls: int) -> dict[str, Any]:
    """Trace the load; return its time a call, and where the calls went."""
    from ior_nb.session.session import TracerSession
    from ior_nb.session.tracing import trace

    with TracerSession(engine="serve") as session, tempfile.NamedTemporaryFile("r") as said:
        command = ["sh", "-c", f'exec "$0" "$1" > {said.name}', program, str(calls)]
        with trace(command=command, session=session, keep_rows=False, syscalls=["pread64"]) as t:
            pass
        words = said.read().split()
    return {
        "cpu_ns": int(words[2]) / int(words[0]),
        "seen": t.accounting.seen,
        "emitted": t.accounting.emitted,
        "lost": dict(t.accounting.lost),
    }


def twice(count: int) -> list[dict[str, Any]]:
    """Trace this process with two sessions that overlap; return how many of its opens each has, and what is lost."""
    from ior_nb.session.session import TracerSession
    from ior_nb.session.tracing import trace

    def look(name: str) -> None:
        for _ in range(count):
            with contextlib.suppress(OSError):
                os.open(f"/ior-{name}", os.O_RDONLY)

    with TracerSession(engine="serve") as one, TracerSession(engine="serve") as other:
        with trace(session=one) as first:
            look("before")
            with trace(session=other) as second:
                look("both")
        files = [t.batch.text("file").tolist() for t in (first, second)]
    names = ("before", "both")
    return [
        {"opens": [each.count(f"/ior-{name}") for name in names], "lost": t.accounting.lost_total, "engine": t.engine}
        for each, t in zip(files, (first, second), strict=True)
    ]


def holds(file: str) -> None:
    """Trace until killed."""
    from ior_nb.session.session import TracerSession
    from ior_nb.session.tracing import trace

    with TracerSession(engine="serve") as session, trace(pid=os.getpid(), session=session):
        Path(file).touch()
        while True:
            time.sleep(60)


def main(uid: str, place: str, python: str, deed: str, *words: str) -> int:
    """Import, drop, go."""
    import ior_nb.doctor
    import ior_nb.engine.serve
    import ior_nb.engine.stopping
    import ior_nb.real
    import ior_nb.session.session
    import ior_nb.session.tracing
    from ior_nb.doctor.taken import ways

    ior_nb.real.processes()
    os.environ["IOR_NB_SOCKET"] = place
    warnings.simplefilter("ignore")
    # What numpy and pyarrow import when they are first used.
    with ior_nb.session.session.TracerSession(engine="demo") as session:
        with ior_nb.session.tracing.trace(session=session) as t:
            pass
        len(t.batch.text("file"))
    found = importlib.util.spec_from_file_location("fewer_rights", Path(__file__).with_name("fewer_rights.py"))
    if found is None or found.loader is None:
        return 3
    rights = importlib.util.module_from_spec(found)
    found.loader.exec_module(rights)
    rights.drop(int(uid), [])
    sys.executable = python
    match deed:
        case "traces":
            sys.stdout.write("\n" + json.dumps(traces(words[0], list(words[1:]))) + "\n")
        case "tries":
            tried = [traces(scope, ["/bin/true"]) for scope in words]
            sys.stdout.write(json.dumps([f"{each.get('kind')}: {each.get('error')}" for each in tried]) + "\n")
        case "holds":
            with contextlib.suppress(KeyboardInterrupt):
                holds(words[0])
        case "twice":
            sys.stdout.write(json.dumps(twice(int(words[0]))) + "\n")
        case "loads":
            sys.stdout.write(json.dumps(loads(words[0], int(words[1]))) + "\n")
        case "doctor":
            bad = [ior_nb.doctor.Finding("rights", False, "none")]
            sys.stdout.write(json.dumps([f"{f.name}: {f.seen}" for f in ways(bad)]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
