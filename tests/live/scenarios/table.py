"""The scenarios of the reference, by area, and where each is tested here.

Most are functions of this folder, which `program.py` runs (`test_scenarios.py`). Some are about how a trace is made and
have a test of their own; a few do not apply.
"""

from __future__ import annotations

from typing import Final

REFERENCE: Final = {
    "open": (
        "open-basic open-openat2 open-creat open-by-handle-at open-enoent open-rdonly-write open-duration-gap "
        "open-pid-filter"
    ),
    "handles": "open-by-handle-at-reuse open-by-handle-at-threads open-by-handle-at-fail",
    "attach": "attach-tps",
    "readwrite": (
        "readwrite-basic readwrite-pread readwrite-preadv readwrite-preadv2 readwrite-pwrite readwrite-pwritev "
        "readwrite-pwritev2 readwrite-readv readwrite-writev readwrite-wronly-read readwrite-rdonly-write "
        "readwrite-pread-invalid readwrite-pwrite-invalid readwrite-readahead readwrite-readahead-ebadf "
        "readwrite-cachestat"
    ),
    "bytes by return value": "retbytes-phase-a",
    "receive flags": "recv-flags",
    "close": (
        "close-basic close-range close-range-bounded close-range-cloexec close-range-empty close-range-invalid "
        "close-invalid-fd close-double-close close-untracked"
    ),
    "names at close": (
        "close-untracked-root close-untracked-busy-pipe close-untracked-control close-untracked-time-namespace"
    ),
    "identity of files": "iouring-reopen iouring-reopen-control",
    "dup, fcntl, ioctl": (
        "dup-basic dup-dup2 dup-dup3 dup-invalid-fd dup2-same-fd dup3-invalid-flags fcntl-dupfd fcntl-setfl "
        "fcntl-dupfd-cloexec fcntl-invalid-fd fcntl-dupfd-max ioctl"
    ),
    "rename, link, unlink": (
        "rename-basic rename-renameat rename-renameat2 rename-enoent rename-noreplace link-basic link-linkat "
        "link-symlinkat link-readlinkat link-enoent link-symlink-eexist link-readlinkat-einval unlink-basic "
        "unlink-unlinkat unlink-rmdir unlink-enoent unlink-rmdir-notempty unlink-unlinkat-enoent"
    ),
    "folders, stat": (
        "dir-basic dir-mkdirat dir-chdir dir-getcwd dir-getdents dir-mkdir-eexist dir-chdir-enoent dir-getdents-ebadf "
        "stat-basic stat-fstat stat-lstat stat-newfstatat stat-statx stat-access stat-faccessat stat-enoent "
        "stat-access-enoent stat-fstat-ebadf"
    ),
    "faulted paths": (
        "path-faulted-open path-faulted-open-enoent path-faulted-stat path-faulted-rename path-faulted-link "
        "path-faulted-symlink path-faulted-unlink path-faulted-mkdir path-faulted-chmod path-faulted-truncate "
        "path-faulted-exec path-faulted-move-mount"
    ),
    "attributes": (
        "xattr-getxattrat xattr-listxattrat xattr-removexattrat xattr-setxattrat xattr-getxattr xattr-lgetxattr "
        "xattr-listxattr xattr-llistxattr xattr-lsetxattr xattr-removexattr xattr-lremovexattr xattr-fd"
    ),
    "chmod to flock": (
        "chmod-basic chown-basic utime-basic utime-utimes utime-enoent sync-basic sync-fdatasync sync-sync "
        "sync-file-range sync-to-eof sync-fsync-ebadf sync-fdatasync-ebadf sync-file-range-ebadf truncate-basic "
        "truncate-ftruncate truncate-enoent truncate-ftruncate-ebadf copy-file-range-basic copy-file-range-bad-dst-fd "
        "flock"
    ),
    "mmap": "mmap-basic mmap-msync-sync mmap-msync-invalid-flags mmap-mremap-munmap mmap-memory-lock",
    "sockets": "socket-basic socketpair-basic socket-accept-lifecycle socket-accept-plain socket-introspection",
    "communication": (
        "pipe-basic pipe2-basic eventfd-basic eventfd2-basic fd-from-air-eventfd-users inotify-basic fanotify "
        "mq-posix-basic sysv-shm sysv-msg sysv-sem-basic"
    ),
    "waiting": (
        "polling-epoll polling-epoll-wait polling-epoll-pwait2 polling-poll polling-ppoll polling-select "
        "polling-pselect"
    ),
    "mounts": "mountfs-management",
    "AIO, io_uring": (
        "aio-setup aio-setup-einval aio-submit iouring-setup iouring-enter iouring-register iouring-enter-ebadf "
        "iouring-register-ebadf iouring-registered-ring iouring-ring-lifecycle iouring-register-sampled"
    ),
    "pidfd": "pidfd-getfd-success pidfd-getfd-failure",
    "security": "security-keys-ptrace-perf security-getrandom security-landlock security-bpf security-seccomp",
    "processes": (
        "process-exec-lifecycle sched-basic signals-basic misc-basic priority-basic posix-timer-lifecycle "
        "sleep-syscalls"
    ),
    "no return": "noreturn-syscalls noreturn-rate-zero",
    "restart": "signal-restart signal-reexec signal-reexec-sampled stop-restart handled-sleep",
    "threads and names": (
        "thread-comm-short-lived thread-comm-renamed thread-comm-late-rename thread-rename-in-open "
        "thread-comm-fdtable thread-comm-filter"
    ),
    "fork": "fork-inherit-fds",
    "exec": "exec-non-leader-thread exec-thread-tid exec-into-open exec-leader-tid",
    "thread exit": "thread-exit-keeps-fd thread-exit-keeps-fd-tid thread-exit-tid-worker thread-exit-group-dead",
    "sampling": "open-basic-rate-zero",
    "families": "family-mixed",
    "accounting at the stop": "getppid-burst",
    "shutdown": "shutdown-sighup shutdown-closed-pipe shutdown-ignored-sighup shutdown-target-exit shutdown-disk-full",
    "targets by thread": "tid-target-exit",
    "time namespace": "time-namespace time-namespace-garbled",
    "the harness itself": "crash",
}
"""Area -> its scenarios. Those the reference has without a name of their own have one of ours."""

