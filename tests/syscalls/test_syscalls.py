"""The system call table against the reference lists and the kernel's own header."""

import dataclasses
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

from ior_nb import syscalls
from ior_nb.engine.collector import wire
from ior_nb.syscalls import (
    ALIASES,
    BY_NAME,
    BY_NUMBER,
    DEFAULT_FAMILIES,
    FAMILIES,
    KINDS,
    NATIVE,
    ROLES,
    SYSCALLS,
    Syscall,
    aarch64,
    machine,
    resolve,
    select,
    table,
    x86_64,
)
from ior_nb.syscalls.row import BYTES_CLASSES, RESULTS, parse_row

TABLES: dict[str, ModuleType] = {"x86_64": x86_64, "aarch64": aarch64}


HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
GENERIC = Path("/usr/include/asm-generic")
ARM = next(Path("/usr").glob("aarch64-linux-gnu/include/asm"), Path("/usr/include/aarch64-linux-gnu/asm"))


def names(text: str) -> set[str]:
    """Split a literal of names."""
    return set(text.split())


REFERENCE_FAMILIES = {
    "AIO": """
        io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit io_uring_enter io_uring_register
        io_uring_setup
    """,
    "FS": """
        access cachestat chdir chmod chown chroot close close_range copy_file_range creat dup dup2 dup3
        faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl
        fdatasync fgetxattr file_getattr file_setattr flistxattr flock fremovexattr fsconfig fsetxattr fsmount
        fsopen fspick fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr getxattrat ioctl
        lchown lgetxattr link linkat listmount listns listxattr listxattrat llistxattr lremovexattr lseek
        lsetxattr mkdir mkdirat mknod mknodat mount mount_setattr move_mount msync name_to_handle_at newfstat
        newfstatat newlstat newstat open open_by_handle_at open_tree open_tree_attr openat openat2 pread64
        preadv preadv2 pwrite64 pwritev pwritev2 quotactl quotactl_fd read readahead readlink readlinkat readv
        removexattr removexattrat rename renameat renameat2 rmdir setxattr setxattrat statfs statmount statx
        swapoff swapon symlink symlinkat sync sync_file_range syncfs truncate umount unlink unlinkat ustat utime
        utimensat utimes write writev
    """,
    "IPC": """
        eventfd eventfd2 fanotify_init fanotify_mark futex futex_requeue futex_wait futex_waitv futex_wake
        inotify_add_watch inotify_init inotify_init1 inotify_rm_watch memfd_create memfd_secret mq_getsetattr
        mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd pidfd_getfd
        pidfd_open pidfd_send_signal pipe pipe2 semctl semget semop semtimedop shmat shmctl shmdt shmget
        signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime userfaultfd
    """,
    "Memory": """
        brk get_mempolicy madvise map_shadow_stack mbind membarrier migrate_pages mincore mlock mlock2 mlockall
        mmap move_pages mprotect mremap mseal munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
        process_madvise process_mrelease process_vm_readv process_vm_writev remap_file_pages set_mempolicy
        set_mempolicy_home_node
    """,
    "Misc": """
        acct get_robust_list getcpu ioperm iopl modify_ldt newuname rseq set_robust_list setdomainname
        sethostname sysfs sysinfo syslog uprobe uretprobe
    """,
    "Network": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg
        sendfile64 sendmmsg sendmsg sendto setsockopt shutdown socket socketpair splice tee vmsplice
    """,
    "Polling": """
        epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait poll ppoll pselect6 select
    """,
    "Process": """
        arch_prctl clone clone3 execve execveat exit exit_group fork getegid geteuid getgid getgroups getpgid
        getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid
        ioprio_get ioprio_set kcmp personality pivot_root prctl prlimit64 reboot restart_syscall set_tid_address
        setfsgid setfsuid setgid setgroups setns setpgid setpriority setregid setresgid setresuid setreuid
        setrlimit setsid setuid umask unshare vfork vhangup wait4 waitid
    """,
    "Sched": """
        sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
        sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
        sched_setscheduler sched_yield
    """,
    "Security": """
        add_key bpf capget capset delete_module finit_module getrandom init_module kexec_file_load kexec_load
        keyctl landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr perf_event_open ptrace request_key seccomp
    """,
    "Signals": """
        kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
        rt_sigtimedwait rt_tgsigqueueinfo sigaltstack tgkill tkill
    """,
    "Time": """
        adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep clock_settime getitimer
        gettimeofday nanosleep setitimer settimeofday time timer_create timer_delete timer_getoverrun
        timer_gettime timer_settime times
    """,
}

# Every kind but `null`, whose members are the rest.
REFERENCE_KINDS = {
    "fd": """
        bind cachestat close connect copy_file_range dup dup2 fadvise64 fallocate fchdir fchmod fchown fdatasync
        finit_module flock fremovexattr fsconfig fsetxattr fstatfs fsync ftruncate getdents getdents64
        getpeername getsockname getsockopt inotify_rm_watch kexec_file_load landlock_add_rule
        landlock_restrict_self listen lseek mq_getsetattr mq_notify mq_timedreceive mq_timedsend newfstat
        pidfd_getfd pidfd_send_signal pread64 preadv preadv2 process_madvise process_mrelease pwrite64 pwritev
        pwritev2 quotactl_fd read readahead readv recvmmsg sendfile64 sendmmsg sendmsg sendto setns setsockopt
        shutdown splice sync_file_range syncfs tee timerfd_gettime timerfd_settime vmsplice write writev
        fgetxattr flistxattr recvfrom recvmsg io_uring_enter io_uring_register
    """,
    "open": """
        open openat openat2
    """,
    "open-tree": """
        open_tree open_tree_attr
    """,
    "mq-open": """
        mq_open
    """,
    "open-by-handle-at": """
        open_by_handle_at
    """,
    "pathname": """
        access acct chdir chmod chown chroot creat faccessat faccessat2 fchmodat fchmodat2 fchownat file_getattr
        file_setattr fspick futimesat getxattr getxattrat lchown lgetxattr listxattr listxattrat llistxattr
        lremovexattr lsetxattr mkdir mkdirat mknod mknodat mount mount_setattr mq_unlink name_to_handle_at
        newfstatat newlstat newstat pivot_root quotactl readlink readlinkat removexattr removexattrat rmdir
        setxattr setxattrat statfs statx swapoff swapon truncate umount unlink unlinkat utime utimensat utimes
    """,
    "fd-pathname": """
        inotify_add_watch fanotify_mark
    """,
    "name": """
        link linkat rename renameat renameat2 symlink symlinkat
    """,
    "fcntl": """
        fcntl ioctl
    """,
    "dup3": """
        dup3
    """,
    "two-fd": """
        close_range kcmp move_mount
    """,
    "socket": """
        socket
    """,
    "socketpair": """
        socketpair
    """,
    "accept": """
        accept accept4
    """,
    "pipe": """
        pipe pipe2
    """,
    "eventfd": """
        epoll_create epoll_create1 eventfd eventfd2 fanotify_init fsmount fsopen inotify_init inotify_init1
        landlock_create_ruleset memfd_create memfd_secret signalfd signalfd4 timerfd_create userfaultfd
    """,
    "pidfd": """
        pidfd_open
    """,
    "epoll-ctl": """
        epoll_ctl
    """,
    "poll": """
        epoll_wait epoll_pwait epoll_pwait2 poll ppoll select pselect6
    """,
    "mem": """
        brk madvise map_shadow_stack mincore mlock mlock2 mprotect mremap mseal msync munlock munmap
        pkey_mprotect remap_file_pages
    """,
    "mmap": """
        mmap
    """,
    "sleep": """
        nanosleep clock_nanosleep
    """,
    "exec": """
        execve execveat
    """,
    "bpf": """
        bpf
    """,
    "keyctl": """
        add_key keyctl request_key
    """,
    "ptrace": """
        ptrace
    """,
    "perf-open": """
        perf_event_open
    """,
    "futex": """
        futex futex_requeue futex_wait futex_waitv futex_wake
    """,
    "prctl": """
        prctl
    """,
    "proc": """
        clone clone3 fork vfork wait4 waitid
    """,
    "seccomp": """
        seccomp
    """,
    "module": """
        init_module delete_module
    """,
    "sysv-id": """
        msgget semget shmget
    """,
    "sysv-op": """
        msgctl msgrcv msgsnd semctl semop semtimedop shmat shmctl shmdt
    """,
    "timer-obj": """
        timer_create timer_delete timer_getoverrun timer_gettime timer_settime
    """,
}

REFERENCE_BYTES = {
    "read": """
        getrandom mq_timedreceive msgrcv pread64 preadv preadv2 process_vm_readv read readv recvfrom recvmsg
    """,
    "write": """
        process_vm_writev pwrite64 pwritev pwritev2 sendmsg sendto write writev
    """,
    "transfer": """
        copy_file_range sendfile64 splice tee vmsplice
    """,
}

# What these read is no content of a file, nor a message: the reference counts it all the same.
NO_CONTENT = names(
    """
    fgetxattr flistxattr getcwd getdents getdents64 getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
    readlink readlinkat sched_getaffinity
    """
)

# In the x86-64 table beyond the reference: numbers without a call behind them, and one call newer than the reference.
EXTRA = names(
    """
    _sysctl afs_syscall create_module epoll_ctl_old epoll_wait_old get_kernel_syms get_thread_area getpmsg
    lookup_dcookie nfsservctl putpmsg query_module rseq_slice_yield security set_thread_area tuxcall uselib vserver
    """
)

NEW_DESCRIPTOR = names(
    """
    creat epoll_create epoll_create1 eventfd eventfd2 fanotify_init fsmount fsopen fspick inotify_init inotify_init1
    io_uring_setup memfd_create memfd_secret mq_open open open_by_handle_at open_tree open_tree_attr openat openat2
    perf_event_open pidfd_getfd pidfd_open signalfd signalfd4 socket timerfd_create userfaultfd
    """
)

# Whose result counts messages: the bytes are the kernel's msg_len of each.
BEYOND_BYTES = {"read": "recvmmsg", "write": "sendmmsg"}

BY_ROLE = {
    "fd2": "copy_file_range sendfile64 splice tee",
    "offset": """
        fadvise64 fallocate pread64 preadv preadv2 pwrite64 pwritev pwritev2 readahead sync_file_range
    """,
    "offset_ptr": "copy_file_range splice",
    "offset2_ptr": "copy_file_range sendfile64 splice",
    "open_flags": "mq_open open open_by_handle_at openat",
    "open_how": "openat2",
    "recv_flags": "recvfrom recvmmsg recvmsg",
    "msghdr": "recvmsg sendmsg",
    "mmsghdr": "recvmmsg sendmmsg",
    "link_flags": "linkat",
    "move_flags": "move_mount",
    "pick_flags": "fspick",
    "link_out": "readlinkat",
    "iovec": "preadv preadv2 process_vm_readv process_vm_writev pwritev pwritev2 readv vmsplice writev",
    "text": "fsopen memfd_create mq_open mq_unlink",
    "text2": "mount symlink symlinkat",
    "path2": "link linkat move_mount rename renameat renameat2",
    "path_out": "getcwd",
    "sleep_timespec": "clock_nanosleep nanosleep",
    "sleep_flags": "clock_nanosleep",
    "timeout_timespec": "epoll_pwait2 ppoll pselect6",
    "timeout_timeval": "select",
    "timeout_ms": "epoll_pwait epoll_wait poll",
    "epoll_op": "epoll_ctl",
    "fds_out": "pipe pipe2 socketpair",
    "length": "mmap mremap munmap",
    "length2": "mremap",
    "brk": "brk",
}


PINNED = [s for s in SYSCALLS if s.name in EXTRA.union(*(names(text) for text in REFERENCE_FAMILIES.values()))]
"""The calls whose family, kind and byte class are pinned; a younger call has a row and its own test."""


def roles(syscall: Syscall) -> set[str]:
    """Collect the roles a call's arguments play."""
    return {argument.role for argument in syscall.args if argument.role}


@pytest.mark.parametrize("family", FAMILIES)
def test_family_equals_reference(family: str) -> None:
    """Of the calls pinned here each family holds exactly the reference's names, plus in Misc those beyond them."""
    expected = names(REFERENCE_FAMILIES[family]) | (EXTRA if family == "Misc" else set())

    assert expected == {syscall.name for syscall in PINNED if syscall.family == family}


def test_reference_is_complete() -> None:
    """The reference names 367 calls in twelve families, in the order of `FAMILIES`."""
    assert tuple(REFERENCE_FAMILIES) == FAMILIES
    assert sum(len(names(text)) for text in REFERENCE_FAMILIES.values()) == 367
    assert 367 + len(EXTRA) == len(PINNED)


@pytest.mark.parametrize("kind", REFERENCE_KINDS)
def test_kind_equals_reference(kind: str) -> None:
    """Each kind holds exactly the reference's names."""
    assert names(REFERENCE_KINDS[kind]) == {syscall.name for syscall in PINNED if syscall.kind == kind}


def test_null_kind_is_the_rest() -> None:
    """The null kind holds the 127 names no other kind lists, and what the table has beyond the reference."""
    everything = set().union(*(names(text) for text in REFERENCE_FAMILIES.values()))
    listed = set().union(*(names(text) for text in REFERENCE_KINDS.values()))

    assert len(everything - listed) == 127
    assert (everything - listed) | EXTRA == {syscall.name for syscall in PINNED if syscall.kind == "null"}


def test_kinds_are_those_in_use() -> None:
    """`KINDS` lists every kind once and none without a row."""
    assert len(KINDS) == len(set(KINDS))
    assert set(KINDS) == {syscall.kind for syscall in SYSCALLS} == {*REFERENCE_KINDS, "null"}


@pytest.mark.parametrize("bytes_class", BYTES_CLASSES)
def test_byte_class_equals_reference(bytes_class: str) -> None:
    """Each byte class holds exactly the reference's names and those whose messages count, `none` the rest."""
    reference = {name: names(text) | names(BEYOND_BYTES.get(name, "")) for name, text in REFERENCE_BYTES.items()}
    counted = set().union(*reference.values())
    expected = {syscall.name for syscall in PINNED} - counted if bytes_class == "none" else reference[bytes_class]

    assert expected == {syscall.name for syscall in PINNED if syscall.bytes_class == bytes_class}


def test_every_call_has_a_number_of_its_own() -> None:
    """Numbers are unique, sorted, and rows of the kernel program's table."""
    numbers = [syscall.number for syscall in SYSCALLS]

    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 0
    assert numbers[-1] < wire.SPECS
    assert list(BY_NUMBER) == numbers
    assert [syscall.name for syscall in BY_NUMBER.values()] == list(BY_NAME)


def test_native_calls_are_those_of_this_machine() -> None:
    """A call is native when this machine's table has it, under either name; its number is that of the table."""
    here = {name: number for name, number in machine.NUMBERS.items() if name not in ALIASES}
    here |= {ALIASES[name]: number for name, number in machine.NUMBERS.items() if name in ALIASES}

    assert here | table.PSEUDO == {syscall.name: syscall.number for syscall in NATIVE}
    assert [syscall for syscall in SYSCALLS if syscall.native] == list(NATIVE)


def test_other_calls_have_numbers_no_call_has() -> None:
    """What only other architectures have is between the numbers of all tables."""
    used = {number for table in TABLES.values() for number in table.NUMBERS.values()}

    assert {syscall.number for syscall in SYSCALLS if not syscall.native} <= set(machine.FOREIGN.values())
    assert set(machine.FOREIGN.values()) & (used | set(table.PSEUDO.values())) == set()
    assert set(machine.FOREIGN.values()) <= set(range(337, 424))


def test_what_is_no_call_has_a_number_no_call_has() -> None:
    """What becomes rows like a call is between the numbers of all tables, and is traced on every machine."""
    used = {number for each in TABLES.values() for number in each.NUMBERS.values()}

    assert set(table.PSEUDO.values()) & used == set()
    assert set(table.PSEUDO.values()) <= set(range(337, 424))
    assert all(BY_NAME[name].native for name in table.PSEUDO)


def test_every_row_is_in_a_table_and_every_name_has_a_row() -> None:
    """The tables of all architectures have exactly the names of the rows, those under another name too."""
    given = {name for each in TABLES.values() for name in each.NUMBERS} | set(table.PSEUDO)

    assert given == {word for syscall in SYSCALLS for word in (syscall.name, syscall.also) if word}


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("x86_64", [*range(337)]),
        ("aarch64", [*range(244), *range(260, 295)]),
    ],
)
def test_a_table_has_no_gap_but_the_architecture_s_own(name: str, numbers: list[int]) -> None:
    """No number is left out or given twice."""
    newer = range(424, 424 + len(table.SHARED))

    assert [*numbers, *newer] == sorted(TABLES[name].NUMBERS.values())


