"""The engine strace with the straces of other releases of Debian, on this machine.

    python -m tests.matrix.straces [SUITE ...]

Each is unpacked with its own C library into the matrix's cache, put first on the path, and the live tests of the engine
run with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.matrix.archive import CACHE, unpacked

ROOT: Final = Path(__file__).resolve().parents[2]
STRACES: Final = ("bullseye", "bookworm", "trixie", "forky")
TESTS: Final = ("tests/live/test_without_bpf.py", "tests/live/test_stopped_programs.py")
_WRAPPER: Final = '#!/bin/sh\nexec {loader} --library-path {libraries} {program} "$@"\n'


def put_in_place(suite: str) -> Path:
    """Return a folder with a program `strace` that is the one of a release."""
    packages = [f"{name}/{suite}" for name in ("strace", "libc6", "libunwind8", "liblzma5", "libgcc-s1")]
    home = unpacked(CACHE / "strace" / suite, packages)
    loader = next(home.glob("**/ld-linux-x86-64.so.2"))
    libraries = ":".join(sorted({str(found.parent) for found in home.glob("**/*.so.*")}))
    wrapper = home / "first" / "strace"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(_WRAPPER.format(loader=loader, libraries=libraries, program=home / "usr/bin/strace"))
    wrapper.chmod(0o755)
    return wrapper.parent


def main(suites: list[str]) -> int:
    """Run the tests with each; return how many runs failed."""
    failed = 0
    for suite in suites or STRACES:
        folder = put_in_place(suite)
        environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        said = subprocess.run(["strace", "-V"], env=environment, capture_output=True, text=True, check=True).stdout
        print(f"{suite}: {said.splitlines()[0]}", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-m", "live", "-k", "strace or every_engine", *TESTS]
        failed += subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
