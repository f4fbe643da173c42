"""Whose a file is: the user's own, one of the programs and libraries he runs, or no file at all.

It is told from the name alone, so that a recording says the same everywhere. A name no rule knows is the user's.
"""

from __future__ import annotations

import re
from typing import Final

from ior_nb.runtime.peers import PROTOCOLS

__all__ = ["LIBRARY", "MINE", "NONE", "PIPE", "SOCKET", "SYSTEM", "Rule", "kind_of"]

NONE, MINE, LIBRARY, SYSTEM, PIPE, SOCKET = range(6)


class Rule:
    """One line of the table.

    Args:
        kind: what the names are of.
        pattern: what is looked for anywhere in a name.
        doc: which those are, in a few words.
    """

    def __init__(self, kind: int, pattern: str, doc: str) -> None:
        self.kind = kind
        self.find: Final = re.compile(pattern).search
        self.doc = doc


# The first rule that finds something decides.
RULES: Final = (
    Rule(SOCKET, rf"^socket:|^(?:{'|'.join(PROTOCOLS)}) ", "sockets"),
    Rule(PIPE, r"^[a-z_]+:", "pipes, and what else has no place in a folder: timers, events, namespaces"),
    Rule(LIBRARY, r"^/memfd:ior-nb ", "the tracer's own, which a child closes"),
    Rule(LIBRARY, r"^/dev/shm/ior-nb-\d", "and what processes say of their labels"),
    Rule(MINE, r"^/dev/shm/(?!sem\.)", "shared memory that has a name"),
    Rule(LIBRARY, r"/(?:site|dist)-packages(?:/|$)|/(?:lib|lib64|libexec)/python\d", "installed Python packages"),
    Rule(LIBRARY, r"/__pycache__(?:/|$)|\.pyc(?:\.\d+)?$|/pyvenv\.cfg$|/\.venv(?:/|$)", "of an interpreter"),
    Rule(LIBRARY, r"/bin/(?:python|pypy|ipython|jupyter)[^/]*$|/lib-dynload(?:/|$)", "interpreters"),
    Rule(LIBRARY, r"\.so(?:\.\d+)*$|/\.libs(?:/|$)", "shared libraries"),
    Rule(
        LIBRARY, r"/(?:LC_MESSAGES|locale|zoneinfo|terminfo|gconv|ossl-modules)(?:/|$)|^/etc/locale", "languages, times"
    ),
    Rule(LIBRARY, r"/\.(?:ipython|jupyter|matplotlib)(?:/|$)|/\.local/share/jupyter(?:/|$)", "of the notebook"),
    Rule(LIBRARY, r"^/(?:home/[^/]+|root)/\.(?:[^/]+|config/.*)$", "settings in a home, as .gitconfig"),
    Rule(SYSTEM, r"^/(?:usr|s?bin|lib(?:32|64|x32)?|etc|proc|sys|dev|nix|snap|selinux)(?:/|$)", "of the system"),
)


def kind_of(name: str) -> int:
    """Return what a name of a row's file is of: `NONE` without a name, else as the table says."""
    if not name:
        return NONE
    return next((rule.kind for rule in RULES if rule.find(name)), MINE)
