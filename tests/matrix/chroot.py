"""Run a command on the running kernel with the userland of another release of Debian.

The root file system is mounted read-only, with /tmp, /run, /var/cache and a home in memory, in a mount namespace of its
own; when the command has ended, so is every process that still has this root, and with the last of them the mounts are
gone. Process ids are the machine's: the live tests have to tell our BPF programs from those of others.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from tests.matrix import roots
from tests.matrix.archive import Unavailable
from tests.matrix.vm import Ran

ENTER: Final = """\
set -e
root=$1 work=$2 out=$3
shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
for name in proc sys dev; do mount --rbind "/$name" "$root/$name"; done
for name in tmp run root var/tmp var/cache; do mount -t tmpfs -o mode=1777 tmpfs "$root/$name"; done
mount --bind "$work" "$root/w"
mount --bind "$out" "$root/out"
cd "$root"
pivot_root . .old
umount --lazy /.old
cd /w
exec "$@"
"""


def run(suite: str, command: list[str], *, files: bytes, out: Path, seconds: float) -> Ran:
    """Run a command in /w, where `files` (a tar archive) are unpacked; it leaves its results in /out.

    Args:
        suite: which release.
        command: what to run.
        files: a tar archive.
        out: what is /out to the command.
        seconds: how long it may take.
    """
    if os.geteuid() != 0:
        raise Unavailable("a chroot is entered as root")
    root = roots.folder(suite, "amd64")
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }
    with tempfile.TemporaryDirectory(prefix="ior-nb-chroot-") as work, tempfile.TemporaryFile("w+") as log:
        Path(work).chmod(0o755)
        with tarfile.open(fileobj=io.BytesIO(files)) as tar:
            tar.extractall(work, filter="data")
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", ENTER, "sh", root, work, out, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end_all(root)
            process.kill()
            process.wait()
        log.seek(0)
        return Ran(status=status, log=log.read())


def end_all(root: Path) -> None:
    """End every process whose root directory this is."""
    wanted = root.stat()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                theirs = (entry / "root/.").stat()
                if (theirs.st_dev, theirs.st_ino) == (wanted.st_dev, wanted.st_ino):
                    os.kill(int(entry.name), signal.SIGKILL)
