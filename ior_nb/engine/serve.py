"""The engine `serve`: the kernel program of bcc, held by the service of this machine (`docs/service.md`)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any, Final

from ior_nb import errors
from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.connect import Busy, NoService, connect, place
from ior_nb.engine.spawn import Collector
from ior_nb.runtime import EventBatch, TraceOptions

__all__ = ["ServeEngine"]

_LINES: Final = "no Python lines: the service reads no memory of yours"
_KINDS: Final[Mapping[str, type[errors.IorError]]] = {
    "PermissionDenied": errors.PermissionDenied,
    "SourceUnavailable": errors.SourceUnavailable,
    "ConfigError": errors.ConfigError,
}


class ServeEngine(BccEngine):
    """A collector that the service has started for this process. See `BccEngine`."""

    name = "serve"

    @property
    def how(self) -> str:
        """Who traces."""
        return f"served by {place()}, {super().how}" if super().how else ""

    def _spawn(self) -> Collector:
        try:
            return connect()
        except Busy as error:
            raise errors.SourceUnavailable(str(error)) from OSError(errno.EAGAIN, "busy")
        except NoService as error:
            raise errors.SourceUnavailable(str(error)) from error

    def start(self, options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        """Attach. See `BccEngine.start`; the service refuses what is not this user's."""
        began = super().start(options, on_batch)
        if options.stacks:
            self.notes += (_LINES,)
        return began

    def _error(self, message: dict[str, Any]) -> errors.IorError:
        kind = _KINDS.get(message.get("kind", ""))
        return kind(f"the service refuses: {message['message']}") if kind is not None else super()._error(message)
