"""Communication between processes: pipes, message queues, shared memory, futexes, notification descriptors."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "IPC")

ROWS: tuple[Syscall, ...] = (
    row("eventfd", "eventfd", "count", result="fd", doc="Create a counter descriptor (old form)."),
    row("eventfd2", "eventfd", "count flags", result="fd", doc="Create a counter descriptor."),
    row("fanotify_init", "eventfd", "flags event_f_flags", result="fd", doc="Start watching whole file systems."),
    row(
        "fanotify_mark",
        "fd-pathname",
        "fanotify_fd:fd flags mask dfd:dirfd pathname:path",
        doc="Add or remove a watch of a fanotify group.",
    ),
    row("futex", "futex", "uaddr op val utime uaddr2 val3", doc="Wait for, or wake, threads at a lock word."),
    row(
        "futex_requeue",
        "futex",
        "waiters flags nr_wake nr_requeue",
        doc="Move waiting threads from one lock word to another.",
    ),
    row("futex_wait", "futex", "uaddr val mask flags timeout clockid", doc="Wait at a lock word."),
    row("futex_waitv", "futex", "waiters nr_futexes flags timeout clockid", doc="Wait at any of several lock words."),
    row("futex_wake", "futex", "uaddr mask nr flags", doc="Wake threads that wait at a lock word."),
    row("inotify_add_watch", "fd-pathname", "fd pathname:path mask", doc="Watch a file or directory for changes."),
    row("inotify_init", "eventfd", result="fd", doc="Create an inotify descriptor (old form)."),
    row("inotify_init1", "eventfd", "flags", result="fd", doc="Create an inotify descriptor."),
    row("inotify_rm_watch", "fd", "fd wd", doc="Stop watching a file or directory."),
    row("memfd_create", "eventfd", "uname:text flags", result="fd", doc="Create a file that lives in memory only."),
    row(
        "memfd_secret", "eventfd", "flags", result="fd", doc="Create memory hidden even from the kernel's own mappings."
    ),
    row("mq_getsetattr", "fd", "mqdes:fd u_mqstat u_omqstat", doc="Read or change the settings of a message queue."),
    row("mq_notify", "fd", "mqdes:fd u_notification", doc="Ask to be told when a message arrives."),
    row(
        "mq_open",
        "mq-open",
        "u_name:text oflag:open_flags mode u_attr",
        result="fd",
        doc="Open or create a message queue.",
    ),
    row(
        "mq_timedreceive",
        "fd",
        "mqdes:fd u_msg_ptr msg_len:size u_msg_prio u_abs_timeout",
        bytes="read",
        doc="Receive from a message queue.",
    ),
    row("mq_timedsend", "fd", "mqdes:fd u_msg_ptr msg_len msg_prio u_abs_timeout", doc="Send to a message queue."),
    row("mq_unlink", "pathname", "u_name:text", doc="Delete a message queue."),
    row("msgctl", "sysv-op", "msqid cmd buf", doc="Control a System V message queue."),
    row("msgget", "sysv-id", "key msgflg", doc="Find or create a System V message queue."),
    row(
        "msgrcv",
        "sysv-op",
        "msqid msgp msgsz:size msgtyp msgflg",
        bytes="read",
        doc="Receive from a System V message queue.",
    ),
    row("msgsnd", "sysv-op", "msqid msgp msgsz msgflg", doc="Send to a System V message queue."),
    row("pidfd_getfd", "fd", "pidfd:fd fd: flags", result="fd", doc="Take a copy of another process's descriptor."),
    row("pidfd_open", "pidfd", "pid flags", result="fd", doc="Open a process as a descriptor."),
    row("pidfd_send_signal", "fd", "pidfd:fd sig info flags", doc="Send a signal to a process opened as a descriptor."),
    row("pipe", "pipe", "fildes:fds_out", doc="Create a pipe."),
    row("pipe2", "pipe", "fildes:fds_out flags", doc="Create a pipe, with flags."),
    row("semctl", "sysv-op", "semid semnum cmd arg", doc="Control a System V semaphore set."),
    row("semget", "sysv-id", "key nsems semflg", doc="Find or create a System V semaphore set."),
    row("semop", "sysv-op", "semid tsops nsops", doc="Raise, lower or wait for System V semaphores."),
    row(
        "semtimedop",
        "sysv-op",
        "semid tsops nsops timeout",
        doc="Raise, lower or wait for System V semaphores, with a timeout.",
    ),
    row("shmat", "sysv-op", "shmid shmaddr shmflg", doc="Attach a System V shared memory segment."),
    row("shmctl", "sysv-op", "shmid cmd buf", doc="Control a System V shared memory segment."),
    row("shmdt", "sysv-op", "shmaddr", doc="Detach a System V shared memory segment."),
    row("shmget", "sysv-id", "key size: shmflg", doc="Find or create a System V shared memory segment."),
    row(
        "signalfd",
        "eventfd",
        "ufd user_mask sizemask",
        result="fd",
        doc="Receive signals through a descriptor (old form).",
    ),
    row(
        "signalfd4", "eventfd", "ufd user_mask sizemask flags", result="fd", doc="Receive signals through a descriptor."
    ),
    row("timerfd_create", "eventfd", "clockid flags", result="fd", doc="Create a timer descriptor."),
    row("timerfd_gettime", "fd", "ufd:fd otmr", doc="Read the time left on a timer descriptor."),
    row("timerfd_settime", "fd", "ufd:fd flags utmr otmr", doc="Start or stop a timer descriptor."),
    row(
        "userfaultfd",
        "eventfd",
        "flags",
        result="fd",
        doc="Create a descriptor for handling page faults in user space.",
    ),
)
