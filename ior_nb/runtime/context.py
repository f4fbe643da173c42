"""Carry the session's bindings and the filter in a `contextvars.Context`, the call context of a trace starter."""

from __future__ import annotations

import copy
from contextvars import Context, ContextVar
from typing import Final

from ior_nb.runtime.contracts import RuntimePublisher, TraceRuntimeBindings
from ior_nb.runtime.filter import Filter

__all__ = [
    "context_with_runtime_bindings",
    "context_with_trace_filters",
    "runtime_bindings_from_context",
    "runtime_publisher_from_context",
    "trace_filters_from_context",
]

_BINDINGS: Final[ContextVar[TraceRuntimeBindings]] = ContextVar("ior_nb.runtime_bindings")
_FILTER: Final[ContextVar[Filter]] = ContextVar("ior_nb.trace_filters")


def context_with_runtime_bindings(context: Context, bindings: TraceRuntimeBindings) -> Context:
    """Return a copy of the context that carries the bindings."""
    carrying = context.copy()
    carrying.run(_BINDINGS.set, bindings)
    return carrying


def runtime_bindings_from_context(context: Context) -> TraceRuntimeBindings | None:
    """Return the bindings, None when the context was not made by a session, or carries less than all of them."""
    carried = context.get(_BINDINGS)
    return carried if isinstance(carried, TraceRuntimeBindings) else None


def runtime_publisher_from_context(context: Context) -> RuntimePublisher | None:
    """Return only the write side, for callers that need no more."""
    carried = context.get(_BINDINGS)
    return carried if isinstance(carried, RuntimePublisher) else None


def context_with_trace_filters(context: Context, filter: Filter) -> Context:  # noqa: A002 - the field's own word
    """Return a copy of the context that carries a clone of the filter."""
    carrying = context.copy()
    carrying.run(_FILTER.set, copy.deepcopy(filter))
    return carrying


def trace_filters_from_context(context: Context) -> Filter | None:
    """Return a clone of the filter, None when none was stored."""
    stored = context.get(_FILTER)
    return None if stored is None else copy.deepcopy(stored)
