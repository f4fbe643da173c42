"""A service, and users who have no rights of their own: for tests, notebooks and benches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO

from tests.nobody import NOBODY

__all__ = ["Running"]

_ROOT: Final = Path(__file__).parents[1]
_AS_USER: Final = Path(__file__).parent / "live" / "as_user.py"
_TOKEN: Final = "IOR_NB_LIVE_TESTS"  # of tests/live: processes with it are to be gone when a test has ended


class Running:
    """A service, and who uses it.

    Args:
        public: a folder everybody may enter; the compiled program is kept there, for services to come.
        python: an interpreter everybody may execute.
        options: of the service.
        started: whether it is started at once; else by `start`.
    """

    def __init__(self, public: Path, python: str, *options: str, started: bool = True) -> None:
        cache = public / "cache"
        if not cache.exists():
            cache.mkdir(mode=0o700)
            os.chown(cache, NOBODY, NOBODY)
        folder = Path(tempfile.mkdtemp(dir=public))
        folder.chmod(0o777)
        self.python = python
        self.place = str(folder / "socket")
        self.log = folder / "log"
        self._cache = cache
        if started:
            with self.log.open("w") as log:
                command = [sys.executable, "-m", "ior_nb.engine.collector.served"]
                self.start([*command, "--socket", self.place, *options], log)
            self.wait(lambda: " serves " in self.log.read_text())

    def start(self, command: list[str], log: TextIO) -> None:
        """Start it; its collectors are no strays of a test: it lives as long as it is wanted."""
        environ = {name: value for name, value in os.environ.items() if name != _TOKEN}
        environ |= {"XDG_CACHE_HOME": str(self._cache), "PYTHONPATH": str(_ROOT)}
        self.process = subprocess.Popen(command, stderr=log, env=environ)

    def wait(self, done: Callable[[], Any]) -> None:
        """Wait for something that will be."""
        while not done():
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)

    def user(
        self, uid: int, deed: str, *words: str, inside: tuple[str, ...] = (), **more: Any
    ) -> subprocess.Popen[str]:
        """Be a user who does something; `inside` runs commands elsewhere."""
        command = [
            *inside,
            sys.executable,
            "-B",
            str(_AS_USER),
            str(uid),
            self.place,
            self.python,
            deed,
            *words,
        ]
        environ = os.environ | {"PYTHONPATH": str(_ROOT)} | more.pop("env", {})
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, **more)

    def traces(self, uid: int, scope: str, *command: str, **more: Any) -> dict[str, Any]:
        """Trace as a user; return what came of it."""
        said, wrong = self.user(uid, "traces", scope, *command, **more).communicate()
        assert said, wrong + self.log.read_text()
        told: dict[str, Any] = json.loads(said.splitlines()[-1])
        return told

    def collectors(self) -> list[int]:
        """Return the collectors it has now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
