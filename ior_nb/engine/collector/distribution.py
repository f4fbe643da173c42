"""Where distributions put the Python module of bcc. The doctor looks there too, so this needs nothing but paths."""

from pathlib import Path

__all__ = ["find_bcc"]

_FOLDERS = (
    "usr/lib/python3/dist-packages",
    "usr/local/lib/python3/dist-packages",
    "usr/lib/python3*/site-packages",
    "usr/lib64/python3*/site-packages",
)


def find_bcc(root: Path = Path("/")) -> Path | None:
    """Return the folder to import the distribution's bcc from, or None.

    The project called bcc on the Python package index is another one: only a package with `libbcc.py` counts.

    Args:
        root: where the file tree of the machine begins, for tests and mounted images.
    """
    for pattern in _FOLDERS:
        for folder in sorted(root.glob(pattern)):
            if (folder / "bcc" / "__init__.py").is_file() and (folder / "bcc" / "libbcc.py").is_file():
                return folder
    return None
