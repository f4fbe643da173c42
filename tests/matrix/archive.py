"""Debian's archive, through an apt of our own: which kernels it has, their packages unpacked, single files of others.

The mirror is the one this machine's own apt uses; nothing of this machine's state is read or written beyond that. All
is kept in one folder outside the tree, `~/.cache/ior-nb-matrix` or what `IOR_NB_MATRIX_CACHE` names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("IOR_NB_MATRIX_CACHE") or Path.home() / ".cache/ior-nb-matrix")
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
ARCHITECTURES: Final = ("amd64", "arm64")
STABLE: Final = ("trixie", "trixie-backports")
UNSTABLE: Final = ("sid",)
SUITES: Final = ("bullseye", "bookworm", "bookworm-backports", *STABLE, "forky", *UNSTABLE)
_FRESH_S: Final = 7 * 86_400

CONFIGURATION: Final = """\
Dir::State "{home}";
Dir::State::status "{home}/status";
Dir::Cache "{home}/cache";
Dir::Etc::sourcelist "{home}/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; "arm64"; }};
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
"""


class Unavailable(Exception):
    """Something a cell needs cannot be had here; the text says what, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kernel the archive offers."""

    release: str
    """As `uname -r` says it, and as the packages are called."""
    suites: frozenset[str]
    """Where it is offered."""


def run(*command: object, quiet: bool = False, **options: object) -> str:
    """Run a program and return what it printed; what it complains about is part of the exception when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, check=False, text=True, capture_output=True, **options)  # type: ignore[call-overload]
    if done.returncode and not quiet:
        raise Unavailable(f"{' '.join(words)[:200]}: status {done.returncode}\n{(done.stderr or done.stdout)[-2000:]}")
    return str(done.stdout)


# ---- which kernels there are


def order(release: str) -> tuple[int, ...]:
    """Return what sorts releases by age: 6.1.0-9 is older than 6.1.0-50."""
    return tuple(map(int, re.findall(r"\d+", release.rpartition("-")[0])))


def complete(packages: Iterable[str], arch: str) -> list[str]:
    """Return the releases that can be booted, oldest first, of the names of all kernel packages.

    Since 6.19 `linux-image` is empty and needs `linux-binary` and `linux-modules`, of which the archive keeps the first
    longer. The flavours `cloud` and `rt` are left out.
    """
    names = set(packages)
    found = [re.fullmatch(rf"linux-image-(\d[\d.]*(?:\+deb[\d.]+)?(?:-\d+)?-{arch})", name) for name in names]
    releases = [match[1] for match in found if match]
    whole = [r for r in releases if f"linux-binary-{r}" not in names or f"linux-modules-{r}" in names]
    return sorted(whole, key=order)


def offered(madison: str) -> dict[str, frozenset[str]]:
    """Return package (without its architecture) -> suites that offer it, of the output of `apt-cache madison`."""
    found: dict[str, set[str]] = {}
    for line in madison.splitlines():
        if len(columns := [column.strip() for column in line.split("|")]) == 3 and "/" in columns[2]:
            found.setdefault(columns[0].partition(":")[0], set()).add(columns[2].split()[1].split("/")[0])
    return {name: frozenset(suites) for name, suites in found.items()}


def choose(kernels: Iterable[Kernel], wanted: str) -> str:
    """Return the newest release that is meant by `6.1` (6.1 and nothing later), `stable` or `unstable`."""
    suites = {"stable": STABLE, "unstable": UNSTABLE}.get(wanted)
    fitting = [
        kernel.release
        for kernel in kernels
        if (kernel.suites.intersection(suites) if suites else kernel.release.startswith(f"{wanted}."))
    ]
    if not fitting:
        raise Unavailable(f"the archive has no kernel {wanted}")
    return max(fitting, key=order)


def kernels(arch: str) -> list[Kernel]:
    """Return the kernels of an architecture that can be booted, oldest first."""
    environment = apt()
    pattern = rf"^linux-(image|binary|modules)-[0-9].*-{arch}$"
    lines = run("apt-cache", "search", "--names-only", pattern, env=environment).splitlines()
    releases = complete((line.split()[0] for line in lines), arch)
    names = [f"linux-image-{release}" for release in releases]
    suites = offered(run("apt-cache", "madison", *(f"{name}:{arch}" for name in names), env=environment))
    return [Kernel(release=r, suites=suites.get(n, frozenset())) for r, n in zip(releases, names, strict=True)]


# ---- getting it


def mirror() -> str:
    """Return the address of Debian's archive in this machine's apt sources."""
    files = (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*")))
    texts = "\n".join(file.read_text() for file in files if file.is_file())
    found = re.search(r"https?://[^\s\]]+/debian/?(?=\s)", texts)
    if not found:
        raise Unavailable("no Debian archive in /etc/apt/sources.list*: the cells need one")
    return found[0].rstrip("/")


def apt() -> dict[str, str]:
    """Return the environment in which apt sees all suites and architectures, with lists of this week."""
    home = CACHE / "apt"
    stamp, sources = home / "updated", home / "sources.list"
    environment = os.environ | {"APT_CONFIG": str(home / "apt.conf")}
    lines = [f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n" for suite in SUITES]
    text = "".join([*lines, f"deb-src [signed-by={KEYRING}] {mirror()} bookworm main\n"])
    if stamp.exists() and time.time() - stamp.stat().st_mtime < _FRESH_S and sources.read_text() == text:
        return environment
    for folder in ("lists/partial", "cache/archives/partial"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "status").touch()
    sources.write_text(text)
    (home / "apt.conf").write_text(CONFIGURATION.format(home=home))
    run("apt-get", "-qq", "update", env=environment, timeout=600)
    stamp.touch()
    return environment


def unpacked(home: Path, packages: Iterable[str]) -> Path:
    """Unpack packages (NAME or NAME:ARCHITECTURE) into a folder of the cache, once."""
    if home.exists():
        return home
    part = home.with_name(f"{home.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        run("apt-get", "-qq", "download", *packages, cwd=folder, env=apt(), timeout=600)
        for package in Path(folder).iterdir():
            run("dpkg-deb", "-x", package, part)
    part.rename(home)
    return home


def kernel(release: str, arch: str) -> Path:
    """Return the folder with the unpacked packages of a kernel."""
    home = CACHE / "kernel" / release
    if (home / "ready").exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    names = [f"linux-{part}-{release}" for part in ("image", "binary", "modules")]
    there = offered(run("apt-cache", "madison", *names, env=apt())).keys()
    unpacked(home, [f"{name}:{arch}" for name in names if name in there])
    if not (home / "lib").exists():
        (home / "lib").symlink_to("usr/lib")
    run("depmod", "-b", home, release, env=os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"})
    (home / "ready").touch()
    return home


def busybox(arch: str) -> bytes:
    """Return the static busybox of an architecture."""
    home = unpacked(CACHE / f"busybox-{arch}", [f"busybox-static:{arch}"])
    return next(p for p in (home / "usr/bin/busybox", home / "bin/busybox") if p.exists()).read_bytes()