def test_newer_calls_have_one_number_everywhere() -> None:
    """From 424 on all architectures number calls alike."""
    newer = [{n: number for n, number in t.NUMBERS.items() if number >= 424} for t in TABLES.values()]

    assert newer == [table.SHARED] * len(TABLES)


@pytest.mark.parametrize("part", [*TABLES.values(), table], ids=[*TABLES, "shared"])
def test_table_lines_start_with_their_number(part: ModuleType) -> None:
    """The number at the start of each line of the table follows from the line before."""
    following = 424 if part is table else 0
    for line in part._TABLE.strip().splitlines():
        first, *words = line.split()

        assert int(first) in (following, 260)

        following = int(first) + len(words)


@pytest.mark.skipif(not HEADER.exists(), reason="needs the kernel's x86-64 header")
def test_numbers_agree_with_kernel_header() -> None:
    """Every number of unistd_64.h is that of the x86-64 table, for the call its name resolves to."""
    found = re.findall(r"^#define __NR_(\w+)\s+(\d+)$", HEADER.read_text(), re.MULTILINE)

    assert len(found) > 300
    assert [(name, int(number)) for name, number in found] == [
        (name, x86_64.NUMBERS[resolve(name).name]) for name, _ in found
    ]


@pytest.mark.skipif(not GENERIC.exists(), reason="needs the kernel's generic headers")
def test_arm64_numbers_agree_with_kernel_header() -> None:
    """Every number of asm-generic/unistd.h is that of the arm64 table, for the call its name resolves to."""
    text = (GENERIC / "unistd.h").read_text()
    found = {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.MULTILINE)}
    twofold = {name: int(number) for name, number in re.findall(r"^#define __NR3264_(\w+) (\d+)$", text, re.MULTILINE)}
    for name, of in re.findall(r"^#define __NR_(\w+) __NR3264_(\w+)$", text, re.MULTILINE):
        if of in twofold:
            found[name] = twofold.pop(of)  # the first is the name on 64-bit machines
    # Not calls, and what other machines have.
    found = {n: v for n, v in found.items() if n not in ("arch_specific_syscall", "syscalls", "sync_file_range2")}
    found = {name: number for name, number in found.items() if number not in range(403, 424)}  # 32-bit only

    def numbered(name: str) -> int | None:
        call = resolve(name)
        return aarch64.NUMBERS.get(call.name, aarch64.NUMBERS.get(call.also))

    assert len(found) > 300
    assert found == {name: numbered(name) for name in found}


