"""What strace writes becomes calls, whatever programs call their files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.engine.collector import wire
from ior_nb.engine.stopped.lines import Lines, without
from ior_nb.engine.stopped.source import Birth, Block
from ior_nb.engine.stopped.words import file_of, nanoseconds, number, socket_word, text_of, total_of, unescaped
from ior_nb.syscalls import BY_NAME, NATIVE, resolve

STARTED = 1_795_907_028_000_000_000
HOSTILE = [
    b"/tmp/a\nb",
    b'/tmp/"quoted", 5) = 5 <0.000001>',
    b"/tmp/x <unfinished ...>",
    b"/tmp/<... read resumed>",
    b"/tmp/+++ exited with 0 +++",
    b"/tmp/--- SIGKILL {si_signo=9} ---",
    b"/tmp/a>b<c",
    b"/tmp/\xff\xfe not UTF-8",
    b"/tmp/\\x2f backslash \\",
    b"/tmp/{a=[1, 2], b=(3)}",
    b"/tmp/1234  1795907028.939137456 read(3) = 0",
    b"/tmp/x (deleted)",
    b"/tmp/caf\xc3\xa9",
    b" ",
    b"/" + b"long/" * 800 + b"end",
]
NAMES = st.one_of(st.sampled_from(HOSTILE), st.binary(min_size=1, max_size=60).map(lambda b: b.replace(b"\0", b"/")))


def hexadecimal(text: bytes) -> str:
    """Return a text as strace -xx writes it."""
    return "".join(f"\\x{byte:02x}" for byte in text)


def line(tid: int, at: int, words: str) -> str:
    """Return a line of strace."""
    seconds, rest = divmod(STARTED + at, 10**9)
    return f"{tid:<5} {seconds}.{rest:09} {words}\n"


def read(*lines: str) -> Block:
    """Return what a new reader makes of lines."""
    return Lines().read("".join(lines).encode("latin-1"), 0)


def number_of(name: str) -> int:
    """Return a call's number."""
    return resolve(name).number


@given(name=NAMES, fd=st.integers(0, 1 << 20), size=st.integers(0, 1 << 40), latency=st.integers(1, 10**12))
def test_a_read_is_read_whatever_its_file_is_called(name: bytes, fd: int, size: int, latency: int) -> None:
    """Descriptor, file, sizes and times come back as they were written."""
    took = f"{latency // 10**9}.{latency % 10**9:09}"
    block = read(line(77, 5, f'read({fd}<{hexadecimal(name)}>, ""..., {size}) = {size} <{took}>'))
    calls = block.calls

    assert len(calls) == 1
    assert block.unread == 0
    assert unescaped(calls.file[0]) == name
    assert calls.args[0, 0] == fd
    assert calls.args[0, 2] == size
    assert (calls.tid[0], calls.time[0], calls.latency[0], calls.ret[0]) == (77, STARTED + 5, latency, size)
    assert calls.nr[0] == number_of("read")


@given(old=NAMES, new=NAMES, folder=NAMES, error=st.sampled_from(["ENOENT", "EACCES", "EXDEV"]))
def test_paths_are_whole_whatever_they_hold(old: bytes, new: bytes, folder: bytes, error: str) -> None:
    """Both paths of a renameat2 and their directories come back; the longest are cut as the kernel does."""
    at = hexadecimal(folder)
    words = f'renameat2(-100<{at}>, "{hexadecimal(old)}", 9<{at}>, "{hexadecimal(new)}", 0)'
    calls = read(line(7, 0, f"{words} = -1 {error} (Some words) <0.000000001>")).calls

    assert (calls.path2[0], calls.path[0]) == (old[:4095], new[:4095])
    assert unescaped(calls.base2[0]) == unescaped(calls.base[0]) == folder
    assert calls.ret[0] < 0


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[tuple[int, str, str]], list[tuple[int, int]]]:
    """Calls of a few threads, (thread, words, rest), and an order of their begins and ends."""
    calls = []
    for k in range(draw(st.integers(1, 8))):
        name = hexadecimal(draw(NAMES))
        begun = draw(st.sampled_from([f"read({k}<{name}>, ", f'openat(-100<{name}>, "{name}", 0x1', "select(1, [0], "]))
        rest = {"r": '""..., 5', "o": "", "s": "NULL, NULL, {tv_sec=1, tv_usec=5}"}[begun[0]]
        calls.append((draw(st.integers(1, 3)), begun, rest))
    steps: list[tuple[int, int]] = []
    open_: dict[int, int] = {}
    for k, (tid, *_) in enumerate(calls):
        if tid in open_:
            steps.append((open_.pop(tid), 1))
        steps.append((k, 0))
        open_[tid] = k
        if draw(st.booleans()):
            done = draw(st.sampled_from(sorted(open_)))
            steps.append((open_.pop(done), 1))
    steps += [(k, 1) for k in open_.values()]
    return calls, steps


