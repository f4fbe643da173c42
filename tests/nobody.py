"""Nobody: a user who may trace nothing, not even what is his own; commands and kernels that run as he would."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

NOBODY: Final = 65534
FEWER_RIGHTS: Final = Path(__file__).parent / "live" / "fewer_rights.py"
_SEARCHES: Final = "2"  # CAP_DAC_READ_SEARCH: this machine's Python may be where only root may look


def as_nobody(*command: str, capabilities: str = "-", untraced: bool = True) -> list[str]:
    """Return the command that runs a command without any right but these capabilities."""
    verb = "untraced" if untraced else "exec"
    return [sys.executable, "-B", str(FEWER_RIGHTS), str(NOBODY), capabilities, verb, *command]


def write_kernel(folder: Path, name: str = "nobody", *, untraced: bool = True, **environ: str) -> str:
    """Offer a kernel that runs as nobody to who has the folder in JUPYTER_PATH; return its name."""
    place = folder / "kernels" / name
    place.mkdir(parents=True, exist_ok=True)
    launched = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")
    argv = as_nobody(*launched, capabilities=_SEARCHES, untraced=untraced)
    spec = {"argv": argv, "display_name": name, "language": "python", "env": environ}
    (place / "kernel.json").write_text(json.dumps(spec))
    return place.name
