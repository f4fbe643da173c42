"""Everything that is true of 64-bit Arm only; the sibling of `x86_64.py`, with the same names.

Sources in the kernel tree: `include/uapi/asm-generic/unistd.h` and `scripts/syscall.tbl` (numbers),
`arch/arm64/include/uapi/asm/ptrace.h` (registers), `arch/arm64/include/asm/thread_info.h` (TIF_32BIT),
`arch/arm64/include/uapi/asm/fcntl.h` (flags of an open).
"""

from .table import SHARED, read_numbers

# As in `x86_64.py`. Of two calls that do the same this architecture has only the newer one (openat, no open). Numbers
# 244 to 259 and 295 to 423 are unused, those from 424 on stand in `table.py`.
_TABLE = """
0   io_setup io_destroy io_submit io_cancel io_getevents setxattr lsetxattr fsetxattr getxattr lgetxattr
10  fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr getcwd lookup_dcookie eventfd2
20  epoll_create1 epoll_ctl epoll_pwait dup dup3 fcntl inotify_init1 inotify_add_watch inotify_rm_watch ioctl
30  ioprio_set ioprio_get flock mknodat mkdirat unlinkat symlinkat linkat renameat umount
40  mount pivot_root nfsservctl statfs fstatfs truncate ftruncate fallocate faccessat chdir
50  fchdir chroot fchmod fchmodat fchownat fchown openat close vhangup pipe2
60  quotactl getdents64 lseek read write readv writev pread64 pwrite64 preadv
70  pwritev sendfile64 pselect6 ppoll signalfd4 vmsplice splice tee readlinkat newfstatat
80  newfstat sync fsync fdatasync sync_file_range
85  timerfd_create timerfd_settime timerfd_gettime utimensat acct
90  capget capset personality exit exit_group waitid set_tid_address unshare futex set_robust_list
100 get_robust_list nanosleep getitimer setitimer kexec_load
105 init_module delete_module timer_create timer_gettime timer_getoverrun
110 timer_settime timer_delete clock_settime clock_gettime clock_getres
115 clock_nanosleep syslog ptrace sched_setparam sched_setscheduler
120 sched_getscheduler sched_getparam sched_setaffinity sched_getaffinity sched_yield
125 sched_get_priority_max sched_get_priority_min sched_rr_get_interval restart_syscall kill
130 tkill tgkill sigaltstack rt_sigsuspend rt_sigaction
135 rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigreturn
140 setpriority getpriority reboot setregid setgid setreuid setuid setresuid getresuid setresgid
150 getresgid setfsuid setfsgid times setpgid getpgid getsid setsid getgroups setgroups
160 newuname sethostname setdomainname getrlimit setrlimit getrusage umask prctl getcpu gettimeofday
170 settimeofday adjtimex getpid getppid getuid geteuid getgid getegid gettid sysinfo
180 mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr msgget msgctl msgrcv msgsnd
190 semget semctl semtimedop semop shmget shmctl shmat shmdt socket socketpair
200 bind listen accept connect getsockname getpeername sendto recvfrom setsockopt getsockopt
210 shutdown sendmsg recvmsg readahead brk munmap mremap add_key request_key keyctl
220 clone execve mmap fadvise64_64 swapon swapoff mprotect msync mlock munlock
230 mlockall munlockall mincore madvise remap_file_pages mbind get_mempolicy set_mempolicy migrate_pages move_pages
240 rt_tgsigqueueinfo perf_event_open accept4 recvmmsg
260 wait4 prlimit64 fanotify_init fanotify_mark name_to_handle_at
265 open_by_handle_at clock_adjtime syncfs setns sendmmsg
270 process_vm_readv process_vm_writev kcmp finit_module sched_setattr
275 sched_getattr renameat2 seccomp getrandom memfd_create
280 bpf execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc
290 pkey_free statx io_pgetevents rseq kexec_file_load
"""

NUMBERS: dict[str, int] = read_numbers(_TABLE) | SHARED
"""Number of each system call by its kernel name."""

ARGUMENT_REGISTERS: tuple[int, ...] = (0, 8, 16, 24, 32, 40)
"""Byte offsets in struct pt_regs of the six argument registers, in order: x0 to x5."""

REGISTERS_START = 0
"""Byte offset in struct pt_regs of x0, the first register a system call's arguments need."""

REGISTERS_BYTES = 64
"""Length of the one read from there that covers the arguments: x0 to x7, as many words as on other architectures."""

COMPAT_WORD = "flags"
"""Member of thread_info with the bit that tells a 32-bit system call, whose numbers mean something else."""

COMPAT_BIT = 1 << 22
"""That bit: TIF_32BIT, of a 32-bit program."""

COMPAT_CHANGES_NAMES: frozenset[int] = frozenset({38, 329, 382, 21, 52, 218, 429, 442})
"""Numbers of the 32-bit calls after which a path may be another: the collector's `CHANGES_NAMES` in the other table."""

OPEN_FLAGS: dict[int, int] = {
    0o40000: 0o200000,  # O_DIRECTORY
    0o100000: 0o400000,  # O_NOFOLLOW
    0o200000: 0o40000,  # O_DIRECT
    0o400000: 0o100000,  # O_LARGEFILE
}
"""Bits of an open that are others than those of asm-generic/fcntl.h, and what they are there."""