@given(interleavings())
def test_calls_that_others_interrupt_are_the_same_calls(
    made: tuple[list[tuple[int, str, str]], list[tuple[int, int]]],
) -> None:
    """Written in two pieces or in one, a call is the same, and rows come in the order of the ends."""
    calls, steps = made
    pieces, whole = [], []
    for at, (k, end) in enumerate(steps):
        tid, begun, rest = calls[k]
        name = begun[: begun.index("(")]
        if end:
            pieces.append(line(tid, at, f"<... {name} resumed>{rest}) = {k} <0.000000100>"))
            whole.append(line(tid, steps.index((k, 0)), f"{begun}{rest}) = {k} <0.000000100>"))
        else:
            pieces.append(line(tid, at, f"{begun} <unfinished ...>"))
    first, second = read(*pieces), read(*whole)

    assert first.unread == second.unread == 0
    assert first.calls.ret.tolist() == [k for k, end in steps if end]
    for column in ("tid", "time", "latency", "nr", "ret", "args", "extra", "flags"):
        assert np.array_equal(getattr(first.calls, column), getattr(second.calls, column))
    assert first.calls.file.tolist() == second.calls.file.tolist()
    assert first.calls.path.tolist() == second.calls.path.tolist()


@pytest.mark.parametrize(
    ("words", "birth"),
    [
        ("vfork(", Birth(7, False, 1)),
        ("clone(child_stack=NULL, flags=0x1200000|17", Birth(7, False, 1)),
        ("clone3({flags=0x3d0f00, exit_signal=0}, 88", Birth(7, True, 1)),
        ("clone3({flags=0x8000, exit_signal=0}, 88", Birth(7, False, 1, True)),
        ("cloned(3", None),
    ],
)
def test_who_is_making_a_task_is_told_before_the_call_returns(words: str, birth: Birth | None) -> None:
    """A child may have made calls, and ended, before the line that says its number."""
    lines = Lines()
    block = lines.read((line(7, 0, f"{words} <unfinished ...>") + line(8, 1, "getpid() = 8 <0.000000100>")).encode(), 0)

    assert block.making == ([birth] if birth else [])
    assert (
        lines.read(line(7, 2, f"<... {words.partition('(')[0]} resumed>) = 8 <0.000000100>").encode(), 0).making == []
    )


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_lines_of_anything_are_counted_and_break_nothing(raw: list[bytes]) -> None:
    """What is no line of strace becomes no call that was not made, and is counted."""
    block = Lines().read(b"".join(part.replace(b"\n", b" ") + b"\n" for part in raw), 0)

    assert len(block.calls) + block.unread + block.compat + block.unknown + block.before <= len(raw)


CORPUS = [
    ("exit_group(0) = ?", "exit_group", 0, wire.EF_NO_RETURN),
    ("exit(0) = ?", "exit", 0, wire.EF_NO_RETURN),
    ("read(3, <unfinished ...>) = ?", "read", 0, wire.EF_IN_FLIGHT),
    ("pause() = ? ERESTARTNOHAND (To be restarted if no handler) <1.000000000>", "pause", -514, 0),
    (
        "wait4(-1, 0x7ff, 0, NULL) = ? ERESTARTSYS (To be restarted if so) <0.500000000>",
        "wait4",
        -512,
        0,
    ),
    ("ioctl(3</x>, 0x5401, 0x7ffd) = -1 ENOTTY (Inappropriate ioctl for device) <0.000001000>", "ioctl", -25, 0),
    ("poll(0x7ffd, 1, -1) = 1 ([{fd=3, revents=0x1}]) <0.000001000>", "poll", 1, 0),
    ("select(4, [3], NULL, NULL, NULL) = 1 (in [3]) <0.000001000>", "select", 1, 0),
    ("select(0, NULL, NULL, NULL, {tv_sec=0, tv_usec=5}) = 0 (Timeout) <0.000001000>", "select", 0, 0),
    ("fcntl(9</t>, 0x3) = 0x8000 (flags O_RDONLY|O_LARGEFILE) <0.000001000>", "fcntl", 0x8000, 0),
    ("mmap(NULL, 8192, 0x3, 0x22, -1, 0) = 0x7f82 <0.000001000>", "mmap", 0x7F82, 0),
    ("getpid() = 5 <0.000001000>", "getpid", 5, 0),
    ("umask(022) = 077 <0.000001000>", "umask", 0o77, 0),
    ("keyctl(0, 1, 2, 3, 4) = -1 (errno 530) <0.000001000>", "keyctl", -530, 0),
    (
        "syscall_0x1d4(0x1, 0x2, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented) <0.000001000>",
        "file_getattr",
        -38,
        0,
    ),
]