@pytest.mark.skipif(not (ARM.exists() and GENERIC.exists()), reason="needs the kernel's arm64 headers")
def test_arm64_flags_of_opens_agree_with_kernel_header() -> None:
    """The bits are those of arm64's fcntl.h, and those of the generic one for the same names."""

    def defined(path: Path) -> dict[str, int]:
        found = re.findall(r"^#define (O_\w+)\s+(0\d+)", path.read_text(), re.MULTILINE)
        return {name: int(bits, 8) for name, bits in found}

    arm, generic = defined(ARM / "fcntl.h"), defined(GENERIC / "fcntl.h")

    assert len(arm) == 4
    assert {bits: generic[name] for name, bits in arm.items()} == aarch64.OPEN_FLAGS


@pytest.mark.parametrize(("name", "bits"), [("O_DIRECT", 0o40000), ("O_DIRECTORY", 0o200000), ("O_NOFOLLOW", 0o400000)])
def test_flags_of_opens_are_those_of_this_machine(name: str, bits: int) -> None:
    """What this machine calls a flag becomes the generic bit."""
    here = getattr(os, name)

    assert machine.OPEN_FLAGS.get(here, here) == bits


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_flags_of_opens_change_places(table: ModuleType) -> None:
    """No bit is lost, and none comes in from elsewhere."""
    assert set(table.OPEN_FLAGS) == set(table.OPEN_FLAGS.values())


