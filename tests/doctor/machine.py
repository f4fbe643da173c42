"""A file tree that looks like a machine on which tracing works; tests take away from it."""

from __future__ import annotations

from pathlib import Path

from ior_nb.doctor.checks import look
from ior_nb.doctor.finding import Finding
from ior_nb.doctor.host import Host

FULL = (1 << 41) - 1
BOTH = 1 << 39 | 1 << 38  # CAP_BPF and CAP_PERFMON
DOCKER = 0xA80425FB  # what a container has unless told otherwise
DIST_PACKAGES = "usr/lib/python3/dist-packages"

LOADED = {
    "ok": True,
    "way": "raw",
    "compiled": False,
    "notes": [],
    "cache": "",
    "folder": "/var/cache/ior-nb",
    "unfilled": {},
}
"""What a collector says that has loaded its program."""


class Machine:
    """A Debian on iron, where root runs Jupyter and sudo asks for a password."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {}
        self.sudo = False
        self.write("proc/sys/kernel/ostype", "Linux\n")
        self.write("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n")
        self.write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n")
        self.write("proc/sys/kernel/perf_event_paranoid", "3\n")
        self.write("proc/self/timens_offsets", "monotonic           0         0\nboottime            0         0\n")
        self.write("proc/1/cgroup", "0::/init.scope\n")
        self.write("etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
        self.write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
        self.write("usr/bin/sudo")
        self.write(f"{DIST_PACKAGES}/bcc/__init__.py")
        self.write(f"{DIST_PACKAGES}/bcc/libbcc.py")
        self.write(f"{DIST_PACKAGES}/bcc/version.py", "__version__ = '0.26.0'\n")
        self.write("usr/lib/x86_64-linux-gnu/libbcc.so.0")
        self.write("sys/kernel/btf/vmlinux", b"\x9f\xeb\x01\x00")
        self.link("proc/self/ns/pid", "pid:[4026531836]")
        self.link("proc/self/ns/user", "user:[4026531837]")
        self.status()

    def write(self, name: str, content: str | bytes = "") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def link(self, name: str, target: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def status(
        self, *, effective: int = FULL, bounding: int = FULL, uid: int = 0, seccomp: int = 0, no_new_privs: int = 0
    ) -> None:
        self.write(
            "proc/self/status",
            f"Name:\tpython\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t{effective:016x}\nCapBnd:\t{bounding:016x}\n"
            f"NoNewPrivs:\t{no_new_privs}\nSeccomp:\t{seccomp}\n",
        )

    def limit_memory(self, soft: str, hard: str) -> None:
        self.write("proc/self/limits", f"Max locked memory         {soft}              {hard}            bytes\n")

    @property
    def host(self) -> Host:
        return Host(self.root, self.environment, lambda: self.sudo)

    def look(self) -> list[Finding]:
        return look(self.host)

    def findings(self) -> dict[str, Finding]:
        return {finding.name: finding for finding in self.look()}
