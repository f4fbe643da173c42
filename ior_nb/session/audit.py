"""What Python tells of itself: one audit hook of ours, made when somebody listens.

It can never be taken away again, and costs every `open` a look at a dictionary from then on: who does not ask for
what it tells has none. What a listener raises would fail the user's own call, so nothing it raises leaves this module.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any, Final

from ior_nb.real import Lock

__all__ = ["listen"]

_listeners: Final[dict[str, tuple[Callable[..., None], ...]]] = {}
_lock: Final = Lock()
_installed: Final[list[bool]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for listener in _listeners.get(event, ()):
        with contextlib.suppress(Exception):
            listener(*arguments)


def listen(event: str, listener: Callable[..., None]) -> Callable[[], None]:
    """Have a function called with the arguments of an audit event, by the thread it is of; return what ends it.

    What it does counts as what the thread does: a listener that makes calls says itself that they are ours.
    """
    with _lock:
        _listeners[event] = (*_listeners.get(event, ()), listener)
        if not _installed:
            sys.addaudithook(_hook)
            _installed.append(True)

    def stop() -> None:
        with _lock:
            left = tuple(one for one in _listeners.get(event, ()) if one != listener)
            if left:
                _listeners[event] = left
            else:
                _listeners.pop(event, None)

    return stop
