"""plotly.js reaches the page once, from the installed package."""

from __future__ import annotations

import gzip
import subprocess
import sys

from ior_nb.widgets.plotlyjs import bundle, bundle_name
from tests.widgets.fake import RecordedComm


def test_there_is_one_bundle_and_it_holds_the_script(comms: type[RecordedComm]) -> None:
    """All panels name the same widget; what it holds is plotly.js as installed."""
    assert bundle() is bundle()
    assert bundle_name() == f"IPY_MODEL_{bundle().model_id}"
    assert b"plotly.js v" in gzip.decompress(bundle().gz)[:200]
    assert len(bundle().gz) < 2_000_000


def test_a_closed_bundle_is_made_again(comms: type[RecordedComm]) -> None:
    """`Widget.close_all` takes nothing from panels made later."""
    first = bundle()
    first.close()
    assert bundle() is not first
    assert bundle().gz


def test_plotly_itself_is_not_imported() -> None:
    """The script is found without the seconds an import of plotly takes."""
    code = "import sys; from ior_nb.widgets.plotlyjs import bundle; assert bundle().gz; print('plotly' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
