"""Scenarios of names: rename, link, remove, folders, stat, attributes, times, sync, truncate, copy, lock."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct

from tests.live.scenarios.calls import ANY, AT_FDCWD, NULL, Calls, Fd, at_least, buffer, mapped, scenario

AT_REMOVEDIR = 0x200
RENAME_NOREPLACE = 1


# ---- rename


@scenario("rename-basic")
def rename_basic(c: Calls) -> None:
    old, new = c.file("old"), c.path("new")
    c.call("rename", old, new, file=new, old_file=old)


@scenario("rename-renameat")
def rename_renameat(c: Calls) -> None:
    old, new = c.file("old"), c.path("new")
    folder = Fd(os.open(c.folder, os.O_RDONLY))
    c.call("renameat", folder, "old", folder, "new", file=new, old_file=old)


@scenario("rename-renameat2")
def rename_renameat2(c: Calls) -> None:
    old, new = c.file("old"), c.path("new")
    c.call("renameat2", AT_FDCWD, "old", AT_FDCWD, "new", 0, file=new, old_file=old, path_arg="new")


@scenario("rename-enoent")
def rename_enoent(c: Calls) -> None:
    old, new = c.path("missing"), c.path("new")
    c.call("rename", old, new, error=errno.ENOENT, is_error=True, file=new, old_file=old)


@scenario("rename-noreplace")
def rename_noreplace(c: Calls) -> None:
    old, new = c.file("old"), c.file("new")
    c.call(
        *("renameat2", AT_FDCWD, old, AT_FDCWD, new, RENAME_NOREPLACE),
        error=errno.EEXIST, is_error=True, file=new, old_file=old,
    )  # fmt: skip


# ---- link


@scenario("link-basic")
def link_basic(c: Calls) -> None:
    old, new = c.file("old"), c.path("new")
    c.call("link", old, new, file=new, old_file=old)


@scenario("link-linkat")
def link_linkat(c: Calls) -> None:
    old, new = c.file("old"), c.path("new")
    c.call("linkat", AT_FDCWD, old, AT_FDCWD, "new", 0, file=new, old_file=old)


@scenario("link-symlinkat")
def link_symlinkat(c: Calls) -> None:
    new = c.path("new")
    c.call("symlinkat", "../anything", AT_FDCWD, new, file=new, old_file="../anything")


@scenario("link-readlinkat")
def link_readlinkat(c: Calls) -> None:
    os.symlink("eleven byte", c.path("l"))
    c.call("readlinkat", AT_FDCWD, "l", buffer(64), 64, ret=11, file=c.path("l"))


@scenario("link-enoent")
def link_enoent(c: Calls) -> None:
    old, new = c.path("missing"), c.path("new")
    c.call("linkat", AT_FDCWD, old, AT_FDCWD, new, 0, error=errno.ENOENT, is_error=True, file=new, old_file=old)


@scenario("link-symlink-eexist")
def link_symlink_eexist(c: Calls) -> None:
    new = c.file("new")
    c.call("symlink", "old", new, error=errno.EEXIST, is_error=True, file=new, old_file="old")


@scenario("link-readlinkat-einval")
def link_readlinkat_einval(c: Calls) -> None:
    path = c.file("f")
    c.call("readlinkat", AT_FDCWD, path, buffer(64), 64, error=errno.EINVAL, is_error=True, file=path)


# ---- unlink


@scenario("unlink-basic")
def unlink_basic(c: Calls) -> None:
    path = c.file("f")
    c.call("unlink", path, file=path)


@scenario("unlink-unlinkat")
def unlink_unlinkat(c: Calls) -> None:
    path = c.file("f")
    c.call("unlinkat", AT_FDCWD, "f", 0, file=path)


@scenario("unlink-rmdir")
def unlink_rmdir(c: Calls) -> None:
    os.mkdir("d")
    c.call("rmdir", "d", file=c.path("d"))


@scenario("unlink-enoent")
def unlink_enoent(c: Calls) -> None:
    c.call("unlink", "missing", error=errno.ENOENT, is_error=True, file=c.path("missing"))


@scenario("unlink-rmdir-notempty")
def unlink_rmdir_notempty(c: Calls) -> None:
    os.makedirs("d/e")
    c.call("unlinkat", AT_FDCWD, "d", AT_REMOVEDIR, error=errno.ENOTEMPTY, is_error=True, file=c.path("d"))


@scenario("unlink-unlinkat-enoent")
def unlink_unlinkat_enoent(c: Calls) -> None:
    c.call("unlinkat", AT_FDCWD, "missing", 0, error=errno.ENOENT, is_error=True, file=c.path("missing"))


# ---- folders


@scenario("dir-basic")
def dir_basic(c: Calls) -> None:
    c.call("mkdir", "d", 0o700, file=c.path("d"))


@scenario("dir-mkdirat")
def dir_mkdirat(c: Calls) -> None:
    c.call("mkdirat", AT_FDCWD, "d", 0o700, file=c.path("d"))


@scenario("dir-chdir")
def dir_chdir(c: Calls) -> None:
    os.mkdir("d")
    c.call("chdir", "d", file=c.path("d"))
    c.call("mkdirat", AT_FDCWD, "e", 0o700, file=c.path("d/e"))
    up = Fd(os.open("..", os.O_RDONLY))
    c.call("fchdir", up)


@scenario("dir-getcwd")
def dir_getcwd(c: Calls) -> None:
    c.call("getcwd", buffer(4096), 4096, ret=len(c.folder) + 1, file=c.folder)


@scenario("dir-getdents")
def dir_getdents(c: Calls) -> None:
    fd = Fd(os.open(c.folder, os.O_RDONLY))
    c.call("getdents64", fd, buffer(4096), 4096, ret=at_least(1))
    c.call("getdents64", fd, buffer(4096), 4096, ret=0)


@scenario("dir-mkdir-eexist")
def dir_mkdir_eexist(c: Calls) -> None:
    c.call("mkdirat", AT_FDCWD, c.folder, 0o700, error=errno.EEXIST, is_error=ANY, file=c.folder)


@scenario("dir-chdir-enoent")
def dir_chdir_enoent(c: Calls) -> None:
    c.call("chdir", "missing", error=errno.ENOENT, is_error=True, file=c.path("missing"))


@scenario("dir-getdents-ebadf")
def dir_getdents_ebadf(c: Calls) -> None:
    c.call("getdents64", 999, buffer(64), 64, error=errno.EBADF, is_error=True, fd=999)


# ---- stat


@scenario("stat-basic")
def stat_basic(c: Calls) -> None:
    path = c.file("f")
    c.call("stat", path, buffer(256), file=path)


@scenario("stat-fstat")
def stat_fstat(c: Calls) -> None:
    c.call("fstat", c.open("f"), buffer(256))


@scenario("stat-lstat")
def stat_lstat(c: Calls) -> None:
    os.symlink("nowhere", "l")
    c.call("lstat", "l", buffer(256), file=c.path("l"))


@scenario("stat-newfstatat")
def stat_newfstatat(c: Calls) -> None:
    path = c.file("f")
    c.call("newfstatat", AT_FDCWD, "f", buffer(256), 0, file=path)


@scenario("stat-statx")
def stat_statx(c: Calls) -> None:
    path = c.file("f")
    c.call("statx", AT_FDCWD, "f", 0, 0x7FF, buffer(512), file=path)


@scenario("stat-access")
def stat_access(c: Calls) -> None:
    path = c.file("f")
    c.call("access", path, os.R_OK, file=path)


@scenario("stat-faccessat")
def stat_faccessat(c: Calls) -> None:
    path = c.file("f")
    c.call("faccessat", AT_FDCWD, "f", os.R_OK, file=path)


@scenario("stat-enoent")
def stat_enoent(c: Calls) -> None:
    c.call("newfstatat", AT_FDCWD, "missing", buffer(256), 0, error=errno.ENOENT, is_error=ANY, file=c.path("missing"))


@scenario("stat-access-enoent")
def stat_access_enoent(c: Calls) -> None:
    c.call("faccessat", AT_FDCWD, "missing", os.R_OK, error=errno.ENOENT, is_error=ANY, file=c.path("missing"))


@scenario("stat-fstat-ebadf")
def stat_fstat_ebadf(c: Calls) -> None:
    c.call("fstat", 999, buffer(256), error=errno.EBADF, is_error=True, fd=999)


# ---- paths in memory nobody has touched


def untouched(c: Calls, text: str, at: int) -> int:
    """Return the address of a string in a page of a mapped file that this process has never read."""
    fd = os.open(c.file(f".page{at}", os.fsencode(text) + b"\0"), os.O_RDONLY)
    address = mapped(fd, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_PRIVATE)
    os.close(fd)
    return address


def _faulted(c: Calls, name: str, *arguments: object, error: int | None = 0, **columns: object) -> None:
    """Make a call whose paths lie in untouched pages."""
    given = [untouched(c, a, at) if isinstance(a, str) else a for at, a in enumerate(arguments)]
    c.call(name, *given, error=error, **columns)


@scenario("path-faulted-open")
def path_faulted_open(c: Calls) -> None:
    path = c.file("f")
    _faulted(c, "openat", AT_FDCWD, path, os.O_RDONLY, 0, file=path, path_arg=path)


@scenario("path-faulted-open-enoent")
def path_faulted_open_enoent(c: Calls) -> None:
    path = c.path("missing")
    _faulted(c, "openat", AT_FDCWD, path, os.O_RDONLY, 0, error=errno.ENOENT, file=path, path_arg=path)


@scenario("path-faulted-stat")
def path_faulted_stat(c: Calls) -> None:
    path = c.file("f")
    _faulted(c, "newfstatat", AT_FDCWD, path, buffer(256), 0, file=path, path_arg=path)


@scenario("path-faulted-rename")
def path_faulted_rename(c: Calls) -> None:
    old, new = c.file("old"), c.path("new")
    _faulted(c, "renameat2", AT_FDCWD, old, AT_FDCWD, new, 0, file=new, old_file=old)


@scenario("path-faulted-link")
def path_faulted_link(c: Calls) -> None:
    old, new = c.file("old"), c.path("new")
    _faulted(c, "linkat", AT_FDCWD, old, AT_FDCWD, new, 0, file=new, old_file=old)


@scenario("path-faulted-symlink")
def path_faulted_symlink(c: Calls) -> None:
    _faulted(c, "symlinkat", "target", AT_FDCWD, c.path("l"), file=c.path("l"), old_file="target")


@scenario("path-faulted-unlink")
def path_faulted_unlink(c: Calls) -> None:
    path = c.file("f")
    _faulted(c, "unlinkat", AT_FDCWD, path, 0, file=path)


@scenario("path-faulted-mkdir")
def path_faulted_mkdir(c: Calls) -> None:
    _faulted(c, "mkdirat", AT_FDCWD, c.path("d"), 0o700, file=c.path("d"))


@scenario("path-faulted-chmod")
def path_faulted_chmod(c: Calls) -> None:
    path = c.file("f")
    _faulted(c, "fchmodat", AT_FDCWD, path, 0o644, file=path)


@scenario("path-faulted-truncate")
def path_faulted_truncate(c: Calls) -> None:
    path = c.file("f")
    _faulted(c, "truncate", path, 10, file=path)


@scenario("path-faulted-exec")
def path_faulted_exec(c: Calls) -> None:
    """A failing one: what a successful exec has replaced cannot be read any more."""
    path = c.file("no-program")
    _faulted(c, "execve", path, NULL, NULL, error=errno.EACCES, is_error=True, file=path)


@scenario("path-faulted-move-mount")
def path_faulted_move_mount(c: Calls) -> None:
    old, new = c.path("from"), c.path("to")
    os.mkdir(old)  # which is no mount: the call fails, after it has read both paths
    os.mkdir(new)
    _faulted(c, "move_mount", AT_FDCWD, old, AT_FDCWD, new, 0, error=None, file=new, old_file=old, is_error=True)


# ---- extended attributes


def _attribute(c: Calls) -> tuple[str, Fd]:
    """Return a file with an attribute of seven bytes, path and descriptor."""
    path = c.file("f")
    os.setxattr(path, "trusted.ior" if os.geteuid() == 0 else "user.ior", b"seven!!")
    return path, Fd(os.open(path, os.O_RDWR))


NAME = "trusted.ior"


def _args(value: ctypes.Array[ctypes.c_char], size: int) -> ctypes.Array[ctypes.c_char]:
    """Return a struct xattr_args."""
    return buffer(struct.pack("QII", ctypes.addressof(value), size, 0))


@scenario("xattr-getxattrat")
def xattr_getxattrat(c: Calls) -> None:
    path, _ = _attribute(c)
    value = buffer(64)
    c.call("getxattrat", AT_FDCWD, path, 0, NAME, _args(value, 64), 16, ret=7, file=path, path_arg=path)


@scenario("xattr-listxattrat")
def xattr_listxattrat(c: Calls) -> None:
    path, _ = _attribute(c)
    c.call("listxattrat", AT_FDCWD, path, 0, buffer(256), 256, file=path, path_arg=path)


@scenario("xattr-removexattrat")
def xattr_removexattrat(c: Calls) -> None:
    path, _ = _attribute(c)
    c.call("removexattrat", AT_FDCWD, path, 0, NAME, file=path, path_arg=path)


@scenario("xattr-setxattrat")
def xattr_setxattrat(c: Calls) -> None:
    path, _ = _attribute(c)
    value = buffer(b"other")
    c.call("setxattrat", AT_FDCWD, path, 0, NAME, _args(value, 5), 16, file=path, path_arg=path)


@scenario("xattr-getxattr")
def xattr_getxattr(c: Calls) -> None:
    path, _ = _attribute(c)
    c.call("getxattr", path, NAME, buffer(64), 64, ret=7, file=path, path_arg=path)


@scenario("xattr-lgetxattr")
def xattr_lgetxattr(c: Calls) -> None:
    path, _ = _attribute(c)
    c.call("lgetxattr", path, NAME, buffer(64), 64, ret=7, file=path, path_arg=path)


@scenario("xattr-listxattr")
def xattr_listxattr(c: Calls) -> None:
    path, _ = _attribute(c)
    c.call("listxattr", path, buffer(256), 256, file=path)


@scenario("xattr-llistxattr")
def xattr_llistxattr(c: Calls) -> None:
    path, _ = _attribute(c)
    c.call("llistxattr", path, buffer(256), 256, file=path)


@scenario("xattr-lsetxattr")
def xattr_lsetxattr(c: Calls) -> None:
    path, _ = _attribute(c)
    c.call("lsetxattr", path, NAME, b"other", 5, 0, file=path, path_arg=path)


@scenario("xattr-removexattr")
def xattr_removexattr(c: Calls) -> None:
    path, _ = _attribute(c)
    c.call("removexattr", path, NAME, file=path, path_arg=path)


@scenario("xattr-lremovexattr")
def xattr_lremovexattr(c: Calls) -> None:
    path, _ = _attribute(c)
    c.call("lremovexattr", path, NAME, file=path, path_arg=path)


@scenario("xattr-fd")
def xattr_fd(c: Calls) -> None:
    _, fd = _attribute(c)
    c.call("fgetxattr", fd, NAME, buffer(64), 64, ret=7)
    c.call("flistxattr", fd, buffer(256), 256)
    c.call("fsetxattr", fd, NAME, b"other", 5, 0)
    c.call("fremovexattr", fd, NAME)


# ---- chmod, chown, times, sync, truncate, copy, lock


@scenario("chmod-basic")
def chmod_basic(c: Calls) -> None:
    path = c.file("f")
    c.call("chmod", path, 0o640, file=path)
    c.call("fchmod", c.open("f"), 0o600)
    c.call("fchmodat", AT_FDCWD, "f", 0o644, file=path)


@scenario("chown-basic")
def chown_basic(c: Calls) -> None:
    path = c.file("f")
    c.call("chown", path, -1, -1, file=path)
    c.call("lchown", path, -1, -1, file=path)
    c.call("fchown", c.open("f"), -1, -1)
    c.call("fchownat", AT_FDCWD, "f", -1, -1, 0, file=path)


@scenario("utime-basic")
def utime_basic(c: Calls) -> None:
    path = c.file("f")
    c.call("utimensat", AT_FDCWD, "f", NULL, 0, file=path)
    c.call("utime", path, NULL, file=path)


@scenario("utime-utimes")
def utime_utimes(c: Calls) -> None:
    path = c.file("f")
    c.call("utimes", path, NULL, file=path)
    c.call("futimesat", AT_FDCWD, path, NULL, file=path)


@scenario("utime-enoent")
def utime_enoent(c: Calls) -> None:
    path = c.path("missing")
    c.call("utimensat", AT_FDCWD, path, NULL, 0, error=errno.ENOENT, is_error=True, file=path)


@scenario("sync-basic")
def sync_basic(c: Calls) -> None:
    c.call("fsync", c.open("f", content=b"x"))


@scenario("sync-fdatasync")
def sync_fdatasync(c: Calls) -> None:
    c.call("fdatasync", c.open("f", content=b"x"))


@scenario("sync-sync")
def sync_sync(c: Calls) -> None:
    fd = c.open("f", content=b"x")
    c.call("syncfs", fd)


@scenario("sync-file-range")
def sync_file_range(c: Calls) -> None:
    c.call("sync_file_range", c.open("f", content=bytes(8192)), 0, 4096, 2)


@scenario("sync-to-eof")
def sync_to_eof(c: Calls) -> None:
    c.call("sync_file_range", c.open("f", content=bytes(8192)), 4096, 0, 2)


@scenario("sync-fsync-ebadf")
def sync_fsync_ebadf(c: Calls) -> None:
    c.call("fsync", 999, error=errno.EBADF, is_error=True, fd=999)


@scenario("sync-fdatasync-ebadf")
def sync_fdatasync_ebadf(c: Calls) -> None:
    c.call("fdatasync", 999, error=errno.EBADF, is_error=True, fd=999)


@scenario("sync-file-range-ebadf")
def sync_file_range_ebadf(c: Calls) -> None:
    c.call("sync_file_range", 999, 0, 4096, 2, error=errno.EBADF, is_error=True, fd=999)


@scenario("truncate-basic")
def truncate_basic(c: Calls) -> None:
    path = c.file("f")
    c.call("truncate", path, 4096, file=path)


@scenario("truncate-ftruncate")
def truncate_ftruncate(c: Calls) -> None:
    c.call("ftruncate", c.open("f"), 4096)


@scenario("truncate-enoent")
def truncate_enoent(c: Calls) -> None:
    path = c.path("missing")
    c.call("truncate", path, 4096, error=errno.ENOENT, is_error=True, file=path)


@scenario("truncate-ftruncate-ebadf")
def truncate_ftruncate_ebadf(c: Calls) -> None:
    c.call("ftruncate", 999, 4096, error=errno.EBADF, is_error=True, fd=999)


@scenario("copy-file-range-basic")
def copy_file_range_basic(c: Calls) -> None:
    source, target = c.open("source", content=b"hello world"), c.open("target")
    c.call(
        *("copy_file_range", source, NULL, target, NULL, 64, 0),
        ret=11, bytes=11, file=target.name, old_file=source.name,
    )  # fmt: skip


@scenario("copy-file-range-bad-dst-fd")
def copy_file_range_bad(c: Calls) -> None:
    source = c.open("source", content=b"hello world")
    c.call(
        *("copy_file_range", source, NULL, 999, NULL, 64, 0),
        error=errno.EBADF, is_error=True, file="", old_file=source.name, fd=999,
    )  # fmt: skip


@scenario("flock")
def flock(c: Calls) -> None:
    fd = c.open("f")
    c.call("flock", fd, fcntl.LOCK_EX)
    c.call("flock", fd, fcntl.LOCK_UN)
    c.call("flock", 999, fcntl.LOCK_EX, error=errno.EBADF, is_error=True, fd=999)
