"""File systems that a test mounts for itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.conftest import unavailable


@contextmanager
def mount(place: Path, *options: str) -> Iterator[Path]:
    """Mount a file system at a new folder; where that is refused there is no test, or it fails if it is required."""
    place.mkdir()
    done = subprocess.run(["mount", *options, str(place)], check=False, capture_output=True, text=True)
    if done.returncode:
        unavailable(f"needs the right to mount: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextmanager
def ext4(folder: Path) -> Iterator[Path]:
    """Mount an ext4 of 96 MiB on a loop device of its own, in a folder that has its image too."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(96 << 20)
    try:
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        unavailable(f"needs an ext4: {error}")
    with mount(folder / "disk", "-o", "loop", str(image)) as place:
        yield place