@pytest.mark.parametrize(("words", "name", "result", "flags"), CORPUS, ids=[c[0][:40] for c in CORPUS])
def test_every_form_of_a_result_is_read(words: str, name: str, result: int, flags: int) -> None:
    """Results in every base, errors by name and by number, calls that do not return: as the kernel had them."""
    block = read(line(12345, 0, words))

    assert block.unread == 0
    assert block.calls.nr.tolist() == [BY_NAME[name].number]
    assert (block.calls.ret[0], block.calls.flags[0]) == (result, flags)


def test_what_is_behind_pointers_is_read() -> None:
    """Lengths of buffers, times, epoll masks, flags of openat2, pairs of descriptors."""
    buffers = '[{iov_base=""..., iov_len=3}, {iov_base="", iov_len=40}]'
    calls = read(
        line(1, 0, f"writev(3</f>, {buffers}, 2) = 43 <0.000000001>"),
        line(
            1,
            1,
            f"sendmsg(3</f>, {{msg_name=NULL, msg_iov={buffers}}}, 0) = 43 <0.000000001>",
        ),
        line(1, 2, "nanosleep({tv_sec=1, tv_nsec=5}, NULL) = 0 <1.000000100>"),
        line(1, 3, "epoll_ctl(3, 0x1, 5<pipe:[7]>, {events=0x11, data={u32=5, u64=5}}) = 0 <0.000000001>"),
        line(1, 4, 'openat2(-100, "\\x61", {flags=0x80000, resolve=0}, 24) = 4</a> <0.000000001>'),
        line(1, 4, "epoll_ctl(3, 0x1, 5, {0x11, {u32=5, u64=5}}) = 0 <0.000000001>"),
        line(1, 5, "pipe2([6<pipe:[9]>, 7<pipe:[9]>], 0x80000) = 0 <0.000000001>"),
        line(1, 6, "sendfile(6, 9</h>, [40] => [43], 5) = 3 <0.000000001>"),
    ).calls

    assert calls.extra.tolist() == [43, 43, 1_000_000_005, 0x11, 0x80000, 0x11, 6 | 7 << 32, 40]
    assert calls.file.tolist()[6] == b"pipe:[9]"


def test_a_call_that_began_before_the_trace_is_no_row() -> None:
    """The end of a call whose beginning was not seen, and what restarts one, are counted as begun before."""
    block = read(
        line(1, 0, '<... read resumed>"", 5) = 5 <0.000000001>'),
        line(1, 1, "restart_syscall(<... resuming interrupted poll ...>) = 0 <0.000000001>"),
    )

    assert (len(block.calls), block.before, block.unread) == (0, 2, 0)


def test_an_execve_by_a_thread_goes_on_under_the_number_of_its_process() -> None:
    """The call is one row, of the process, and its program is told."""
    block = read(
        line(8152, 0, 'execve("\\x2f\\x61", [...], 0x7f /* 0 vars */ <pid changed to 8151 ...>'),
        line(8151, 1, "+++ superseded by execve in pid 8152 +++"),
        line(8151, 2, "<... execve resumed>) = 0 <0.000000002>"),
    )

    assert (block.calls.tid.tolist(), block.calls.path.tolist()) == ([8151], [b"/a"])
    assert [(change.tid, change.text) for change in block.execs] == [(8151, b"/a")]


def test_new_tasks_are_told_apart_from_new_processes() -> None:
    """Clone with CLONE_THREAD makes a thread, without it a process, and so do fork and vfork."""
    block = read(
        line(1, 0, "clone3({flags=0x3d0f00, exit_signal=0}, 88) = 2 <0.000000001>"),
        line(1, 1, "clone(child_stack=NULL, flags=0x1200000|17, child_tidptr=0x7f) = 3 <0.000000001>"),
        line(1, 2, "vfork() = 4 <0.000000001>"),
    )

    assert block.born == {2: Birth(1, True, 0), 3: Birth(1, False, 1), 4: Birth(1, False, 2)}


def test_a_thread_has_the_name_that_was_asked_for_at_once() -> None:
    """Names that were found right after the lines are in their order, whichever call has failed."""
    lines = Lines()
    for name in (b"one", b"", b"two"):
        lines.name(1, name)
    text = line(1, 0, 'prctl(0xf, ""...) = 0 <0.000000001>')
    failed = line(1, 1, "prctl(0xf, 0x1) = -1 EFAULT (Bad address) <0.000000001>")
    block = lines.read(f"{text}{failed}{text}".encode(), 0)

    assert [change.text for change in block.comms] == [b"one", b"two"]