def test_newer_numbers() -> None:
    """Calls newer than common headers have the numbers of the kernel's table."""
    newer = {"uretprobe": 335, "uprobe": 336, "cachestat": 451, "futex_wait": 455, "mseal": 462, "listns": 470}

    assert newer == {name: x86_64.NUMBERS[name] for name in newer}


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_architecture_says_what_machine_asks(table: ModuleType) -> None:
    """A table has every name the choice hands on."""
    chosen = set(machine.__all__) - {"FOREIGN", "SUPPORTED"}

    assert [name for name in chosen if not hasattr(table, name)] == []


def test_a_call_of_two_names_is_found_by_both() -> None:
    """Another architecture's name leads to the same row."""
    assert resolve("fadvise64_64") is resolve("fadvise64") is BY_NAME["fadvise64"]


@pytest.mark.parametrize("syscall", SYSCALLS, ids=lambda syscall: syscall.name)
def test_row_is_well_formed(syscall: Syscall) -> None:
    """A row uses legal words only, has at most six arguments, no role twice and one plain line of doc."""
    used = [argument.role for argument in syscall.args if argument.role]

    assert syscall.family in FAMILIES
    assert syscall.kind in KINDS
    assert syscall.bytes_class in BYTES_CLASSES
    assert syscall.result in RESULTS
    assert len(syscall.args) <= 6
    assert len({argument.name for argument in syscall.args}) == len(syscall.args)
    assert set(used) <= set(ROLES)
    assert len(used) == len(set(used))
    assert syscall.doc.strip() == syscall.doc != ""
    assert "\n" not in syscall.doc
    assert syscall.doc.endswith(".")


