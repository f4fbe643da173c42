"""What files tell: nothing is loaded, no bcc is imported, no rights are needed."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ior_nb.doctor.finding import Finding
from ior_nb.doctor.host import Host
from ior_nb.doctor.places import Place, find, install_line, newer_kernel, rights_line
from ior_nb.engine.collector.advice import RECORDING, SUPPORTED_KERNEL
from ior_nb.engine.collector.btf import NEEDED_HELPERS
from ior_nb.engine.collector.distribution import find_bcc
from ior_nb.engine.collector.rights import CAP_SYS_ADMIN, CAP_SYS_RESOURCE, absent, enough, has
from ior_nb.syscalls import machine

__all__ = ["look"]

_INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"  # PROC_PID_INIT_INO, fixed in the kernel's sources
_NEEDED_KERNEL: Final = (5, 8)  # the ring buffer, CAP_BPF and CAP_PERFMON
_TRIED_KERNEL: Final = (5, 10)  # the oldest that the live tests have been run on
_MEMLOCK_FREE_KERNEL: Final = (5, 11)  # from here on BPF memory counts for the cgroup, not for RLIMIT_MEMLOCK
_MEMLOCK_NEEDED: Final = 256 << 20
_SEES_ALL: Final = "every process of the machine can be traced with it"
_BTF_MAGIC: Final = (b"\x9f\xeb", b"\xeb\x9f")  # BTF header, little and big endian


def look(host: Host) -> list[Finding]:
    """Return what is there and what is missing; where nothing helps, only that."""
    place, told = find(host)
    rights = _rights(host, place)
    if place.never and not (rights.ok and host.btf):
        return [Finding("place", False, f"{place.name} ({told}): {place.never}", RECORDING)]
    system = _system(host)
    findings = [_place(host, place, told), system]
    if system.ok is False:
        return findings
    findings += [_kernel(host), _btf(host), _bcc(host, place), rights]
    if rights.ok is False:
        findings += _sysctl(host)
    findings += [_lockdown(host), _pid_namespace(host), *_time_namespace(host), *_seccomp(host, place)]
    return findings + list(_memlock(host, place))


def _place(host: Host, place: Place, told: str) -> Finding:
    around = f"{place.name} ({told})" if place.name else ""
    return Finding("place", True, ", ".join(filter(None, (host.title, around))) or "unknown")


def _system(host: Host) -> Finding:
    system = host.text("proc/sys/kernel/ostype") or platform.system()
    seen = f"{system} {platform.machine()}"
    if system != "Linux":
        return Finding("system", False, seen, f"trace on Linux; here, {RECORDING}")
    if not machine.SUPPORTED or sys.maxsize < 2**32:
        return Finding("system", False, seen, f"trace with a 64-bit Python on x86-64 or arm64; here, {RECORDING}")
    if platform.machine() == "x86_64" and b"\0user_pt_regs\0" in host.btf:  # a struct no x86 kernel has
        return Finding(
            "system",
            False,
            f"{seen}, emulated: the kernel is that of another processor",
            "use an image for the machine's own processor: docker run --platform=linux/arm64 ...",
        )
    return Finding("system", True, seen)


def _kernel(host: Host) -> Finding:
    if host.version is None:
        return Finding("kernel", None, f"unknown release {host.release!r}", "check that it is Linux 5.10 or newer")
    if host.version < _NEEDED_KERNEL:
        if all(f"\0BPF_FUNC_{helper}\0".encode() in host.btf for helper in NEEDED_HELPERS):
            return Finding("kernel", None, f"{host.release}: untried, but with the BPF of a newer one")
        return Finding("kernel", False, f"{host.release}: too old", newer_kernel(host) or SUPPORTED_KERNEL)
    if host.version < _TRIED_KERNEL:
        return Finding("kernel", None, f"{host.release}: untried, the oldest that was is 5.10")
    return Finding("kernel", True, host.release)


def _btf(host: Host) -> Finding:
    todo = newer_kernel(host)
    if not todo and not host.exists("sys/kernel"):
        todo = "mount -t sysfs sysfs /sys"
    if not todo:
        todo = f"boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions do, or {RECORDING}"
    path = host.root / "sys/kernel/btf/vmlinux"
    try:
        with path.open("rb") as file:
            magic = file.read(2)
    except FileNotFoundError:
        return Finding("BTF", False, "no /sys/kernel/btf/vmlinux", todo)
    except OSError as error:
        return Finding("BTF", False, f"/sys/kernel/btf/vmlinux: {error.strerror}", "make /sys/kernel/btf readable here")
    if magic not in _BTF_MAGIC:
        return Finding("BTF", False, f"/sys/kernel/btf/vmlinux begins with {magic.hex() or 'nothing'}", todo)
    return Finding("BTF", True, "/sys/kernel/btf/vmlinux")


def _bcc(host: Host, place: Place) -> Finding:
    folder = find_bcc(host.root)
    install = install_line(host, place)
    if folder is None:
        return Finding(
            "bcc", False, "no bcc of the distribution found", f"{install} (never `pip install bcc`: another project)"
        )
    where = Path("/", (folder / "bcc").relative_to(host.root))
    version = host.text(str((folder / "bcc/version.py").relative_to(host.root)))
    found = re.search(r"""__version__\s*=\s*["']([^"']+)""", version)
    seen = f"{found[1]} in {where}" if found else str(where)
    if not any(_libraries(host.root)):
        return Finding("bcc", False, f"{seen}, but no libbcc.so.0", f"reinstall it: {install}")
    return Finding("bcc", True, seen)


def _libraries(root: Path) -> Iterator[Path]:
    for pattern in ("usr/lib/*-linux-gnu", "usr/lib64", "usr/lib", "lib/*-linux-gnu", "lib64", "lib", "usr/local/lib*"):
        for folder in root.glob(pattern):
            yield from folder.glob("libbcc.so.0")


def _rights(host: Host, place: Place) -> Finding:
    """Whether this process, or one started with sudo, may load a tracing program."""
    if "CapEff" not in host.status:
        return Finding("rights", None, "unknown: no /proc/self/status")
    held, bounding = host.capabilities("CapEff"), host.capabilities("CapBnd")
    if host.in_user_namespace:
        seen = "capabilities of a user namespace do not count" if enough(held) else f"no {absent(held)}"
        return Finding("rights", False, seen, place.outside)
    if enough(held):
        seen = "CAP_SYS_ADMIN" if has(held, CAP_SYS_ADMIN) else "CAP_BPF and CAP_PERFMON"
        return Finding("rights", True, seen if host.is_root else f"{seen}: {_SEES_ALL}")
    if enough(host.rights_of_collector):
        return Finding("rights", True, f"no {absent(held)} in this process, but sudo asks for no password: {_SEES_ALL}")
    if not enough(bounding):
        seen = f"no {absent(bounding)} in the bounding set"
    elif host.no_new_privs:
        seen = f"no {absent(held)}, and no_new_privs is set"
    elif place.contained:
        seen = f"no {absent(held)}: this user of the container has none"
    else:
        seen = f"no {absent(held)}, and no sudo without a password"
    return Finding("rights", False, seen, rights_line(host, place))


def _sysctl(host: Host) -> list[Finding]:
    """Two settings people change in vain when rights are missing."""
    names = ("unprivileged_bpf_disabled", "perf_event_paranoid")
    seen = ", ".join(f"{name} {value}" for name in names if (value := host.text(f"proc/sys/kernel/{name}")))
    todo = "leave them: the capabilities are asked for whatever they say"
    return [Finding("sysctl", None, seen, todo)] if seen else []


def _lockdown(host: Host) -> Finding:
    found = re.search(r"\[(\w+)\]", host.text("sys/kernel/security/lockdown"))
    mode = found[1] if found else "none"
    if mode == "confidentiality":
        todo = "boot without lockdown=confidentiality: it keeps BPF programs from reading kernel memory"
        return Finding("lockdown", False, mode, todo)
    return Finding("lockdown", True, mode)


def _pid_namespace(host: Host) -> Finding:
    link = host.link("proc/self/ns/pid")
    if not link:
        return Finding("pid namespace", None, "unknown: no /proc/self/ns/pid")
    if link == _INITIAL_PID_NAMESPACE:
        return Finding("pid namespace", True, "initial")
    return Finding("pid namespace", True, f"nested ({link}): pids are shown as seen from inside")


def _time_namespace(host: Host) -> list[Finding]:
    """A remark when the boot clock of this process is not the kernel's."""
    for line in host.text("proc/self/timens_offsets").splitlines():
        clock, *offsets = line.split()
        if clock in {"boottime", "7"} and any(offset != "0" for offset in offsets):
            seen = f"the boot clock is shifted by {offsets[0]} s"
            todo = "if a traced cell comes out empty, start Jupyter outside the time namespace (unshare without --time)"
            return [Finding("time namespace", None, seen, todo)]
    return []


def _seccomp(host: Host, place: Place) -> list[Finding]:
    """A remark when a filter stands between us and bpf(2); trying tells whether it does harm."""
    if not host.filtered:
        return []
    todo = f"if loading is refused although the rights are there: {place.allowed}"
    return [Finding("seccomp", None, "a system call filter is active", todo)]


def _memlock(host: Host, place: Place) -> Iterator[Finding]:
    """The limit of locked memory, on the old kernels where BPF maps count against it."""
    if host.version is None or host.version >= _MEMLOCK_FREE_KERNEL:
        return
    limits = host.text("proc/self/limits")
    found = re.search(r"^Max locked memory\s+(\d+)\s+(\S+)", limits, re.MULTILINE)
    if found is None or int(found[1]) >= _MEMLOCK_NEEDED:
        return
    seen = f"{int(found[1]) >> 10} KiB"
    if has(host.rights_of_collector, CAP_SYS_RESOURCE):
        yield Finding("locked memory", None, f"{seen}, which the collector may raise")
    elif found[2] == "unlimited":
        yield Finding("locked memory", None, f"{seen}, which every process here may raise")
    else:
        yield Finding("locked memory", False, seen, place.memory)
