"""Which calls only look at a file: asking where Python's modules are is not using the folders they may be in."""

__all__ = ["LOOKS", "OPENS"]

LOOKS: frozenset[str] = frozenset(
    "newstat newlstat newfstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat "
    "getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat "
    "getdents getdents64 getcwd chdir fchdir name_to_handle_at "
    "inotify_add_watch inotify_rm_watch fanotify_mark".split()
)
"""Calls that use nothing of what they look at."""

OPENS: frozenset[str] = frozenset(
    "open openat openat2 open_by_handle_at close fcntl dup dup2 dup3 lseek ioctl flock fadvise64 fadvise64_64 "
    "file_getattr mmap fsync fdatasync".split()
)
"""Calls that are part of looking where the file is a folder."""