@pytest.mark.parametrize("syscall", SYSCALLS, ids=lambda syscall: syscall.name)
def test_roles_come_in_pairs(syscall: Syscall) -> None:
    """A base directory comes with its path, a second descriptor or path with a first, a count with its array."""
    used = roles(syscall)

    assert "dirfd" not in used or used & {"path", "exec_path"}
    assert "dirfd2" not in used or "path2" in used
    assert "path2" not in used or "path" in used
    assert "fd2" not in used or "fd" in used
    assert ("iovec" in used) == ("iovcnt" in used)
    assert "length2" not in used or "length" in used
    assert "at_flags" not in used or "dirfd" in used or "dirfd2" in used


@pytest.mark.parametrize("role", BY_ROLE)
def test_role_is_played_by(role: str) -> None:
    """The roles few calls have are played in exactly those calls."""
    assert names(BY_ROLE[role]) == {syscall.name for syscall in SYSCALLS if syscall.arg(role) is not None}


def test_every_role_is_played() -> None:
    """No role is documented in vain, and each says when it is read."""
    assert set(ROLES) == set().union(*(roles(syscall) for syscall in SYSCALLS))
    assert all(re.fullmatch(r"(enter|exit): \S.*", text) for text in ROLES.values())


def test_exec_reads_its_path_at_enter() -> None:
    """The exec kind alone has `exec_path`, because its registers are gone at exit."""
    assert {"execve", "execveat"} == {syscall.name for syscall in SYSCALLS if "exec_path" in roles(syscall)}
    assert {"execve", "execveat"} == {syscall.name for syscall in SYSCALLS if syscall.kind == "exec"}
    assert ROLES["exec_path"].startswith("enter:")


