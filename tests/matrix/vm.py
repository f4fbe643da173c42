"""Boot a kernel of Debian in qemu on a root file system, run one command in it, bring back what it leaves in /out.

Everything is emulated, unless the processor itself says that it can run machines: a `/dev/kvm` alone may be one under
which a stock kernel does not boot. Changes to the root file system are dropped.
"""

from __future__ import annotations

import io
import lzma
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.matrix import archive, roots
from tests.matrix.archive import Unavailable

MODULES: Final = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "overlay")
BACK_BYTES: Final = 64 << 20
CPUS: Final = 2
MEMORY: Final = "3G"

# One thread for all processors: with one each, a kernel that patches its own text while another processor runs it (each
# trace does so twice) now and then meets a breakpoint that is gone again, and panics with "Oops: int3". Not slower.
TCG: Final = "tcg,thread=single"

# Emulated AVX is wrong in qemu 7.2: numpy's sort of 64-bit numbers crashes or returns another order.
NO_AVX: Final = "avx=off,avx2=off,f16c=off,fma=off,vaes=off,vpclmulqdq=off"

# Architecture -> program, machine, emulated processor, console.
MACHINES: Final = {
    "amd64": ("qemu-system-x86_64", "q35", f"max,{NO_AVX}", "ttyS0"),
    "arm64": ("qemu-system-aarch64", "virt", "cortex-a72", "ttyAMA0"),
}

# In the initial RAM disk: load what the root disk needs, change to it.
EARLY: Final = """\
#!/bin/sh
mount -t devtmpfs dev /dev; mount -t proc proc /proc
while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/order
mount -t ext4 -o noatime /dev/vda /root || { echo 'no root disk'; echo o >/proc/sysrq-trigger; }
mkdir -p /root/.vm; cp /late /bin/busybox /root/.vm/
exec switch_root /root /.vm/busybox sh /.vm/late
"""
EARLY_APPLETS: Final = "sh mount mkdir insmod switch_root cp echo".split()

# On the root disk: what systemd would mount, the files, the command; its output goes back on the third disk.
LATE: Final = """\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/.vm HOME=/root LANG=C.UTF-8 TERM=dumb
b=/.vm/busybox; $b --install -s /.vm
[ -e /bin/sh ] || $b ln -s dash /bin/sh
[ -e /etc/passwd ] || $b cp /usr/share/base-passwd/passwd.master /etc/passwd
mount() { $b mount -t "$1" none "$2" 2>/dev/null; }
mount proc /proc; mount sysfs /sys; mount devtmpfs /dev; mkdir -p /dev/pts /dev/shm
mount devpts /dev/pts; mount tmpfs /dev/shm; mount tmpfs /tmp; mount tmpfs /run; mount cgroup2 /sys/fs/cgroup
mount securityfs /sys/kernel/security; mount debugfs /sys/kernel/debug; mount tracefs /sys/kernel/tracing
$b hostname vm; $b ip link set lo up
tar -xf /dev/vdb -C /w; cd /w
( $b setsid sh /w/.command; echo $? >/out/.status ) 2>&1 </dev/null | $b tee /out/.log
tar -cf /dev/vdc -C /out . && sync
echo o >/proc/sysrq-trigger; sleep 99
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a command."""

    status: int | None
    """None when it did not end in time, or the machine did not come up."""
    log: str
    """What it printed; the end of the console where there is nothing else."""


