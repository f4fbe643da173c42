"""What all tests share: whether this machine can trace for real."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ior_nb.engine.collector.distribution import find_bcc
from ior_nb.runtime import own
from tests.served import Running

# How long an example takes is the machine's business, and a run says what the last one said; new examples are sought
# with --hypothesis-profile=explore.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("steady")

# Tests that run in the background were told to ignore these, and so would be every program they start.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else lambda *_: None)

HERE = Path(__file__).parent
BESIDE = {HERE / name for name in ("browser", "notebook", "live/test_dask.py")}
REQUIRED = os.environ.get("IOR_NB_REQUIRE_LIVE") == "1"


def why_not_live() -> str:
    """Return why tracing for real is impossible here, an empty text when it is possible."""
    if os.geteuid() != 0:
        return "not root"
    if find_bcc(Path("/")) is None:
        return "bcc is not installed (apt install python3-bpfcc)"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `scripts/test` runs beside the other live tests."""
    for item in items:
        if not BESIDE.isdisjoint((item.path, *item.path.parents)):
            item.add_marker("beside")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip live tests where they cannot run; where they must run, that is a failure."""
    if item.get_closest_marker("live") is None or not (reason := why_not_live()):
        return
    if REQUIRED:
        pytest.fail(f"live tests are required here, and cannot run: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a service listens."""
    public = tmp_path_factory.mktemp("service")
    for folder in (public, public.parent):
        folder.chmod(0o755)
    service = Running(public, sys.executable)
    yield service.place
    service.end()


@pytest.fixture(autouse=True)
def user() -> Iterator[None]:
    """A test does the user's work, whatever a notebook in this thread has said before."""
    before = own.state()
    own.set_whole(own.USERS)
    yield
    own.set_whole(before)
