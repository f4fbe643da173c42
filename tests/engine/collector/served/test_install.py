"""The units of systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ior_nb.engine.collector.hooks import EVENTS, HOOKS
from ior_nb.engine.collector.served import install as module
from ior_nb.engine.collector.served.install import UNITS, install, theirs, unit
from ior_nb.engine.collector.served.service import SOCKET, NotServing, _passed_numbers


def test_the_units_name_the_interpreter_and_the_group() -> None:
    """Nothing of the templates is left, and the socket is where clients look."""
    texts = {name: unit(name, python="/opt/python", group="tracers") for name in UNITS}

    assert not any(
        "@" in line.replace("@system-service", "").split("=~@")[0]
        for line in texts.values()
        for line in line.splitlines()
    )
    assert "ExecStart=/opt/python -I -m ior_nb.engine.collector.served\n" in texts["ior-nb.service"]
    assert "SocketGroup=tracers\n" in texts["ior-nb.socket"]
    assert f"ListenStream={SOCKET}\n" in texts["ior-nb.socket"]


def test_the_service_has_two_capabilities() -> None:
    """And is not root."""
    lines = unit("ior-nb.service", python="/opt/python", group="tracers").splitlines()

    assert {line for line in lines if line.startswith(("Ambient", "CapabilityBounding"))} == {
        "AmbientCapabilities=CAP_BPF CAP_PERFMON",
        "CapabilityBoundingSet=CAP_BPF CAP_PERFMON",
    }
    assert "DynamicUser=yes" in lines


def test_who_it_is_has_another_name_than_the_group_of_its_users() -> None:
    """For a name that a group has systemd makes no user; so no group of that name is taken."""
    text = unit("ior-nb.service", python="/opt/python", group="ior-nb")
    name = next(line.removeprefix("User=") for line in text.splitlines() if line.startswith("User="))

    assert name not in ("ior-nb", "")
    with pytest.raises(NotServing, match="another group"):
        install(name, print)


def test_systemd_reads_the_numbers_of_all_trace_events() -> None:
    """By the names the service looks for, with a default where there is no tracefs."""
    lines = unit("ior-nb.service", python="/opt/python", group="tracers").splitlines()

    for hook, event in EVENTS.items():
        assert f"LoadCredential={hook}:/sys/kernel/tracing/events/{event}/id" in lines
        assert f"SetCredential={hook}:0" in lines


def test_numbers_that_systemd_passes_on_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file each, in the folder it names."""
    for number, hook in enumerate(HOOKS, 1):
        (tmp_path / hook).write_text(f"{number}\n")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    without = _passed_numbers()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert without is None
    assert _passed_numbers() == {hook: number for number, hook in enumerate(HOOKS, 1)}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """Every line is one it knows."""
    for name in UNITS:
        (tmp_path / name).write_text(unit(name, python="/bin/true", group="root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )

    assert [line for line in done.stderr.splitlines() if "ior-nb" in line] == []


def test_without_a_running_systemd_nothing_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a container systemctl may be there, and nobody who starts services: no group, and no units."""
    monkeypatch.setattr(module, "_BOOTED", tmp_path / "none")
    monkeypatch.setattr(module, "_run", lambda *command: pytest.fail(f"ran {command}"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(NotServing, match="no systemd runs here"):
        install("nobody-has-this-group", print, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_what_others_may_change_is_found(tmp_path: Path) -> None:
    """A file anybody may write, and one that is not root's, down to the last module."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").touch(mode=0o644)
    (tmp_path / "package" / "module.py").chmod(0o666)

    assert str(tmp_path / "package" / "module.py") in set(theirs([tmp_path / "package"]))
