"""Root file systems of Debian's releases: a folder, for chroots, and an image of it, for emulated machines.

Each has the release's own Python and bcc, a compiler for the known workload, and our requirements as wheels. Where the
release's Python is older than ours may be (Debian 11), one is built in it from Debian 12's source.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.matrix.archive import CACHE, KEYRING, Unavailable, apt, mirror, run

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = "python3 python3-bpfcc gcc libc6-dev kmod mount procps strace util-linux".split()
TEST_REQUIREMENTS: Final = ("pytest>=8.2", "pytest-timeout>=2.3", "hypothesis>=6.100")
MOUNT_POINTS: Final = ("proc", "sys", "dev", "tmp", "run", "root", "w", "out", ".old", "var/tmp")
WHEELS: Final = {"amd64": "x86_64", "arm64": "aarch64"}
LEAST_MIB: Final = 600  # free space of an image

# Another architecture's programs do not run here: its packages are unpacked and never configured. These are what would
# be there anyway otherwise.
UNCONFIGURED: Final = "base-files base-passwd bash coreutils dash libc-bin tar".split()

BUILD_PYTHON: Final = """\
set -e
cd /usr/src/python
./configure --quiet --prefix=/usr/local --disable-test-modules --without-ensurepip
make --silent -j"$(nproc)"
make --silent install
"""
BUILD_PACKAGES: Final = "make libbz2-dev libffi-dev liblzma-dev libsqlite3-dev libssl-dev zlib1g-dev".split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A release of Debian."""

    name: str
    builds_python: bool = False
    """Its own is older than 3.11."""
    merged_usr: bool = True
    """/bin and /lib are links to /usr."""
    pythons: tuple[str, ...] = ()
    """Others beside the release's own: the stacks of all are compared."""


SUITES: Final = {
    suite.name: suite
    for suite in (
        Suite(name="bullseye", builds_python=True, merged_usr=False),
        Suite(name="bookworm"),
        Suite(name="trixie"),
        Suite(name="forky", pythons=("python3.13", "python3.15")),
        Suite(name="sid"),
    )
}


def requirements() -> list[str]:
    """Return what the package and its live tests need from the Python package index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *TEST_REQUIREMENTS]


def folder(suite: str, arch: str) -> Path:
    """Return the folder with a root file system; made when it is missing, or was made from another list."""
    home = CACHE / "root" / f"{suite}-{arch}"
    stamp = home.with_name(f"{home.name}.made")
    recipe = f"{_packages(suite)} {requirements()}"
    if stamp.exists() and stamp.read_text() == recipe:
        return home
    part = home.with_name(f"{home.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    _debian(part, suite, arch)
    if SUITES[suite].builds_python:
        _build_python(part)
    _wheels(part, arch)
    for name in MOUNT_POINTS:
        (part / name).mkdir(parents=True, exist_ok=True)
    _compile(part, suite, arch)
    shutil.rmtree(home, ignore_errors=True)
    image_of(home).unlink(missing_ok=True)
    part.rename(home)
    stamp.write_text(recipe)
    return home


def image_of(home: Path) -> Path:
    """Return where the image of a folder is."""
    return home.with_name(f"{home.name}.img")


def image(suite: str, arch: str) -> Path:
    """Return the ext4 image of a root file system."""
    home = folder(suite, arch)
    made = image_of(home)
    if not made.exists():
        part = made.with_suffix(".part")
        part.unlink(missing_ok=True)
        size = int(run("du", "-sm", home).split()[0]) * 11 // 10 + LEAST_MIB
        run("mke2fs", "-q", "-t", "ext4", "-d", home, part, f"{size}M", env=_with_sbin())
        part.rename(made)
    return made


def python_of(home: Path) -> str:
    """Return the version of a root file system's own Python, as `3.11`: the one built in it, where there is one."""
    places = (home / "usr/local/bin/python3", home / "usr/bin/python3")
    return next(path.readlink().name for path in places if path.is_symlink()).removeprefix("python")


def _packages(suite: str) -> list[str]:
    return [*PACKAGES, *SUITES[suite].pythons, *(BUILD_PACKAGES if SUITES[suite].builds_python else [])]


def _with_sbin() -> dict[str, str]:
    return os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def _debian(home: Path, suite: str, arch: str) -> None:
    for program in ("mmdebstrap", "mke2fs", "depmod", "zstd"):
        if shutil.which(program, path=_with_sbin()["PATH"]) is None:
            raise Unavailable(f"there is no {program}: scripts/setup --matrix installs it")
    if os.geteuid() != 0:
        raise Unavailable("a root file system is made as root")
    native = arch == "amd64"
    packages = [*_packages(suite), *([] if native else UNCONFIGURED)]
    home.parent.mkdir(parents=True, exist_ok=True)
    run(
        *("mmdebstrap", "--quiet", f"--variant={'apt' if native else 'extract'}", f"--architectures={arch}"),
        f"--include={','.join(packages)}",
        *(["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"] if SUITES[suite].merged_usr else []),
        *("--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Check-Valid-Until false"),
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")),
        *(suite, home, f"deb [signed-by={KEYRING}] {mirror()} {suite} main"),
        timeout=1800,
    )


def _build_python(home: Path) -> None:
    """Build Debian 12's Python in a root file system of an older release."""
    source = home / "usr/src/python"
    with tempfile.TemporaryDirectory() as downloads:
        run("apt-get", "-qq", "source", "--download-only", "python3.11", cwd=downloads, env=apt(), timeout=600)
        source.mkdir(parents=True)
        (archive,) = Path(downloads).glob("*.orig.tar.*")
        run("tar", "-xf", archive, "-C", source, "--strip-components=1")
    run("chroot", home, "sh", "-c", BUILD_PYTHON, timeout=1800)
    shutil.rmtree(source)


def _wheels(home: Path, arch: str) -> None:
    """Unpack our requirements where the release's Python looks for packages."""
    version = python_of(home)
    own = (home / f"usr/local/bin/python{version}").exists()
    target = home / f"usr/local/lib/python{version}" / ("site-packages" if own else "dist-packages")
    platforms = [f"--platform=manylinux{kind}_{WHEELS[arch]}" for kind in ("_2_28", "_2_17", "2014")]
    with tempfile.TemporaryDirectory() as downloads:
        run(
            *(sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-input"),
            *("--dest", downloads, "--only-binary=:all:", "--implementation=cp", f"--python-version={version}"),
            *(*platforms, *requirements()),
            timeout=900,
        )
        for wheel in sorted(Path(downloads).glob("*.whl")):
            run(sys.executable, "-m", "zipfile", "-e", wheel, target)


def _compile(home: Path, suite: str, arch: str) -> None:
    """Compile all modules: an emulated machine would take half a minute for it, at every start.

    Compiled modules are the same for all architectures, so this one's Python of the same release does it.
    """
    python = f"python{python_of(home)}"
    places = [f"/mnt/{place}" for place in (f"usr/lib/{python}", "usr/lib/python3", f"usr/local/lib/{python}")]
    command = f"{python} -m compileall -q -s /mnt -p / {' '.join(places)}"
    own = home if arch == "amd64" else folder(suite, "amd64")
    run("unshare", "--mount", "sh", "-c", f"mount --bind {home} {own}/mnt && chroot {own} {command}", quiet=True)
