"""The compiled program as plain data: maps, instructions, which word means which map. Loaded by bpf(2) alone.

An image comes from the compiler (`compiler.py`) or from the cache (`cache.py`); either way this is how it gets into the
kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from ior_nb.engine.collector.bpf import Map, MapSpec, Program

__all__ = ["Image", "Loaded", "load", "relocated"]

_LOAD64: Final = 0x18
_FROM_MAP: Final = 1  # BPF_PSEUDO_MAP_FD


@dataclass(frozen=True, slots=True)
class Image:
    """A program not yet loaded."""

    maps: tuple[MapSpec, ...]
    code: Mapping[str, bytes]
    """Instructions by function; where they name a map there is its place in `maps`."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"maps": [asdict(m) for m in self.maps], "code": {name: code.hex() for name, code in self.code.items()}}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Image:
        """Return what `to_json` made.

        Raises:
            LookupError, TypeError, ValueError: it is something else.
        """
        return cls(
            maps=tuple(MapSpec(**m) for m in data["maps"]),
            code={str(name): bytes.fromhex(code) for name, code in data["code"].items()},
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program in the kernel, attached to nothing yet."""

    maps: dict[str, Map]
    programs: dict[str, Program]

    def add(self, image: Image, kinds: Mapping[str, int]) -> None:
        """Load more functions of the image; they share the maps that are there.

        Args:
            image: where they are.
            kinds: type of program by function.

        Raises:
            LookupError: it has no such function.
            Refused: the kernel does not take them; none of them, and of their maps, is left.
        """
        maps: dict[str, Map] = {}
        programs: dict[str, Program] = {}

        def descriptor(index: int) -> int:
            spec = image.maps[index]
            if spec.name not in self.maps and spec.name not in maps:
                maps[spec.name] = Map(spec)
            return (self.maps.get(spec.name) or maps[spec.name]).fd

        try:
            for name, kind in kinds.items():
                programs[name] = Program(name, kind, relocated(image.code[name], descriptor))
        except BaseException:
            Loaded(maps, programs).close()
            raise
        self.maps.update(maps)
        self.programs.update(programs)

    def fill_tails(self, tails: Mapping[str, int]) -> None:
        """Put the functions that are loaded where others look for what to go on to: places in the map `tails`."""
        for name in tails.keys() & self.programs.keys():
            self.maps["tails"].set(tails[name].to_bytes(4, "little"), self.programs[name].fd.to_bytes(4, "little"))

    def empty_tails(self, tails: Mapping[str, int]) -> None:
        """Take them away from there. Idempotent."""
        for place in tails.values():
            self.maps["tails"].delete(place.to_bytes(4, "little"))

    def close(self) -> None:
        """Unload it."""
        for program in self.programs.values():
            program.close()
        for each in self.maps.values():
            each.close()


def load(image: Image, kinds: Mapping[str, int], maps: Mapping[str, Map] | None = None) -> Loaded:
    """Load functions, with the maps they use.

    Args:
        image: where they are.
        kinds: type of program by function.
        maps: those that are there already, by name.

    Raises:
        Refused: the kernel does not take it; nothing is left of it.
    """
    loaded = Loaded(dict(maps or {}), {})
    loaded.add(image, kinds)
    return loaded


def relocated(code: bytes, new: Callable[[int], int]) -> bytes:
    """Return instructions with every word that names a map changed by `new`."""
    changed = bytearray(code)
    at = 0
    while at < len(changed):
        if changed[at] == _LOAD64:
            if changed[at + 1] >> 4 == _FROM_MAP:
                struct.pack_into("<i", changed, at + 4, new(struct.unpack_from("<i", changed, at + 4)[0]))
            at += 8  # it takes the room of two
        at += 8
    return bytes(changed)