def run(
    release: str,
    suite: str,
    arch: str,
    command: list[str],
    *,
    files: bytes,
    out: Path,
    seconds: float,
    append: str = "",
) -> Ran:
    """Boot, run, power off.

    Args:
        release: which kernel.
        suite: which root file system.
        arch: `amd64` or `arm64`.
        command: runs in /w.
        files: a tar archive that is unpacked to /w.
        out: gets what the command leaves in /out.
        seconds: how long all of it may take.
        append: further words of the kernel's command line.
    """
    program, machine, cpu, console = MACHINES[arch]
    if shutil.which(program) is None:
        raise Unavailable(f"there is no {program}: scripts/setup --matrix installs it")
    home, root = archive.kernel(release, arch), roots.image(suite, arch)
    with tempfile.TemporaryDirectory(prefix="ior-nb-vm-") as name:
        folder = Path(name)
        share, back, log = (folder / n for n in ("share.tar", "back.tar", "console"))
        share.write_bytes(with_command(files, command))
        with back.open("wb") as file:
            file.truncate(BACK_BYTES)
        (folder / "initrd").write_bytes(initrd(home, release, arch))
        drives = ((root, "snapshot=on"), (share, "readonly=on"), (back, "cache=unsafe"))
        machine_words = [
            *(program, "-M", machine, "-m", MEMORY, "-smp", str(CPUS), "-nodefaults", "-no-reboot"),
            *(("-accel", "kvm", "-cpu", "host") if kvm(arch) else ("-accel", TCG, "-cpu", cpu)),
            *("-display", "none", "-serial", f"file:{log}"),
            *("-kernel", str(image_of(home)), "-initrd", str(folder / "initrd")),
            *("-append", f"console={console} quiet panic=-1 {append}"),
        ]
        for number, (path, option) in enumerate(drives):
            machine_words += ["-drive", f"file={path},if=none,id=d{number},format=raw,{option}"]
            machine_words += ["-device", f"virtio-blk-pci,drive=d{number}"]
        try:
            subprocess.run(
                machine_words, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return Ran(status=None, log=f"{_end_of(log)}\nstopped after {seconds:.0f} s")
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"{program}: {error.stderr.strip() or error}") from error
        try:
            with tarfile.open(back) as tar:
                tar.extractall(out, filter="data")
            said, status = out / ".log", out / ".status"
            return Ran(status=int(status.read_text()), log=said.read_text(errors="replace"))
        except (tarfile.TarError, OSError, ValueError) as error:
            return Ran(status=None, log=f"{_end_of(log)}\nnothing came back: {error}")


def kvm(arch: str) -> bool:
    """Whether the processor can run a machine of this architecture itself."""
    native = {"amd64": "x86_64", "arm64": "aarch64"}[arch] == os.uname().machine
    able = re.search(r"^flags\b.*\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return native and able is not None and os.access("/dev/kvm", os.R_OK | os.W_OK)


def with_command(files: bytes, command: list[str]) -> bytes:
    """Return a tar archive with the command line beside the files."""
    made = io.BytesIO(files)
    text = f"{shlex.join(command)}\n".encode()
    with tarfile.open(fileobj=made, mode="a") as tar:
        entry = tarfile.TarInfo(".command")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return made.getvalue()


def image_of(home: Path) -> Path:
    """Return the kernel's image among its files."""
    for pattern in ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz", "lib/modules/*/vmlinuz"):
        for found in home.glob(pattern):
            return found
    raise Unavailable(f"no kernel image below {home}")


def load_order(dependencies: str) -> list[str]:
    """Return the module files for MODULES, each after what it needs; what is built in has none.

    Args:
        dependencies: the text of `modules.dep`.
    """
    needs = {name: after.split() for name, _, after in (line.partition(":") for line in dependencies.splitlines())}
    by_name = {re.sub(r"\.ko.*", "", Path(name).name).replace("-", "_"): name for name in needs}
    found: dict[str, None] = {}
    for module in MODULES:
        if (name := by_name.get(module)) is not None:
            found |= dict.fromkeys((*reversed(needs[name]), name))
    return list(found)


def initrd(home: Path, release: str, arch: str) -> bytes:
    """Return the initial RAM disk for a kernel."""
    entries = [(name, 0o40755, b"") for name in ("bin", "dev", "proc", "sys", "root", "modules")]
    entries += [("bin/busybox", 0o100755, archive.busybox(arch))]
    entries += [("init", 0o100755, EARLY.encode()), ("late", 0o100755, LATE.encode())]
    entries += [(f"bin/{applet}", 0o120777, b"busybox") for applet in EARLY_APPLETS]
    base = home / "lib/modules" / release
    names = []
    for file in (base / name for name in load_order((base / "modules.dep").read_text())):
        data = file.read_bytes()
        if file.suffix == ".xz":
            data = lzma.decompress(data)
        elif file.suffix == ".zst":
            data = subprocess.run(["zstd", "-dcq", file], check=True, capture_output=True).stdout
        names.append(re.sub(r"(?<=\.ko)\..*", "", file.name))
        entries.append((f"modules/{names[-1]}", 0o100644, data))
    entries.append(("modules/order", 0o100644, "".join(f"{name}\n" for name in names).encode()))
    return cpio(entries)


def cpio(entries: list[tuple[str, int, bytes]]) -> bytes:
    """Return a cpio archive (the format `newc`) of (name, mode, data)."""
    out = io.BytesIO()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        head = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out.write(b"070701" + b"".join(b"%08x" % word for word in head) + name.encode() + b"\0")
        out.write(bytes(-out.tell() % 4) + data)
        out.write(bytes(-out.tell() % 4))
    return out.getvalue()


def _end_of(console: Path) -> str:
    return console.read_text(errors="replace")[-4000:] if console.exists() else ""
