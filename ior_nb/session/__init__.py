"""What runs: from the call of `trace` to what a dashboard reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ior_nb.session.session import TracerSession as TracerSession
    from ior_nb.session.session import default_session as default_session

__all__ = ["TracerSession", "default_session"]


def __getattr__(name: str) -> Any:  # when asked for: modules in here must load without each other
    if name in __all__:
        from ior_nb.session import session

        return getattr(session, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