@pytest.mark.parametrize("kind", ["open", "open-tree", "pathname", "fd-pathname", "name"])
def test_path_kinds_have_a_path(kind: str) -> None:
    """Every call of a path kind has a path, only a message queue's name is text."""
    missing = {syscall.name for syscall in SYSCALLS if syscall.kind == kind and "path" not in roles(syscall)}

    assert missing == ({"mq_unlink"} if kind == "pathname" else set())


@pytest.mark.parametrize("kind", ["fd", "fcntl", "dup3", "fd-pathname", "accept", "epoll-ctl", "mmap"])
def test_descriptor_kinds_have_a_descriptor(kind: str) -> None:
    """Every call of a descriptor kind has the role `fd`."""
    assert [syscall.name for syscall in SYSCALLS if syscall.kind == kind and "fd" not in roles(syscall)] == []


@pytest.mark.parametrize("syscall", [s for s in SYSCALLS if s.bytes_class != "none"], ids=lambda s: s.name)
def test_counted_calls_know_what_was_asked_for(syscall: Syscall) -> None:
    """A call that counts bytes has a requested size, or messages, except getxattrat, which keeps it in a struct."""
    assert roles(syscall) & {"size", "iovec", "msghdr", "mmsghdr"} or syscall.name in ("getxattrat", *table.PSEUDO)


