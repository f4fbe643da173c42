"""What a collector refuses, as the error its caller gets."""

from __future__ import annotations

from typing import Any, Final

from ior_nb import errors
from ior_nb.engine.collector.bpf import condensed

__all__ = ["as_error"]

_HELP: Final = (
    "Give this process CAP_BPF and CAP_PERFMON (run Jupyter as root, or allow `sudo -n` for it); "
    "`ior-nb doctor` shows what is missing."
)


def as_error(message: dict[str, Any]) -> errors.SourceError | errors.ConfigError:
    """Return the error of an answer that is none."""
    text = message["message"]
    match message.get("kind"):
        case "PermissionDenied":
            return errors.PermissionDenied(f"cannot load BPF programs: {text}. {_HELP}")
        case "SourceUnavailable":
            return errors.SourceUnavailable(f"cannot trace with bcc: {text}. `ior-nb doctor` says what to install.")
        case "ProgramRejected":
            log = message.get("log", "")
            return errors.ProgramRejected("\n".join(filter(None, (text, condensed(log)))), log)
        case "ConfigError":
            return errors.ConfigError(text)
    return errors.SourceError(f"the collector failed: {text}")
