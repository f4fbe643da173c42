"""Sockets, and the calls that move data between descriptors without copying it to the program."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "Network")

ROWS: tuple[Syscall, ...] = (
    row("accept", "accept", "fd upeer_sockaddr:accept_addr upeer_addrlen", doc="Accept a connection."),
    row(
        "accept4", "accept", "fd upeer_sockaddr:accept_addr upeer_addrlen flags", doc="Accept a connection, with flags."
    ),
    row("bind", "fd", "fd umyaddr:bind_addr addrlen:addr_len", doc="Give a socket its own address."),
    row("connect", "fd", "fd uservaddr:connect_addr addrlen:addr_len", doc="Connect a socket to an address."),
    row("getpeername", "fd", "fd usockaddr usockaddr_len", doc="Ask for the address of the other end."),
    row("getsockname", "fd", "fd usockaddr usockaddr_len", doc="Ask for a socket's own address."),
    row("getsockopt", "fd", "fd level optname optval optlen", doc="Read a setting of a socket."),
    row("listen", "fd", "fd backlog", doc="Let a socket accept connections."),
    row(
        "recvfrom",
        "fd",
        "fd ubuf size flags:recv_flags addr:recv_addr addr_len",
        bytes="read",
        doc="Receive from a socket.",
    ),
    row(
        "recvmmsg",
        "fd",
        "fd mmsg:mmsghdr vlen flags:recv_flags timeout",
        bytes="read",
        doc="Receive several messages from a socket.",
    ),
    row("recvmsg", "fd", "fd msg:msghdr flags:recv_flags", bytes="read", doc="Receive a message into several buffers."),
    row(
        "sendfile64",
        "fd",
        "out_fd:fd in_fd:fd2 offset:offset2_ptr count:size",
        bytes="transfer",
        doc="Send a part of a file to a descriptor inside the kernel (sendfile).",
    ),
    row("sendmmsg", "fd", "fd mmsg:mmsghdr vlen flags", bytes="write", doc="Send several messages through a socket."),
    row("sendmsg", "fd", "fd msg:msghdr flags", bytes="write", doc="Send a message from several buffers."),
    row("sendto", "fd", "fd buff len:size flags addr:send_addr addr_len", bytes="write", doc="Send through a socket."),
    row("setsockopt", "fd", "fd level optname optval optlen", doc="Change a setting of a socket."),
    row("shutdown", "fd", "fd how", doc="Close one or both directions of a connection."),
    row("socket", "socket", "family type protocol", result="fd", doc="Create a socket."),
    row("socketpair", "socketpair", "family type protocol usockvec:fds_out", doc="Create two connected sockets."),
    row(
        "splice",
        "fd",
        "fd_in:fd2 off_in:offset2_ptr fd_out:fd off_out:offset_ptr len:size flags",
        bytes="transfer",
        doc="Move data between a pipe and a descriptor inside the kernel.",
    ),
    row(
        "tee",
        "fd",
        "fdin:fd2 fdout:fd len:size flags",
        bytes="transfer",
        doc="Copy data from one pipe to another inside the kernel.",
    ),
    row(
        "vmsplice",
        "fd",
        "fd uiov:iovec nr_segs:iovcnt flags",
        bytes="transfer",
        doc="Move memory into a pipe, or out of it.",
    ),
)