def test_two_descriptor_transfers_act_on_the_destination() -> None:
    """`fd` is the destination and `fd2` the source."""
    assert {
        syscall.name: (syscall.arg("fd"), syscall.arg("fd2")) for syscall in SYSCALLS if "fd2" in roles(syscall)
    } == {"copy_file_range": (2, 0), "sendfile64": (0, 1), "splice": (2, 0), "tee": (1, 0)}


def test_results() -> None:
    """A new descriptor is the result of exactly the calls that report one; three calls never return."""
    assert {syscall.name for syscall in SYSCALLS if syscall.result == "fd"} == NEW_DESCRIPTOR
    assert {"exit", "exit_group", "rt_sigreturn"} == {s.name for s in SYSCALLS if s.result == "none"}


def test_arg() -> None:
    """`arg` gives the index of a role, None when nothing plays it."""
    assert BY_NAME["openat"].arg("dirfd") == 0
    assert BY_NAME["openat"].arg("open_flags") == 2
    assert BY_NAME["openat"].arg("fd") is None


def test_rows_cannot_be_changed() -> None:
    """A row is frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        BY_NAME["read"].kind = "null"  # type: ignore[misc]


def test_bare_argument_takes_its_role_and_colon_refuses_it() -> None:
    """A bare name that is a role has it; a colon with nothing behind it refuses it."""
    syscall = parse_row("FS", "read", "fd", "fd size: count:size", doc="Read.")

    assert [(a.name, a.role) for a in syscall.args] == [("fd", "fd"), ("size", ""), ("count", "size")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("FS", "read", "fd", "fd:socket"), "row 'read': unknown role 'socket' of argument 'fd'"),
        (("FS", "read", "fd", "a:fd b:fd"), "row 'read': role 'fd' is given twice"),
        (("FS", "read", "fd", "a b c d e f g"), "row 'read': 7 arguments, at most 6 are possible"),
        (("FS", "read", "file", "fd"), "row 'read': unknown kind 'file'"),
        (("Files", "read", "fd", "fd"), "row 'read': unknown family 'Files'"),
        (("FS", "reed", "fd", "fd"), "row 'reed': system call without a number 'reed'"),
    ],
)
def test_bad_row_is_refused(row: tuple[str, str, str, str], message: str) -> None:
    """A bad word in a row raises ValueError that names the row."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_row(*row, doc="Read.")


