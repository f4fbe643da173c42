"""A failure at every step of starting and stopping: no descriptor, thread, process, memory or room on the disk."""

from __future__ import annotations

import _socket
import errno
import os
import posix
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ior_nb import errors, real
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from tests.live.conftest import World

ROOT = Path(__file__).resolve().parents[2]


class Failing:
    """What the system refuses: of all calls of these functions, in any thread, one."""

    FUNCTIONS = (
        (_socket, "socketpair"),
        (os, "memfd_create"),
        (os, "pidfd_open"),
        (os, "open"),
        (os, "pipe"),
        (os, "pwrite"),
        (os, "posix_fallocate"),
        (os, "ftruncate"),
        (os, "fstat"),
        (os, "scandir"),
        (posix, "posix_spawnp"),
        (real._thread, "start_new_thread"),
    )

    def __init__(self, patch: pytest.MonkeyPatch, step: int) -> None:
        self._left = step
        self.where = ""
        for module, name in self.FUNCTIONS:
            patch.setattr(module, name, self._counted(name, getattr(module, name)))

    def _counted(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left == -1:
                self.where = f"{name} {arguments}"
                if name == "start_new_thread":
                    raise RuntimeError("can't start new thread")
                raise OSError(errno.ENOSPC if name in ("pwrite", "posix_fallocate") else errno.EMFILE, "no more of it")
            return original(*arguments, **more)

        return call


def block(session: TracerSession, folder: Path) -> None:
    """Trace a block and record it; a file that could not get its name is told, and kept for its rows."""
    with trace(session=session, record=folder / "r.parquet") as t:
        os.stat(folder)
    for rest in [path for path in folder.iterdir() if path.suffix == ".tmp"]:  # no call that is refused
        assert str(rest) in t.recording_error
        rest.unlink()


def command(session: TracerSession, folder: Path) -> None:
    """Trace a command."""
    with trace(session=session, command=["true"]):
        pass


@pytest.fixture
def own_session() -> Iterator[TracerSession]:
    """A session with a collector of its own."""
    with TracerSession() as made:
        yield made


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::ior_nb.errors.IorWarning")
@pytest.mark.parametrize("what", [block, command])
def test_a_failure_at_any_step_is_one_clear_error_and_leaves_nothing(
    what: Callable[[TracerSession, Path], None],
    own_session: TracerSession,
    world: World,
    tmp_path: Path,
) -> None:
    """It is an IorError, or nothing where it can be done without; no collector stays, and the next trace works."""
    step = failed = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, step)
            try:
                what(own_session, tmp_path)
            except errors.IorError:  # and no other
                failed += 1
        assert own_session.running is None, failing.where
        own_session.close()
        assert world.collectors() == set(), failing.where
        assert not list(tmp_path.glob("*.tmp")), failing.where
        if not failing.where:
            break
        step += 1
        if step % 5 == 0:  # each would take a collector's start
            with trace(session=own_session) as following:
                os.stat("/etc/hostname")
            assert list(following.batch.text("file")) == ["/etc/hostname"], failing.where

    assert failed > 5
    print(f"{step} steps of {what.__name__}, {failed} errors, all survived")


FEW = """
import os, resource, sys, warnings
warnings.simplefilter("ignore")
import ior_nb
from ior_nb.session import default_session
with ior_nb.trace(record=sys.argv[1]): pass  # all is imported
default_session().close()
os.closerange(3, 1024)
most = resource.getrlimit(resource.RLIMIT_NOFILE)
failed = 0
for room in range(40):
    resource.setrlimit(resource.RLIMIT_NOFILE, (3 + room, most[1]))
    try:
        with ior_nb.trace(record=sys.argv[1]) as t: os.stat("/etc/hostname")
        worked = True
    except ior_nb.errors.IorError as error:
        worked = False
        failed += 1
        assert "Too many open files" in str(error) or "too many" in str(error).lower(), error
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert not worked or "/etc/hostname" in t.batch.text("file")
    with ior_nb.trace() as t: os.stat("/etc/hostname")
    assert list(t.batch.text("file")) == ["/etc/hostname"], room
    default_session().close()
    if worked and failed: break
print(failed, worked)
"""


def test_no_descriptors_left_is_a_clear_error(tmp_path: Path) -> None:
    """With room for none, one, two and so on, until there is enough: an IorError each, and the next trace works."""
    done = subprocess.run(
        [sys.executable, "-c", FEW, str(tmp_path / "r.parquet")], capture_output=True, text=True, check=False, cwd=ROOT
    )
    failed, worked = done.stdout.split() or ("0", done.stderr)

    assert worked == "True"
    assert int(failed) > 3
