"""Which calls wait for somebody else, so that their time is none of input and output."""

__all__ = ["ALWAYS", "AT_KINDS", "AT_OTHERS"]

ALWAYS: frozenset[str] = frozenset(
    "wait4 waitid vfork poll ppoll select pselect6 epoll_wait epoll_pwait epoll_pwait2 io_getevents io_pgetevents "
    "nanosleep clock_nanosleep pause rt_sigsuspend rt_sigtimedwait restart_syscall "
    "futex futex_wait futex_waitv accept accept4 msgrcv msgsnd semop semtimedop mq_timedreceive mq_timedsend "
    "flock".split()
)
"""Calls that wait: for a child, a timer, a signal, a lock, a message, whoever is polled for."""

AT_OTHERS: frozenset[str] = frozenset(
    "read readv preadv2 write writev pwritev2 recvfrom recvmsg recvmmsg sendto sendmsg sendmmsg splice tee vmsplice "
    "sendfile64".split()
)
"""Calls that wait where the file has another end: for whoever is there to write, or to read."""

AT_KINDS: tuple[str, ...] = ("pipe", "socket", "anon")
"""Kinds of such files; of the anonymous ones those that are read are timers, events and watches."""
