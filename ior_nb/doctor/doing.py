"""What is found out by doing: a collector, started as for a trace, runs its trial and loads its program.

It is another process, and root's where sudo makes it so: nothing is loaded into this one, and what works here works in
a trace. It ends with its socket, and the kernel drops what it had loaded.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ior_nb.doctor.finding import Finding
from ior_nb.doctor.host import Host
from ior_nb.doctor.places import Place, install_line
from ior_nb.engine.collector.advice import RECORDING
from ior_nb.engine.collector.bpf import condensed
from ior_nb.engine.collector.hooks import TOLD
from ior_nb.engine.collector.python import why_unknown
from ior_nb.engine.collector.rights import enough
from ior_nb.engine.collector.wire import Frame, Unpacker, pack_json
from ior_nb.engine.spawn import BUFFER_BYTES, IDLE_S, NAME_RING_BYTES, RING_BYTES, Collector, spawn, waited

__all__ = ["Answers", "ask", "judge"]

_MOST_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What the collector said."""

    trial: dict[str, Any]
    load: dict[str, Any]
    """Empty where the trial was refused: then nothing was loaded."""
    seconds: float = 0.0
    """How long loading took."""
    lines: dict[str, Any] = field(default_factory=dict)
    """About Python stacks; empty where nothing was loaded."""
    python: str = ""
    """Why the Python that asks has none; empty where it has."""


def ask() -> Answers:
    """Start a collector; have it try, then load."""
    try:
        collector = spawn()
    except OSError as error:
        return Answers(_failed(f"the collector process cannot be started: {error.strerror or error}"), {})
    try:
        trial = _answer(collector, "trial")
        load: dict[str, Any] = {}
        began = time.monotonic()
        if trial["ok"]:
            sizes = {"event_bytes": RING_BYTES, "name_bytes": NAME_RING_BYTES, "buffer_bytes": BUFFER_BYTES}
            load = _answer(collector, "load", **sizes)
        seconds = time.monotonic() - began
        lines = _answer(collector, "lines") if load.get("ok") else {}
    finally:
        collector.hang_up()
        collector.close()
    return Answers(trial, load, seconds, lines, why_unknown(os.getpid()) if lines else "")


def _answer(collector: Collector, verb: str, **arguments: Any) -> dict[str, Any]:
    unpacker = Unpacker()
    connection = collector.socket
    received: list[bytes] = []

    def more(seconds: float) -> bool:
        connection.settimeout(seconds)
        try:
            received.append(connection.recv(1 << 16))
        except TimeoutError:
            return False
        return True

    try:
        collector.send(pack_json(Frame.REQUEST, {"id": 0, "verb": verb, **arguments}))
        while waited(more, collector.pid, most_s=_MOST_S):
            data = received.pop()
            if not data:
                said = collector.said()
                return _failed(f"the collector ended on its own{f' ({said})' if said else ''}")
            for kind, payload in unpacker.feed(data):
                if kind is Frame.ANSWER:
                    answer: dict[str, Any] = json.loads(payload)
                    return answer
    except OSError as error:
        return _failed(f"the collector's socket broke: {error.strerror or error}")
    return _failed(f"the collector did nothing about {verb!r} for {IDLE_S:.0f} s")


def _failed(message: str) -> dict[str, Any]:
    return {"ok": False, "kind": "SourceError", "message": message, "log": ""}


def judge(answers: Answers, host: Host, place: Place) -> list[Finding]:
    """Return what the answers mean."""
    findings = [_trial(answers.trial, place)]
    if answers.load.get("ok"):
        findings += [_hooks(answers.load, place), _program(answers.load, answers.seconds, host)]
        if answers.lines:
            findings.append(_lines(answers.lines, answers.python))
        if unfilled := answers.load["unfilled"]:
            seen = ", ".join(f"{names} ({why})" for names, why in unfilled.items())
            findings.append(Finding("columns", None, f"not filled: {seen}"))
    elif answers.load:
        findings.append(_refused(answers.load, host, place))
    return findings


def _trial(answer: dict[str, Any], place: Place) -> Finding:
    if not answer["ok"]:
        forbidden = re.search(r"not permitted|not implemented|denied", answer["message"])
        return Finding("trial", False, _reason(answer), place.allowed if forbidden else RECORDING)
    calls, counted = answer["calls"], answer["counted"]
    seen = f"{counted} of {calls} calls counted"
    if counted == calls:
        return Finding("trial", True, seen)
    if counted:  # busy processes, and a kernel that preempts raw tracepoints: `hooks` says what that means
        return Finding("trial", None, seen)
    return Finding("trial", False, seen, RECORDING)


def _hooks(answer: dict[str, Any], place: Place) -> Finding:
    told = TOLD[answer["way"]]
    if answer["way"] == "tracepoint":
        return Finding("hooks", True, f"{told}: raw tracepoints of this kernel can be preempted")
    if answer["notes"]:
        todo = f"let the numbers of trace events be read: {place.numbers}"
        return Finding("hooks", None, f"{told}: calls of busy processes are skipped, and counted", todo)
    return Finding("hooks", True, told)


def _program(answer: dict[str, Any], seconds: float, host: Host) -> Finding:
    folder, why = answer["folder"], answer["cache"]
    if not answer["compiled"]:
        return Finding("program", True, f"from the cache in {folder}, loaded in {seconds:.1f} s")
    seen = f"compiled in {seconds:.1f} s"
    if folder and not why:
        return Finding("program", True, f"{seen}; from now on loaded from the cache in {folder}")
    if not folder:
        return Finding("program", None, f"{seen} at every start: a process with rights of its file's may keep nothing")
    own = not host.is_root and enough(host.capabilities("CapEff"))  # else root's folder is meant
    todo = "set XDG_CACHE_HOME to a folder of this user's own before Jupyter starts"
    return Finding("program", None, f"{seen}: {why}", todo if own and why.startswith("nothing is kept") else "")


def _lines(answer: dict[str, Any], python: str) -> Finding:
    if why := answer["why"] if answer["ok"] else _reason(answer):
        return Finding("lines", None, f"calls have no lines of Python: {why}")
    if python:
        return Finding("lines", None, f"calls of this Python have no lines: {python}")
    return Finding("lines", True, "of Python")


def _refused(answer: dict[str, Any], host: Host, place: Place) -> Finding:
    message = answer["message"]
    shadowed = re.search(r"(/\S+): version [`'](\S+)' not found \(required by (\S+)\)", message)
    if shadowed:
        library, version, by = shadowed.groups()
        seen = f"{os.path.normpath(library)} shadows the system's: {Path(by).name} needs {version}"
        return Finding("bcc", False, seen, _unshadow(Path(os.path.normpath(library)).parent))
    if answer["kind"] == "SourceUnavailable" and "bcc" in message:
        return Finding("bcc", False, message, f"reinstall it: {install_line(host, place)}")
    return Finding("program", False, _reason(answer), f"report this line to the authors; until then {RECORDING}")


def _unshadow(folder: Path) -> str:
    if (folder.parent / "conda-meta").is_dir():
        return f"conda update -p {folder.parent} -c conda-forge libstdcxx-ng"
    if any(Path(part) == folder for part in os.environ.get("LD_LIBRARY_PATH", "").split(":")):
        return f"take {folder} out of LD_LIBRARY_PATH before Jupyter starts"
    return f"run Jupyter with another Python: the libraries of {sys.executable} are too old"


def _reason(answer: dict[str, Any]) -> str:
    """Return the kernel's reason in one line."""
    return "; ".join(filter(None, (answer["message"], *condensed(answer.get("log", "")).splitlines())))
