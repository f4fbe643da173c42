"""Everything that is true of x86-64 only: system call numbers and where the registers lie.

Sources in the kernel tree: `arch/x86/entry/syscalls/syscall_64.tbl` (numbers), `arch/x86/include/uapi/asm/ptrace-abi.h`
(register offsets), `arch/x86/include/asm/thread_info.h` (TS_COMPAT). Another architecture needs a sibling of this file
with the same names, and its place in `machine.py`.
"""

from .table import SHARED, read_numbers

# The names are those of the entry points (newfstat, not fstat), which are also the tracepoints' names. Each line starts
# with the number of its first name. Numbers 337 to 423 are unused, those from 424 on stand in `table.py`, 512 to 547
# belong to the x32 ABI.
_TABLE = """
0   read write open close newstat newfstat newlstat poll lseek mmap
10  mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn ioctl pread64 pwrite64 readv
20  writev access pipe select sched_yield mremap msync mincore madvise shmget
30  shmat shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid
40  sendfile64 socket connect accept sendto recvfrom sendmsg recvmsg shutdown bind
50  listen getsockname getpeername socketpair setsockopt getsockopt clone fork vfork execve
60  exit wait4 kill newuname semget semop semctl shmdt msgget msgsnd
70  msgrcv msgctl fcntl flock fsync fdatasync truncate ftruncate getdents getcwd
80  chdir fchdir rename mkdir rmdir creat link unlink symlink readlink
90  chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage sysinfo
100 times ptrace getuid syslog getgid setuid setgid geteuid getegid setpgid
110 getppid getpgrp setsid setreuid setregid getgroups setgroups setresuid getresuid setresgid
120 getresgid getpgid setfsuid setfsgid getsid capget capset rt_sigpending rt_sigtimedwait rt_sigqueueinfo
130 rt_sigsuspend sigaltstack utime mknod uselib personality ustat statfs fstatfs sysfs
140 getpriority setpriority sched_setparam sched_getparam sched_setscheduler
145 sched_getscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock
150 munlock mlockall munlockall vhangup modify_ldt pivot_root _sysctl prctl arch_prctl adjtimex
160 setrlimit chroot sync acct settimeofday mount umount swapon swapoff reboot
170 sethostname setdomainname iopl ioperm create_module
175 init_module delete_module get_kernel_syms query_module quotactl
180 nfsservctl getpmsg putpmsg afs_syscall tuxcall security gettid readahead setxattr lsetxattr
190 fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr
200 tkill time futex sched_setaffinity sched_getaffinity set_thread_area io_setup io_destroy io_getevents io_submit
210 io_cancel get_thread_area lookup_dcookie epoll_create epoll_ctl_old
215 epoll_wait_old remap_file_pages getdents64 set_tid_address restart_syscall
220 semtimedop fadvise64 timer_create timer_settime timer_gettime
225 timer_getoverrun timer_delete clock_settime clock_gettime clock_getres
230 clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes vserver mbind set_mempolicy get_mempolicy
240 mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid add_key request_key
250 keyctl ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat mknodat
260 fchownat futimesat newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat
270 pselect6 ppoll unshare set_robust_list get_robust_list splice tee sync_file_range vmsplice move_pages
280 utimensat epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 signalfd4
290 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg
300 fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at
305 clock_adjtime syncfs sendmmsg setns getcpu
310 process_vm_readv process_vm_writev kcmp finit_module sched_setattr
315 sched_getattr renameat2 seccomp getrandom memfd_create
320 kexec_file_load bpf execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect
330 pkey_alloc pkey_free statx io_pgetevents rseq uretprobe uprobe
"""

NUMBERS: dict[str, int] = read_numbers(_TABLE) | SHARED
"""Number of each system call by its kernel name."""

ARGUMENT_REGISTERS: tuple[int, ...] = (112, 104, 96, 56, 72, 64)
"""Byte offsets in struct pt_regs of the six argument registers, in order: di, si, dx, r10, r8, r9."""

REGISTERS_START = 56
"""Byte offset in struct pt_regs of r10, the first register a system call's arguments need."""

REGISTERS_BYTES = 64
"""Length of the one read from there that covers the arguments: r10, r9, r8, ax, cx, dx, si and di."""

COMPAT_WORD = "status"
"""Member of thread_info with the bit that tells a 32-bit system call, whose numbers mean something else."""

COMPAT_BIT = 0x0002
"""That bit: TS_COMPAT, set during a call by the 32-bit entry."""

COMPAT_CHANGES_NAMES: frozenset[int] = frozenset({38, 302, 353, 21, 22, 52, 217, 429, 442})
"""Numbers of the 32-bit calls after which a path may be another: the collector's `CHANGES_NAMES` in the other table."""


OPEN_FLAGS: dict[int, int] = {}
"""Bits of an open that are others than those of asm-generic/fcntl.h, and what they are there."""
