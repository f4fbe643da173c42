"""Do something with fewer rights: `fewer_rights.py UID CAPABILITIES VERB ...`, run by the tests of rights.

    exec PROGRAM ARGUMENTS...        execute a program
    untraced PROGRAM ARGUMENTS...    execute a program that may not trace itself either, as in many containers
    cli PYTHON ARGUMENTS...          the command line of ior_nb, in this process
    files PYTHON SCOPE COMMAND...    trace a command, or by `uid` the user while it runs; print the rows' files, as JSON
    scenarios PYTHON FOLDER NAME...  trace scenarios of the known workload in FOLDER; print what differs, as JSON

CAPABILITIES are numbers with commas between them, or `-`; they become the bounding set too. PYTHON is an interpreter
the user can execute (this one may lie in a folder he cannot enter, so everything is imported before the rights go).
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import struct
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_CAP_AMBIENT = 4, 8, 24, 47
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
CAPSET = 126  # the system call
LAST_CAPABILITY = int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def drop(user: int, capabilities: list[int]) -> None:
    """Become a user with these capabilities and no others, now and after an exec."""
    libc = ctypes.CDLL(None, use_errno=True)

    def must(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "cannot give up rights")

    for number in range(LAST_CAPABILITY + 1):
        if number not in capabilities:
            must(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
    must(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    bits = sum(1 << number for number in capabilities)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header, data = struct.pack("<Ii", 0x20080522, 0), struct.pack("<6I", low, low, low, high, high, high)
    must(libc.syscall(CAPSET, header, data))
    for number in capabilities:
        must(libc.prctl(PR_CAP_AMBIENT, 2, number, 0, 0))
    must(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))


def refuse_ptrace() -> None:
    """Let a filter refuse ptrace to this process and to all that follow from it."""
    from ior_nb.syscalls.machine import NUMBERS

    lines = (0x20, 0, 0, 0), (0x15, 0, 1, NUMBERS["ptrace"]), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000)
    words = b"".join(struct.pack("<HBBI", *line) for line in lines)  # number; ptrace? then EPERM, else allow
    held = ctypes.create_string_buffer(words, len(words))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, 2, struct.pack("<HxxxxxxQ", len(lines), ctypes.addressof(held)), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "cannot refuse ptrace")


def scenarios(folder: Path, names: list[str]) -> dict[str, object]:
    """Trace scenarios of the workload that lies in a folder; return what the rows have too little and too much."""
    from ior_nb.session.session import TracerSession
    from ior_nb.session.tracing import trace

    shared = sys.modules["shared"]
    workload = shared.Workload(program=folder / "workload", tiny=folder / "tiny")
    told: dict[str, object] = {"status": Path("/proc/self/status").read_text()}
    with TracerSession() as session:
        for name in names:
            area = folder / "areas" / name
            area.mkdir()
            with trace(command=workload.command(area, name), session=session, families="all") as t:
                pass
            if t.notes:
                raise RuntimeError(t.notes)
            wanted = Counter(e.key for e in workload.expected(area))
            rows = Counter(
                (r.syscall, r.file, r.bytes, -r.ret if r.is_error else 0) for r in shared.between_markers(t.batch)
            )
            told[name] = {
                "calls": wanted.total(),
                "missing": sorted((wanted - rows).items()),
                "extra": sorted((rows - wanted).items()),
                "complete": t.accounting.complete,
                "unaccounted": t.accounting.unaccounted,
                "returncode": t.returncode,
            }
    return told


def files(scope: str, command: list[str]) -> dict[str, object]:
    """Trace a command; return its files, and where its calls went."""
    from ior_nb.session.session import TracerSession
    from ior_nb.session.tracing import trace

    warnings.simplefilter("ignore")
    with TracerSession() as session:
        if scope == "uid":
            with trace(uid=os.getuid(), session=session, families="all") as t:
                subprocess.run(command, check=True)
        else:
            with trace(command=command, session=session, families="all") as t:
                pass
    return {"files": t.batch.text("file").tolist(), "accounting": t.accounting.as_dict()}


def main(user: str, capabilities: str, verb: str, *words: str) -> int:
    """Import, drop, go."""
    numbers = [int(n) for n in capabilities.split(",")] if capabilities != "-" else []
    if verb in ("exec", "untraced"):
        if verb == "untraced":
            refuse_ptrace()
        drop(int(user), numbers)
        os.execvp(words[0], words)
    import ior_nb.commands.cli
    import ior_nb.engine.bcc
    import ior_nb.real
    import ior_nb.session.session
    import ior_nb.session.tracing

    ior_nb.real.processes()
    found = importlib.util.spec_from_file_location("shared", Path(__file__).with_name("conftest.py"))
    if found is None or found.loader is None:
        return 3
    module = importlib.util.module_from_spec(found)
    sys.modules["shared"] = module
    found.loader.exec_module(module)
    if verb in ("scenarios", "files"):  # what numpy and pyarrow import when they are first used
        with (
            ior_nb.session.session.TracerSession() as session,
            ior_nb.session.tracing.trace(session=session, command=["true"]) as t,
        ):
            pass
        len(t.batch.text("file"))
    drop(int(user), numbers)
    sys.executable = words[0]
    if verb == "cli":
        return ior_nb.commands.cli.main(words[1:])
    if verb == "files":
        sys.stdout.write(json.dumps(files(words[1], list(words[2:]))) + "\n")
        return 0
    sys.stdout.write(json.dumps(scenarios(Path(words[1]), list(words[2:]))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