def test_a_task_of_another_pid_namespace_has_the_number_it_has_here() -> None:
    """The call returns the number of inside, and the new task's lines have the one of outside."""
    block = read(
        line(1, 0, "vfork() = 4 /* 1704 in strace's PID NS */ <0.000000001>"),
        line(1, 1, "clone3({flags=0x3d0f00} => {parent_tid=[5 /* 1705 in strace's PID NS */]}, 88)"
                   " = 5 /* 1705 in strace's PID NS */ <0.000000001>"),
    )  # fmt: skip

    assert block.calls.ret.tolist() == [4, 5]
    assert block.born == {1704: Birth(1, False, 0), 1705: Birth(1, True, 1)}


def test_the_protocol_of_a_socket_is_the_one_the_kernel_chose() -> None:
    """Whoever asks for none is given tcp or udp, and others keep what they asked for."""
    assert socket_word(2, 1, 0) == socket_word(2, 1, 6)
    assert socket_word(10, 2, 0) == socket_word(10, 2, 17)
    assert socket_word(1, 1, 0) & 0xFFFF == 0


def test_calls_in_progress_are_told_at_the_end() -> None:
    """A call without an end is in flight, with the words it had."""
    lines = Lines()
    lines.read(line(1, 5, "read(3<\\x2f\\x61>,  <detached ...>").encode(), 0)
    calls = lines.unended().calls

    assert (calls.file.tolist(), calls.flags.tolist(), calls.time.tolist()) == (
        [b"\\x2f\\x61"],
        [wire.EF_IN_FLIGHT],
        [STARTED + 5],
    )


def test_a_socket_is_what_made_it() -> None:
    """family, type and protocol are those of socket(2); an accepted one is like the one that listens."""
    block = read(
        line(1, 0, "socket(0x2, 0x1|0x80000, 0x6) = 3<socket:[7]> <0.000000001>"),
        line(1, 1, "accept4(3<socket:[7]>, NULL, NULL, 0x80000) = 4<socket:[8]> <0.000000001>"),
    )

    assert block.sockets == dict.fromkeys([b"socket:[7]", b"socket:[8]"], socket_word(2, 1, 6))


@pytest.mark.parametrize(
    ("function", "word", "meaning"),
    [
        (number, b"0x10", 16),
        (number, b" -1", (1 << 64) - 1),
        (number, b"NULL", 0),
        (number, b" |0x1000", 0x1000),
        (file_of, b"3</a>(deleted)", b"/a (deleted)"),
        (file_of, b"-1", None),
        (text_of, b'""...', None),
        (text_of, b'""', b""),
        (text_of, b'"\\x61\\n\\62"', b"a\n2"),
        (total_of, b"[]", 0),
    ],
)
def test_single_words(function: object, word: bytes, meaning: object) -> None:
    """Each word means what strace means by it."""
    assert callable(function)
    assert function(word) == meaning


def test_times_are_those_of_the_kernel_program() -> None:
    """A null pointer, a time out of range, one that is too long: as `nanoseconds` of bpf/enter.c."""
    found = [
        nanoseconds(word, -1, -2)
        for word in (b"NULL", b"{tv_sec=0, tv_nsec=1000000000}", b"0x7f", b"{tv_sec=9223372036, tv_nsec=0}")
    ]

    assert found == [-1, -2, -2, (1 << 63) - 1]


def test_strace_writes_what_it_is_too_old_to_know() -> None:
    """It is told what nobody wants, not what is wanted: so calls without a name are there, by their number."""
    asked = without([number_of("read")])

    assert asked.startswith("!?")
    assert "?read," not in asked
    assert "?execve," not in asked
    assert "?write," in asked
    assert "?stat," in asked
    assert without(call.number for call in NATIVE) == "all"


def test_a_call_that_only_a_newer_strace_knows_is_the_same_row_and_has_its_path_there() -> None:
    """Of `file_getattr` strace 7.2 writes the name and the path, 6.1 the number and the pointer."""
    end = "= -1 EINVAL (Invalid argument) <0.000003812>"
    old = read(line(7, 5, f"syscall_0x1d4(0xffffffffffffff9c, 0x7f3c53675550, 0, 0, 0, 0x6) {end}"))
    new = read(line(7, 5, f'file_getattr(-100<{hexadecimal(b"/tmp")}>, "{hexadecimal(b"a, <b>")}", NULL, 0, 0) {end}'))

    assert (old.unread, new.unread, old.unknown, new.unknown) == (0, 0, 0, 0)
    for column in ("nr", "tid", "time", "ret", "latency", "flags"):
        assert getattr(old.calls, column).tolist() == getattr(new.calls, column).tolist()
    assert new.calls.nr.tolist() == [number_of("file_getattr")]
    assert (old.calls.path.tolist(), new.calls.path.tolist()) == ([None], [b"a, <b>"])
