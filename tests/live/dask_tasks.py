"""What workers of a cluster are asked to do; a module of its own, for whoever does it imports it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import ior_nb


def size_of(path: str) -> int:
    """Read a file."""
    with open(path) as file:
        return len(file.read())


def die_once(path: str) -> int:
    """Read a file; the first time, be killed in the middle of it."""
    with ior_nb.label("mortal"), open(path) as file:
        file.readline()
        try:
            os.close(os.open(f"{path}.died", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return len(file.read())
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


def label_it(path: str) -> None:
    """Read a file under its name."""
    with ior_nb.label("task"), ior_nb.label(Path(path).name):
        size_of(path)


def label_a_program(path: str) -> None:
    """Have a program read a file."""
    with ior_nb.label("program", shared=True):
        subprocess.run(["cat", path], check=True, stdout=subprocess.DEVNULL)


class Actor:
    """Reads under a label of its thread, which stays from one call to the next."""

    def begin(self, path: str) -> int:
        """Read a file, and be somebody."""
        self._label = ior_nb.label("actor").start()
        return size_of(path)

    def end(self, path: str) -> int:
        """Read a file, and be nobody."""
        size = size_of(path)
        self._label.stop()
        return size


async def on_the_loop() -> int:
    """Do something between other things."""
    return 7
