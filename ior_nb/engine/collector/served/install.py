"""The service on a machine with systemd: `sudo ior-nb serve --install`."""

from __future__ import annotations

import grp
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ior_nb.engine.collector.served.service import NotServing

__all__ = ["UNITS", "install", "theirs", "unit"]

UNITS: Final = ("ior-nb.socket", "ior-nb.service")
_USER: Final = "ior-nb-serve"  # made while it runs; where a group has its name systemd starts nothing
_TEMPLATES: Final = Path(__file__).parent / "units"
_ROOM: Final = Path("/etc/systemd/system")
_BOOTED: Final = Path("/run/systemd/system")  # there while it runs: sd_booted(3)
_PACKAGE: Final = Path(__file__).resolve().parents[3]


def unit(name: str, *, python: str, group: str) -> str:
    """Return the text of a unit.

    Args:
        name: of `UNITS`.
        python: the interpreter that has the package.
        group: who may use the service.
    """
    home = "read-only" if python.startswith(("/home/", "/root/")) else "yes"
    text = (_TEMPLATES / name).read_text()
    return text.replace("@PYTHON@", python).replace("@GROUP@", group).replace("@USER@", _USER).replace("@HOME@", home)


def install(group: str, say: Callable[[str], None], room: Path = _ROOM) -> None:
    """Write the units, and have systemd listen.

    Args:
        group: who may use the service; it is made where there is none.
        say: is told what was done.
        room: where units lie.

    Raises:
        NotServing: it cannot be installed; nothing was written.
    """
    if group == _USER:
        raise NotServing(f"{_USER} is whom the service runs as: name another group for those who use it (--group)")
    python = str(Path(sys.executable).absolute())
    if os.geteuid() != 0:
        raise NotServing("only root installs a service: sudo ior-nb serve --install")
    if shutil.which("systemctl") is None or not _BOOTED.is_dir():
        raise NotServing("no systemd runs here: have `ior-nb serve` started by what starts services")
    if unsafe := list(theirs([Path(python), Path(os.path.realpath(python)), _PACKAGE])):
        raise NotServing(
            f"others than root can change what the service would run: {', '.join(map(ascii, unsafe[:3]))}; install"
            " ior-nb for the whole machine first: sudo python3 -m venv --system-site-packages /opt/ior-nb"
            " && sudo /opt/ior-nb/bin/pip install CLONE && sudo /opt/ior-nb/bin/ior-nb serve --install, where CLONE is"
            " the folder of its source"
        )
    try:
        grp.getgrnam(group)
    except KeyError:
        _run("groupadd", "--system", group)
        say(f"group {group} is new: sudo usermod -aG {group} NAME lets a user in, from the next login on")
    for name in UNITS:
        (room / name).write_text(unit(name, python=python, group=group))
        say(f"written: {room / name}")
    _run("systemctl", "daemon-reload")
    _run("systemctl", "enable", "--now", UNITS[0])
    say(
        f"systemd listens; for group {group}. The log: journalctl -u ior-nb. To take it away: "
        f"systemctl disable --now {' '.join(UNITS)}, and delete both files"
    )


def theirs(paths: list[Path]) -> Iterator[str]:
    """Yield what others than root may change: of files and folders, what is above them, and what is in the folders."""
    seen: set[Path] = set()
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else ()
        for each in (path, *path.parents, *inside):
            if each in seen:
                continue
            seen.add(each)
            found = each.lstat()
            shared = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
            link = stat.S_ISLNK(found.st_mode)
            if found.st_uid != 0 or (found.st_mode & 0o022 and not shared and not link):
                yield str(each)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise NotServing(f"{' '.join(command)} failed: {done.stderr.strip() or done.returncode}")
