"""bcc: from C text to an image. The only place that knows it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ior_nb.engine.collector.bpf import MapSpec, info_of
from ior_nb.engine.collector.distribution import find_bcc
from ior_nb.engine.collector.image import Image, relocated
from ior_nb.engine.collector.loops import closed_by_jumps

__all__ = ["bcc_version", "compile_text", "import_bcc"]

HERE: Final = Path(__file__).resolve().parent


def bcc_version() -> str:
    """Return the version of the distribution's bcc without loading it; empty where there is none."""
    folder = find_bcc()
    if folder is None:
        return ""
    try:
        found = re.search(r"""__version__\s*=\s*["']([^"']+)""", (folder / "bcc/version.py").read_text())
    except OSError:
        return "unknown"
    return found[1] if found else "unknown"


def import_bcc() -> ModuleType:
    """Import bcc from the distribution, whatever Python this is.

    Raises:
        ImportError: it is not installed, or its shared library can not be loaded.
    """
    where = find_bcc()
    if where is None:
        raise ImportError("the bcc Python module is not installed: apt install python3-bpfcc (Fedora: python3-bcc)")
    # bcc includes kernel headers; ours are 8 tiny files, so no kernel-headers package is needed.
    os.environ["BCC_KERNEL_SOURCE"] = str(HERE)  # bcc looks into its include/
    package = where / "bcc"
    found = importlib.util.spec_from_file_location(
        "bcc", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if found is None or found.loader is None:
        raise ImportError(f"{package} can not be imported")
    module = importlib.util.module_from_spec(found)
    sys.modules["bcc"] = module
    try:
        found.loader.exec_module(module)
    except OSError as error:
        raise ImportError(f"bcc is installed, its shared library is not: {error}") from error
    return module


def compile_text(text: str, functions: Iterable[str]) -> Image:
    """Compile a C text.

    Args:
        text: the program.
        functions: which of its functions are wanted.

    Raises:
        ImportError: there is no bcc.
        Exception: bcc's own, bare; its reason is on descriptor 2.
    """
    bpf = import_bcc().BPF(text=text, cflags=["-w"])
    try:
        lib = sys.modules["bcc.libbcc"].lib
        for function in (lib.bpf_num_tables, lib.bpf_table_fd_id, lib.bpf_table_name):
            function.argtypes = [ctypes.c_void_p, *[ctypes.c_size_t] * (function is not lib.bpf_num_tables)]
        lib.bpf_num_tables.restype, lib.bpf_table_name.restype = ctypes.c_size_t, ctypes.c_char_p
        specs: list[MapSpec] = []
        place: dict[int, int] = {}  # descriptor bcc gave a map -> its place in the image
        for number in range(lib.bpf_num_tables(bpf.module)):
            fd = lib.bpf_table_fd_id(bpf.module, number)
            place[fd] = len(specs)
            specs.append(_spec(lib.bpf_table_name(bpf.module, number).decode(), fd))
        return Image(tuple(specs), {name: relocated(_code(bpf, name), place.__getitem__) for name in functions})
    finally:
        bpf.cleanup()


def _spec(name: str, fd: int) -> MapSpec:
    kind, _, key, value, entries, flags = struct.unpack_from("<6I", info_of(fd))  # struct bpf_map_info
    return MapSpec(name, kind, key, value, entries, flags)


def _code(bpf: Any, function: str) -> bytes:
    code = bpf.dump_func(function)
    if not code:
        raise LookupError(f"the compiled program has no function {function!r}")
    return closed_by_jumps(bytes(code))
