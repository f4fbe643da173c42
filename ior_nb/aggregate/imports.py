"""What imports cost: calls that what imports makes for itself, by the package they were for."""

from __future__ import annotations

import functools
import re
from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import distinct
from ior_nb.runtime.stacks import is_cell, parsed

__all__ = ["packages"]

_STANDARD: Final = "the standard library"
_SHARED: Final = "shared libraries"
_SEARCH: Final = "looking for modules"
"""Stands for calls of which neither file nor stack says for whom."""
_INSTALLED: Final = re.compile(r"/(?:site|dist)-packages/(?:__pycache__/)?([^/]+)")
_OF_PYTHON: Final = re.compile(r"/lib(?:64)?/python3\.?\d+t?(?:/|\.zip)|^<frozen ")
_OF_SYSTEM: Final = re.compile(r"/lib[^/]*\.so(?:\.\d+)*$")
_MODULE: Final = re.compile(r"/([^/]+?)(?:\.(?:cpython|abi3|pypy)[^/]*)?\.(?:py|pyc|so)(?:\.\d+)?$")
_BEHIND: Final = re.compile(r"-\d.*|\.(?:py|pyc|so|pth|libs|egg|dist-info|egg-info|cpython|abi3)\b.*")


@functools.lru_cache(1 << 14)
def _package_of(file: str) -> str:
    """Return the package a file is of, the module where it is of none; empty where the name does not say."""
    if (found := _INSTALLED.search(file)) is not None:
        return _BEHIND.sub("", found[1])
    if _OF_PYTHON.search(file):
        return _STANDARD
    if _OF_SYSTEM.search(file):
        return _SHARED
    found = _MODULE.search(file)
    return found[1] if found is not None else ""


@functools.lru_cache(1 << 14)
def _importing(stack: str) -> str:
    """Return the package whose code asked for the import; the innermost that is no part of Python, and no cell."""
    found = (_package_of(frame.file) for frame in reversed(parsed(stack)) if not is_cell(frame.file))
    return next((name for name in found if name not in ("", _STANDARD, _SHARED)), "")


def packages(batch: EventBatch) -> tuple[np.ndarray, list[str]]:
    """Return the package that each import call was for, as a code, and what the codes mean.

    Args:
        batch: rows that are the cost of imports. The file of a call says it best, else the stack does: where a module
            was looked for, the package that looked.
    """
    names: dict[str, int] = {"": 0}
    codes = []
    for column, name_of in (("file", _package_of), ("stack", _importing)):
        used, at = distinct(batch[column], len(batch.tables[column]))
        found = [names.setdefault(name_of(text), len(names)) for text in batch.tables[column].at(used)]
        codes.append(np.array(found, np.int64).take(at))
    return np.where(codes[0] != 0, codes[0], codes[1]), [_SEARCH, *list(names)[1:]]
