"""What this machine lacks for tracing, and the one line that mends it.

`examine` reads a few files below `/proc`, `/sys` and `/usr/lib`; it loads no program, imports no bcc and needs no
rights. `report` makes plain text of its findings. A finding is good (`ok=True`), bad (`ok=False`, tracing will fail) or
a remark (`ok=None`). Every bad one says what to do.
"""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ior_nb.engine.collector.distribution import find_bcc

__all__ = ["Finding", "examine", "report"]

_CAP_SYS_ADMIN = 21
_CAP_PERFMON = 38
_CAP_BPF = 39

_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, fixed in the kernel's sources
_INITIAL_USER_NAMESPACE = "user:[4026531837]"  # PROC_USER_INIT_INO

_NEEDED_KERNEL = (5, 8)  # the ring buffer, CAP_BPF and CAP_PERFMON
_RECOMMENDED_KERNEL = (5, 15)  # the oldest long-term release we test the program against
_MEMLOCK_FREE_KERNEL = (5, 11)  # from here on BPF memory counts for the cgroup, not for RLIMIT_MEMLOCK
_MEMLOCK_NEEDED = 256 << 20

_BTF_MAGIC = (b"\x9f\xeb", b"\xeb\x9f")  # BTF header, little and big endian

_BCC_INSTALL = {
    "debian": "sudo apt-get install python3-bpfcc",
    "ubuntu": "sudo apt-get install python3-bpfcc",
    "fedora": "sudo dnf install bcc-tools python3-bcc",
    "rhel": "sudo dnf install bcc-tools python3-bcc",
    "arch": "sudo pacman -S python-bcc",
    "suse": "sudo zypper install python3-bcc",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    """What was looked at, in a word or two."""
    ok: bool | None
    """True: good. False: tracing will fail. None: a remark."""
    seen: str
    """What is there."""
    todo: str = ""
    """What to do, in one line; empty when nothing has to be done."""


def examine(root: Path = Path("/")) -> list[Finding]:
    """Look at this machine; `root` is where its file tree begins, for tests and mounted images."""
    kernel = _text(root / "proc/sys/kernel/osrelease") or platform.release()
    status = _status(root)
    container = _container(root)
    rights = _rights(root, status, container)
    findings = [_system(root), _kernel(kernel), _btf(root), _bcc(root), rights]
    if rights.ok is False:
        findings += _sysctls(root)
    findings += [_lockdown(root), _pid_namespace(root), *_time_namespace(root), *_seccomp(status)]
    if container:
        findings.append(Finding("container", None, container))
    findings += _memlock(root, kernel)
    return findings


def report(findings: list[Finding]) -> str:
    """The findings as plain text, one or two lines each, and a summary."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        mark = {True: "ok  ", False: "FAIL", None: "note"}[finding.ok]
        lines.append(f"{mark}  {finding.name:<{width}}  {finding.seen}")
        if finding.todo:
            lines.append(f"      {'':<{width}}  -> {finding.todo}")
    failed = sum(finding.ok is False for finding in findings)
    lines.append("" if findings else "Nothing was examined.")
    if failed:
        lines.append(f"Tracing will not work yet: {failed} of {len(findings)} checks failed.")
    elif findings:
        lines.append("Everything that tracing needs is here.")
    return "\n".join(lines).lstrip("\n") + "\n"


def _system(root: Path) -> Finding:
    system = _text(root / "proc/sys/kernel/ostype") or platform.system()
    machine = platform.machine()
    seen = f"{system} {machine}"
    if system != "Linux":
        return Finding("system", False, seen, "trace on Linux; here you can replay recordings: engine='replay'")
    if machine not in {"x86_64", "AMD64"} or sys.maxsize < 2**32:
        return Finding(
            "system", False, seen, "trace on 64-bit x86: the syscall table and the registers are those of x86-64"
        )
    return Finding("system", True, seen)


def _kernel(release: str) -> Finding:
    version = _version(release)
    if version is None:
        return Finding("kernel", None, f"unknown release {release!r}", "check that it is Linux 5.15 or newer")
    if version < _NEEDED_KERNEL:
        return Finding("kernel", False, release, "boot Linux 5.15 or newer: the BPF ring buffer came with 5.8")
    if version < _RECOMMENDED_KERNEL:
        return Finding("kernel", None, release, "boot Linux 5.15 or newer if loading the program fails")
    return Finding("kernel", True, release)


def _btf(root: Path) -> Finding:
    todo = "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (those of the distributions are)"
    try:
        with (root / "sys/kernel/btf/vmlinux").open("rb") as file:
            magic = file.read(2)
    except FileNotFoundError:
        return Finding("BTF", False, "no /sys/kernel/btf/vmlinux", todo + "; in a container, mount /sys")
    except OSError as error:
        return Finding("BTF", False, f"/sys/kernel/btf/vmlinux: {error.strerror}", "make /sys/kernel/btf readable here")
    if magic not in _BTF_MAGIC:
        return Finding("BTF", False, f"/sys/kernel/btf/vmlinux begins with {magic.hex() or 'nothing'}", todo)
    return Finding("BTF", True, "/sys/kernel/btf/vmlinux")


def _bcc(root: Path) -> Finding:
    folder = find_bcc(root)
    install = _bcc_install(root)
    if folder is None:
        return Finding(
            "bcc", False, "no bcc of the distribution found", f"{install} (never `pip install bcc`: another project)"
        )
    where = Path("/", (folder / "bcc").relative_to(root))
    found = re.search(r"""__version__\s*=\s*["']([^"']+)""", _text(folder / "bcc/version.py"))
    seen = f"{found[1]} in {where}" if found else str(where)
    if not any(_libraries(root)):
        return Finding("bcc", False, f"{seen}, but no libbcc.so.0", f"reinstall it: {install}")
    return Finding("bcc", True, seen)


def _libraries(root: Path) -> Iterator[Path]:
    for pattern in ("usr/lib/*-linux-gnu", "usr/lib64", "usr/lib", "lib/*-linux-gnu", "lib64", "lib", "usr/local/lib*"):
        for folder in root.glob(pattern):
            yield from folder.glob("libbcc.so.0")


def _bcc_install(root: Path) -> str:
    release = _text(root / "etc/os-release")
    names = " ".join(re.findall(r'^ID(?:_LIKE)?="?([^"\n]*)', release, re.MULTILINE)).split()
    for name in names:
        command = _BCC_INSTALL.get(name.partition("-")[0])
        if command:
            return command
    return "install your distribution's Python 3 package of bcc"


def _rights(root: Path, status: dict[str, str], container: str) -> Finding:
    """Whether this process, or one started with sudo, may load a tracing program."""
    if "CapEff" not in status:
        return Finding("rights", None, "unknown: no /proc/self/status")
    held = int(status["CapEff"], 16)
    if _enough(held) and _link(root / "proc/self/ns/user") not in {"", _INITIAL_USER_NAMESPACE}:
        # The kernel asks for these capabilities in the initial user namespace only.
        return Finding(
            "rights",
            False,
            "capabilities of a user namespace, which do not count",
            "start the container as root, not rootless: sudo podman run --cap-add=BPF --cap-add=PERFMON ...",
        )
    if _enough(held):
        return Finding("rights", True, "CAP_SYS_ADMIN" if _has(held, _CAP_SYS_ADMIN) else "CAP_BPF and CAP_PERFMON")
    names = (("CAP_BPF", _CAP_BPF), ("CAP_PERFMON", _CAP_PERFMON))
    absent = " and ".join(name for name, bit in names if not _has(held, bit))
    if status.get("NoNewPrivs") == "1":
        todo = (
            "start Jupyter from a login shell: here no_new_privs is set, so sudo and file capabilities have no effect"
        )
        return Finding("rights", False, f"no {absent}, and no_new_privs is set", todo)
    # sudo gives no capability that the bounding set lacks, as that of a container does.
    if _enough(int(status.get("CapBnd", "0"), 16)) and _sudo_works():
        return Finding("rights", True, f"no {absent} in this process, but sudo asks for no password")
    if container:
        todo = "start the container with: docker run --cap-add=BPF --cap-add=PERFMON ..."
        return Finding("rights", False, f"no {absent} in this container", todo)
    todo = (
        'sudo setpriv --reuid="$USER" --regid="$(id -g)" --init-groups --inh-caps=+bpf,+perfmon'
        ' --ambient-caps=+bpf,+perfmon env HOME="$HOME" "$(command -v jupyter)" lab'
    )
    return Finding("rights", False, f"no {absent}, and no sudo without a password", todo)


def _has(capabilities: int, bit: int) -> bool:
    return bool(capabilities >> bit & 1)


def _enough(capabilities: int) -> bool:
    return (_has(capabilities, _CAP_BPF) and _has(capabilities, _CAP_PERFMON)) or _has(capabilities, _CAP_SYS_ADMIN)


def _sudo_works() -> bool:
    """Whether sudo would run a command without asking."""
    if shutil.which("sudo") is None:
        return False
    try:
        done = subprocess.run(
            ["sudo", "-n", "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _sysctls(root: Path) -> list[Finding]:
    """Two settings people change in vain when rights are missing."""
    findings = []
    value = _text(root / "proc/sys/kernel/unprivileged_bpf_disabled")
    if value:
        todo = "leave it: tracing needs the capabilities above whatever its value is"
        findings.append(Finding("unprivileged_bpf_disabled", None, value, todo))
    value = _text(root / "proc/sys/kernel/perf_event_paranoid")
    if value:
        todo = "leave it: raw tracepoints ask for CAP_PERFMON whatever its value is"
        findings.append(Finding("perf_event_paranoid", None, value, todo))
    return findings


def _lockdown(root: Path) -> Finding:
    text = _text(root / "sys/kernel/security/lockdown")
    found = re.search(r"\[(\w+)\]", text)
    mode = found[1] if found else "none"
    if mode == "confidentiality":
        todo = "boot without lockdown=confidentiality: it keeps BPF programs from reading kernel memory"
        return Finding("lockdown", False, mode, todo)
    return Finding("lockdown", True, mode)


def _pid_namespace(root: Path) -> Finding:
    link = _link(root / "proc/self/ns/pid")
    if not link:
        return Finding("pid namespace", None, "unknown: no /proc/self/ns/pid")
    if link == _INITIAL_PID_NAMESPACE:
        return Finding("pid namespace", True, "initial")
    return Finding("pid namespace", True, f"nested ({link}): pids are shown as seen from inside")


def _time_namespace(root: Path) -> list[Finding]:
    """A remark when the boot clock of this process is not the kernel's."""
    for line in _text(root / "proc/self/timens_offsets").splitlines():
        clock, *offsets = line.split()
        if clock in {"boottime", "7"} and any(offset != "0" for offset in offsets):
            seen = f"the boot clock is shifted by {offsets[0]} s"
            todo = "if a traced cell comes out empty, start Jupyter outside the time namespace (unshare without --time)"
            return [Finding("time namespace", None, seen, todo)]
    return []


def _seccomp(status: dict[str, str]) -> list[Finding]:
    """A remark when a filter stands between us and bpf(2)."""
    if status.get("Seccomp", "0") == "0":
        return []
    todo = "if loading is refused although the rights are there: docker run --security-opt seccomp=unconfined ..."
    return [Finding("seccomp", None, "a system call filter is active", todo)]


def _container(root: Path) -> str:
    """What says that this is a container, or an empty string."""
    if (root / ".dockerenv").exists():
        return "docker (/.dockerenv)"
    if (root / "run/.containerenv").exists():
        return "podman (/run/.containerenv)"
    manager = _text(root / "run/systemd/container")
    if manager:
        return f"{manager} (/run/systemd/container)"
    found = re.search(r"kubepods|docker|containerd|libpod|lxc", _text(root / "proc/1/cgroup"))
    return f"{found[0]} (/proc/1/cgroup)" if found else ""


def _memlock(root: Path, release: str) -> list[Finding]:
    """The limit of locked memory, on the old kernels where BPF maps count against it."""
    version = _version(release)
    if version is None or version >= _MEMLOCK_FREE_KERNEL:
        return []
    found = re.search(r"^Max locked memory\s+(\d+)", _text(root / "proc/self/limits"), re.MULTILINE)
    if found and int(found[1]) < _MEMLOCK_NEEDED:
        return [
            Finding("locked memory", False, f"{int(found[1]) >> 10} KiB", "ulimit -l unlimited, before Jupyter starts")
        ]
    return []


def _status(root: Path) -> dict[str, str]:
    """`/proc/self/status` as a dictionary."""
    lines = _text(root / "proc/self/status").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key: value.strip() for key, _, value in pairs}


def _version(release: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else None


def _text(path: Path) -> str:
    """The file's text without its last line break; empty when it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    """Where a symbolic link points, which for a namespace names no file; empty when it cannot be read."""
    try:
        return str(path.readlink())
    except OSError:
        return ""
