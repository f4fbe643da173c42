"""Profiles for speedscope: stacks with their weights, one profile per metric."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from ior_nb.export.about import About
from ior_nb.export.arrow import compact
from ior_nb.export.stacks import DEFAULT_FIELDS, METRICS, metric_name, stacks
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.stacks import parsed
from ior_nb.runtime.text import printable
from ior_nb.version import VERSION

__all__ = ["SCHEMA", "speedscope"]

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_UNITS: Final = {"": "none", "ns": "nanoseconds", "bytes": "bytes"}


def _places(rows: Rows) -> dict[str, dict[str, str | int]]:
    """Return what else is to be said of frames of Python stacks, by their name: file and line."""
    texts = dict.fromkeys(text for b in read(rows, "stack") for text in compact(b["stack"], b.tables["stack"])[1])
    return {
        printable(part): {"file": printable(frame.file), "line": frame.line}
        for text in filter(None, texts)
        for part, frame in zip(text.split(";"), parsed(text), strict=True)
        if frame.file
    }


def speedscope(
    rows: Rows, about: About, *, fields: str | Sequence[str] = DEFAULT_FIELDS, metric: str = "count"
) -> Iterator[bytes]:
    """Yield the file. Every metric that is not zero everywhere is a profile; speedscope opens on the chosen one.

    Args:
        rows: the rows.
        about: its title names the file; behind it stands what the rows lack.
        fields: what the frames are, root first: comm, syscall, path, file, family, pid, tid, cell, label, python, func,
            flags, host.
        metric: what is shown first: a name of `METRICS`.

    Raises:
        ConfigError: an unknown field or metric.
    """
    chosen = metric_name(metric)
    found = stacks(rows, fields)
    title = f"{about.title} ({about.told})" if about.told else about.title
    places = _places(rows) if "python" in found.fields else {}
    numbers: dict[str, int] = {}
    samples = [[numbers.setdefault(name, len(numbers)) for name in frames] for frames in found.frames]
    shown = [m for m in METRICS if m == chosen or found.total(m)]
    profiles = []
    for name in shown:
        weights = found.weights[name]
        there = np.flatnonzero(weights).tolist()
        profiles.append(
            {
                "type": "sampled",
                "name": f"{title}: {name}",
                "unit": _UNITS[METRICS[name].unit],
                "startValue": 0,
                "endValue": found.total(name),
                "samples": [samples[i] for i in there],
                "weights": weights[there].tolist(),
            }
        )
    yield json.dumps(
        {
            "$schema": SCHEMA,
            "name": title,
            "exporter": f"ior-nb {VERSION}",
            "activeProfileIndex": shown.index(chosen),
            "shared": {"frames": [{"name": name, **places.get(name, {})} for name in numbers]},
            "profiles": profiles,
        }
    ).encode()
