"""How tables of system call numbers are written down, and the part that all architectures have in common."""

# Since Linux 5.1 a new call has one number everywhere.
_TABLE = """
424 pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount
430 fsopen fsconfig fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2
440 process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset
445 landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv
450 set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake
455 futex_wait futex_requeue statmount listmount lsm_get_self_attr
460 lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat
465 listxattrat removexattrat open_tree_attr file_getattr file_setattr
470 listns rseq_slice_yield
"""


PSEUDO: dict[str, int] = {"page_fault": 423}
"""What becomes rows like calls and is none, with a number no call has: a fault on a mapped file."""


def read_numbers(table: str) -> dict[str, int]:
    """Return the number of each name.

    Args:
        table: lines of a number and names; the names have that number and those that follow it.
    """
    numbers: dict[str, int] = {}
    for line in table.strip().splitlines():
        first, *names = line.split()
        numbers.update((name, int(first) + index) for index, name in enumerate(names))
    return numbers


SHARED: dict[str, int] = read_numbers(_TABLE)
"""Number of each younger system call by its kernel name, on any architecture."""