_WAYS: Final = "tests/live/scenarios/test_ways_to_trace.py::"

ELSEWHERE: Final = {
    "open-pid-filter": "tests/live/test_scope.py::test_without_follow_children_are_out",
    "attach-tps": _WAYS + "test_only_the_calls_asked_for_are_rows",
    "close-untracked-time-namespace": _WAYS + "test_names_are_right_in_a_time_namespace",
    "iouring-register-sampled": _WAYS + "test_a_ring_is_known_although_its_rows_are_sampled_out",
    "noreturn-rate-zero": "tests/live/test_accounting.py::test_rate_zero_counts_only",
    "signal-reexec-sampled": _WAYS + "test_restarted_reads_are_counted_under_sampling",
    "thread-comm-filter": _WAYS + "test_all_short_lived_threads_pass_a_filter_by_name",
    "exec-thread-tid": _WAYS + "test_an_execve_ends_under_the_leaders_number",
    "exec-leader-tid": _WAYS + "test_an_execve_ends_under_the_leaders_number",
    "thread-exit-keeps-fd-tid": _WAYS + "test_a_traced_thread_and_its_dying_siblings",
    "thread-exit-tid-worker": _WAYS + "test_a_traced_thread_and_its_dying_siblings",
    "open-basic-rate-zero": "tests/live/test_accounting.py::test_rate_zero_counts_only",
    "family-mixed": _WAYS + "test_every_row_has_its_family",
    "getppid-burst": "tests/live/test_accounting.py::test_an_overflowing_ring_is_counted",
    "shutdown-sighup": _WAYS + "test_a_hangup_ends_a_trace_and_keeps_its_recording",
    "shutdown-closed-pipe": _WAYS + "test_a_closed_pipe_keeps_the_recording",
    "shutdown-ignored-sighup": _WAYS + "test_a_hangup_that_is_ignored_ends_nothing",
    "shutdown-target-exit": _WAYS + "test_a_process_is_traced_until_its_end",
    "shutdown-disk-full": _WAYS + "test_a_full_disk_is_said_and_leaves_a_readable_recording",
    "tid-target-exit": _WAYS + "test_a_thread_is_traced_until_its_end",
    "time-namespace": _WAYS + "test_names_are_right_in_a_time_namespace",
    "crash": _WAYS + "test_a_crash_is_the_status",
}
"""Scenario -> the test that has it."""

NOT_HERE: Final = {
    "close-untracked-control": "there: without the table of identities; here the kernel names every file",
    "time-namespace-garbled": "the reference reads its offsets from a file of /proc; here times are the kernel's own",
}
"""Scenario -> why it does not apply."""


def reference() -> list[str]:
    """Return the names of all scenarios, in order."""
    return [name for area in REFERENCE.values() for name in area.split()]
