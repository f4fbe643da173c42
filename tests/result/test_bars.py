"""The bar of a long work in a notebook."""

from __future__ import annotations

from typing import Any

import IPython
import pytest
from IPython.display import DisplayHandle

from ior_nb.result.bars import NotebookBar, bar
from ior_nb.runtime.progress import Step


def test_a_notebook_has_an_output_that_changes_and_is_empty_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """One output is displayed, changed with each step, and says nothing any more when the work is over."""
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(DisplayHandle, "display", lambda self, bundle, raw: sent.append(("display", bundle)))
    monkeypatch.setattr(DisplayHandle, "update", lambda self, bundle, raw: sent.append(("update", bundle)))
    shown = NotebookBar()
    shown.show(Step("files <b>", 1, 4, 3.0))
    shown.show(Step("files <b>", 4, 4, 0.0))
    shown.close()

    assert [how for how, _ in sent] == ["display", "update", "update"]
    assert 'value="1" max="4"' in sent[0][1]["text/html"]
    assert "files &lt;b&gt;: 1 of 4 rows, 3 s left" in sent[0][1]["text/html"]
    assert sent[2][1] == {"text/plain": "", "text/html": ""}


def test_only_a_kernel_has_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell on a terminal is no notebook: there the line is, if anything."""

    class Shell:
        kernel: object = None

    shell = Shell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    assert not isinstance(bar(), NotebookBar)
    shell.kernel = object()

    assert isinstance(bar(), NotebookBar)
