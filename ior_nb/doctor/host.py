"""A machine as its files and this process' environment show it; whatever cannot be read is empty."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from ior_nb.engine.collector.rights import INITIAL_USER_NAMESPACE, enough
from ior_nb.engine.spawn import sudo_works

__all__ = ["Host"]


class Host:
    """A machine.

    Args:
        root: where its file tree begins.
        environment: of this process.
        sudo: tells whether sudo runs a command without asking; asked only where that matters.
    """

    def __init__(self, root: Path, environment: Mapping[str, str], sudo: Callable[[], bool]) -> None:
        self.root = root
        self.environment = environment
        self._sudo = sudo

    @classmethod
    def at(cls, root: Path) -> Host:
        """Return this machine, or one whose file tree lies in a folder: then nothing but files is looked at."""
        if root == Path("/"):
            return cls(root, os.environ, sudo_works)
        return cls(root, {}, lambda: False)

    # ---- files

    def text(self, name: str) -> str:
        """Return a file's text without its last line break."""
        try:
            return (self.root / name).read_text(errors="replace").strip()
        except OSError:
            return ""

    def link(self, name: str) -> str:
        """Return where a symbolic link points, which for a namespace names no file."""
        try:
            return str((self.root / name).readlink())
        except OSError:
            return ""

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file or folder, as far as this user may know."""
        try:
            return (self.root / name).exists()
        except OSError:
            return False

    @cached_property
    def btf(self) -> bytes:
        """The kernel's BTF."""
        try:
            return (self.root / "sys/kernel/btf/vmlinux").read_bytes()
        except OSError:
            return b""

    # ---- kernel and distribution

    @cached_property
    def release(self) -> str:
        """The kernel's release, as `uname -r` prints it."""
        return self.text("proc/sys/kernel/osrelease") or platform.release()

    @property
    def version(self) -> tuple[int, int] | None:
        """The first two numbers of the release."""
        found = re.match(r"(\d+)\.(\d+)", self.release)
        return (int(found[1]), int(found[2])) if found else None

    @cached_property
    def distribution(self) -> list[str]:
        """The distribution and those it is made from, the nearest first, as os-release names them."""
        release = self.text("etc/os-release")
        return " ".join(re.findall(r"""^ID(?:_LIKE)?=["']?([^"'\n]*)""", release, re.MULTILINE)).split()

    @property
    def title(self) -> str:
        """What the distribution calls itself."""
        found = re.search(r"""^PRETTY_NAME=["']?([^"'\n]*)""", self.text("etc/os-release"), re.MULTILINE)
        return found[1] if found else ""

    # ---- this process

    @cached_property
    def status(self) -> dict[str, str]:
        """`/proc/self/status`."""
        pairs = (line.partition(":") for line in self.text("proc/self/status").splitlines())
        return {key: value.strip() for key, _, value in pairs}

    def capabilities(self, which: str) -> int:
        """Return a set of capabilities: "CapEff", "CapBnd"."""
        return int(self.status.get(which, "0"), 16)

    @property
    def is_root(self) -> bool:
        """Whether this process' effective user is root."""
        return self.status.get("Uid", "").split()[1:2] == ["0"]

    @property
    def no_new_privs(self) -> bool:
        """Whether neither sudo nor file capabilities have an effect."""
        return self.status.get("NoNewPrivs") == "1"

    @property
    def filtered(self) -> bool:
        """Whether a seccomp filter is on."""
        return self.status.get("Seccomp", "0") != "0"

    @property
    def in_user_namespace(self) -> bool:
        """Whether capabilities are those of a namespace: the kernel asks for ours in the initial one only."""
        return self.link("proc/self/ns/user") not in {"", INITIAL_USER_NAMESPACE}

    @cached_property
    def sudo(self) -> bool:
        """Whether sudo makes this process root without asking."""
        return not self.no_new_privs and self._sudo()

    @property
    def rights_of_collector(self) -> int:
        """The capabilities a collector has: those of this process, or all that sudo can give."""
        effective = self.capabilities("CapEff")
        bounding = self.capabilities("CapBnd")  # sudo gives nothing that it lacks, as that of a container does
        return bounding if not enough(effective) and enough(bounding) and self.sudo else effective