def test_bad_keywords_are_refused() -> None:
    """An unknown byte class or result raises ValueError that names the row."""
    with pytest.raises(ValueError, match="row 'read': unknown byte class 'both'"):
        parse_row("FS", "read", "fd", bytes="both", doc="Read.")
    with pytest.raises(ValueError, match="row 'read': unknown result 'pid'"):
        parse_row("FS", "read", "fd", result="pid", doc="Read.")


def test_aliases_lead_to_rows() -> None:
    """An alias never hides a kernel name and always leads to one."""
    assert not set(ALIASES) & set(BY_NAME)
    assert set(ALIASES.values()) <= set(BY_NAME)


@pytest.mark.parametrize(
    ("typed", "name"),
    [("read", "read"), ("fstat", "newfstat"), ("umount2", "umount"), ("umount", "umount"), ("pread", "pread64")],
)
def test_resolve(typed: str, name: str) -> None:
    """Kernel names and aliases resolve to the row."""
    assert BY_NAME[name] is resolve(typed)


def test_resolve_proposes_close_names() -> None:
    """An unknown name is named, with at most three close ones."""
    with pytest.raises(LookupError, match=r"^unknown system call 'opennat'; did you mean openat, \w+, \w+\?$"):
        resolve("opennat")
    with pytest.raises(LookupError, match=r"^unknown system call 'qqqqqq'$"):
        resolve("qqqqqq")


def test_select_is_a_union() -> None:
    """The three choices add up; families ignore case and kinds take an underscore."""
    aio = {syscall.number for syscall in SYSCALLS if syscall.family == "AIO"}

    assert frozenset() == select([], [], [])
    assert aio == select(["aio"], [], [])
    assert aio | {BY_NAME["newfstat"].number, BY_NAME["mq_open"].number} == select(["AIO"], ["fstat"], ["mq_open"])
    assert set(BY_NUMBER) == select(FAMILIES, [], [])
    assert set(BY_NUMBER) == select([], [], KINDS)


def test_select_names_the_legal_words() -> None:
    """An unknown family or kind is named beside the legal ones, an unknown call beside close ones."""
    with pytest.raises(LookupError, match=r"^unknown family 'disk'; one of AIO, FS, .*, Time$"):
        select(["disk"], [], [])
    with pytest.raises(LookupError, match=r"^unknown kind 'file'; one of fd, open, .*, timer-obj$"):
        select([], [], ["file"])
    with pytest.raises(LookupError, match=r"did you mean read"):
        select([], ["raed"], [])


@pytest.mark.parametrize("name", sorted(NO_CONTENT))
def test_names_and_attributes_are_not_bytes_read(name: str) -> None:
    """Directories, links, attributes and the like are read, but not the bytes of a file."""
    assert resolve(name).bytes_class == "none"


def test_default_families() -> None:
    """Files, network and asynchronous I/O are traced when nothing is chosen."""
    assert DEFAULT_FAMILIES == ("FS", "Network", "AIO")
    assert set(DEFAULT_FAMILIES) <= set(FAMILIES)


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_registers_lie_in_the_one_read(table: ModuleType) -> None:
    """One read covers the six argument registers."""
    end = table.REGISTERS_START + table.REGISTERS_BYTES

    assert len(set(table.ARGUMENT_REGISTERS)) == 6
    for offset in table.ARGUMENT_REGISTERS:
        assert table.REGISTERS_START <= offset <= end - 8


def test_public_names() -> None:
    """`__all__` names each public thing once and every one exists."""
    assert all(hasattr(syscalls, name) for name in syscalls.__all__)
    assert len(syscalls.__all__) == len(set(syscalls.__all__))
