from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ior_nb.errors import FilterSyntaxError
from ior_nb.globalfilter import Filter, FilterStack, complete, node_text, parse, split, to_text
from ior_nb.globalfilter.parser import MAX_LENGTH
from ior_nb.runtime import EventBatch
from ior_nb.runtime.filter import DIMENSIONS, And, Errors, Node, Not, Number, Or, Text
from ior_nb.runtime.pushdown import Pushdown
from ior_nb.syscalls import BY_NAME, FAMILIES, NATIVE, SYSCALLS
from ior_nb.syscalls.probes import SEARCHING
from tests.fakes import batch
from tests.filters import batches, filters, many_rows, pushable

ROOT = Path(__file__).resolve().parents[2]
FAILED_OF_TWO = Pushdown(pid=1, tid=2, errors_only=True, finders=SEARCHING)
MS = 1_000_000


def number(dimension: str, operator: str, value: int) -> Filter:
    """One comparison with a number."""
    return Filter(Number(dimension, operator, value))


def text(dimension: str, operator: str, pattern: str) -> Filter:
    """One comparison with a text."""
    return Filter(Text(dimension, operator, pattern))


def parsed(typed: str) -> Filter | FilterSyntaxError:
    """What parsing gives, the error as a value; every other exception goes on."""
    try:
        return parse(typed)
    except FilterSyntaxError as e:
        return e


# ---- text to value ----------------------------------------------------------------------------------------------


def test_the_example_of_the_manual_parses() -> None:
    """Parentheses, or, and, not, patterns and units come out as the tree they show."""
    reads = Or((Text("syscall", "=", "read"), Text("syscall", "=", "pread64")))
    tree = And((reads, Not(Text("file", "~", "/proc/")), Number("latency", ">=", MS)))

    assert parse("(syscall=read or syscall=pread64) and not file~/proc/ and latency>=1ms") == Filter(tree)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", Filter()),
        ("  ", Filter()),
        ("all", Filter()),
        ("errors", Filter(Errors())),
        ("path=/data/*", text("file", "=", "/data/*")),
        ("PID = 3", number("pid", "=", 3)),
        ("syscall=fstat", text("syscall", "=", "newfstat")),
        ("syscall!=READ", text("syscall", "!=", "read")),
        ("syscall~^pread$", text("syscall", "~", "^pread64$")),
        ("family=fs", text("family", "=", "FS")),
        ("comm=and", text("comm", "=", "and")),
        ('file="a \\"b\\" \\\\ \\n\\t\\u00e9\\U0001f40d"', text("file", "=", 'a "b" \\ \n\té🐍')),
        ('comm=""', text("comm", "=", "")),
        ("file~a\\xff", text("file", "~", "a\\xff")),
        ("file~^/tmp/a$", text("file", "~", "^/tmp/a$")),
        ("comm~^123456789012345$", text("comm", "~", "^123456789012345$")),
        ("ret<-1", number("ret", "<", -1)),
        ("ret=-512", number("ret", "=", -512)),
        ('pid="3"', number("pid", "=", 3)),
        ("latency>=10", number("latency", ">=", 10)),
        ("latency>=1.5ms", number("latency", ">=", 1_500_000)),
        ("latency<2us", number("latency", "<", 2_000)),
        ("latency<2µs", number("latency", "<", 2_000)),
        ("latency<2μs", number("latency", "<", 2_000)),
        ("latency<2NS", number("latency", "<", 2)),
        ("gap>1m30s", number("gap", ">", 90_000_000_000)),
        ("gap>1h", number("gap", ">", 3_600_000_000_000)),
        ("gap>-1s", number("gap", ">", -1_000_000_000)),
        ("time>=1h30m", number("time", ">=", 5_400_000_000_000)),
        ("bytes>=64KiB", number("bytes", ">=", 65_536)),
        ("bytes>=64kib", number("bytes", ">=", 65_536)),
        ("bytes>=1.5MiB", number("bytes", ">=", 3 << 19)),
        ("bytes>=2GB", number("bytes", ">=", 2_000_000_000)),
        ("bytes>=7B", number("bytes", ">=", 7)),
        ("bytes>=7", number("bytes", ">=", 7)),
    ],
)
def test_texts_mean_what_people_expect(typed: str, meant: Filter) -> None:
    """Aliases, case, quotes, escapes and units lead to one and the same value."""
    assert parse(typed) == meant


def test_and_binds_more_than_or_and_not_most() -> None:
    """`not a and b or c` is `((not a) and b) or c`; parentheses keep what they group apart."""
    a, b, c = Number("pid", "=", 1), Number("pid", "=", 2), Number("pid", "=", 3)

    assert parse("not pid=1 and pid=2 or pid=3") == Filter(Or((And((Not(a), b)), c)))
    assert parse("NOT (pid=1 AND (pid=2 OR pid=3))") == Filter(Not(And((a, Or((b, c))))))
    assert parse("(pid=1 and pid=2) and pid=3") == Filter(And((And((a, b)), c)))
    assert parse("((pid=1))") == Filter(a)


def test_terms_side_by_side_are_joined_by_and() -> None:
    """The status line of the reference, terms with blanks between them, is a filter too."""
    assert parse("errors comm~bash latency>=5ms") == parse("errors and comm~bash and latency>=5ms")
    assert parse("pid=1 not errors (fd=3)") == parse("pid=1 and not errors and fd=3")


# ---- value to text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Filter(), "all"),
        (text("comm", "~", "python"), "comm~python"),
        (text("file", "=", "/data/*"), "file=/data/*"),
        (text("file", "=", "/a b"), 'file="/a b"'),
        (text("file", "!~", 'q"\\\n\x1b'), 'file!~"q\\"\\\\\\n\\u001b"'),
        (text("comm", "=", ""), 'comm=""'),
        (text("comm", "=", "Not"), 'comm="Not"'),
        (text("comm", "=", "'a'"), "comm=\"'a'\""),
        (number("latency", ">=", MS), "latency>=1ms"),
        (number("latency", ">=", 1_500_000), "latency>=1500us"),
        (number("latency", "<", 90_000_000_000), "latency<90s"),
        (number("gap", "=", 0), "gap=0"),
        (number("gap", "=", -1), "gap=-1ns"),
        (number("bytes", ">", 65_536), "bytes>64KiB"),
        (number("bytes", ">", 1_000), "bytes>1000"),
        (number("pid", "=", 1_000_000), "pid=1000000"),
    ],
)
def test_the_canonical_text_is_short_and_plain(wanted: Filter, shown: str) -> None:
    """Units are the largest that leave no fraction; quotes stand where they are needed."""
    assert to_text(wanted) == shown
    assert parse(shown) == wanted


@settings(max_examples=500, deadline=None)
@given(filters())
def test_text_and_value_round_trip(wanted: Filter) -> None:
    """The text of any filter parses to an equal one, and that has the same text."""
    shown = to_text(wanted)
    again = parse(shown)

    assert again == wanted
    assert to_text(again) == shown
    assert "\n" not in shown


# ---- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "position", "said"),
    [
        ("pid", 3, "expected an operator after pid (= != < <= > >=), found the end"),
        ("comm 3", 5, "expected an operator after comm (~ !~ = !=), found '3'"),
        ("pid!3", 3, "expected an operator after pid"),
        ("pid=", 4, "expected a value after pid=, found the end"),
        ("pid==3", 4, "expected a value after pid=, found '='"),
        ("comm=(a)", 5, "quotes"),
        ("pid~3", 3, "pid is a number: it takes = != < <= > >="),
        ("comm<3", 4, "comm is text: it takes ~ !~ = !="),
        ("foo=3", 0, "unknown dimension 'foo'; there are syscall family comm"),
        ("pid=1 and lat>3", 10, "unknown dimension 'lat'; did you mean latency?"),
        ("pid=1 and lat", 10, "unknown dimension 'lat'; did you mean latency?"),
        ("(pid=3", 6, "expected and, or, or a closing ), found the end"),
        ("pid=3)", 5, "expected and, or, or the end, found ')'"),
        ("pid=3 and", 9, "expected a condition such as pid=3, errors, not or (, found the end"),
        ("and", 0, "expected a condition such as pid=3, errors, not or (, found 'and'"),
        ("pid=3 or or fd=4", 9, "expected a condition such as pid=3, errors, not or (, found 'or'"),
        ("not", 3, "expected a condition"),
        ("()", 1, "expected a condition"),
        ('"pid"=3', 0, "expected a condition"),
        ("!errors", 0, "write not"),
        ("pid=3 && fd=4", 6, "write and instead of &&"),
        ("pid=3 | fd=4", 6, "write or instead of |"),
        ("errors=1", 6, "errors stands alone, found '='"),
        ("all and pid=3", 4, "all stands alone, found 'and'"),
        ("pid=3 all", 6, "all stands alone"),
        ("file=/a b", 8, "double quotes"),
        ("file=/a=b", 7, "double quotes"),
        ("comm='a b'", 5, "double quotes"),
        ('comm="abc', 5, "this quote is never closed"),
        ('comm="a\\qb"', 7, "unknown escape"),
        ('comm="a\\U00ffffffb"', 7, "unknown escape"),
        ("pid=x", 4, "pid: expected a number such as 3, found 'x'"),
        ('pid=""', 5, "pid: expected a number such as 3"),
        ("latency>=ms", 9, "latency: expected a number such as 10ms, found 'ms'"),
        ("pid=3ms", 5, "pid: a plain number is expected, found 'ms' behind it"),
        ("latency>=3kb", 10, "latency: unknown unit 'kb'; there are ns us ms s m h"),
        ("bytes>3ms", 7, "bytes: unknown unit 'ms'; there are B KiB MiB GiB TiB"),
        ("latency>=1s5", 12, "latency: a unit is missing here; there are ns us ms s m h"),
        ("latency>=1.5ns", 9, "latency: 1.5ns is not a whole number of nanoseconds"),
        ("file~m.dat, bytes>0", 10, "write and instead of ,; a value that ends in one needs"),
        ("bytes>=1 KiB", 9, "a unit stands right behind its number, without a blank: 1KiB"),
        ("latency>2 ms and errors", 10, "without a blank: 2ms"),
        ("pid=1.5", 4, "pid: 1.5 is not a whole number"),
        ("pid=9223372036854775808", 4, "does not fit into 64 bits"),
        ("pid=" + "9" * 5000, 4, "too many digits"),
        ("syscall=raed", 8, "unknown system call 'raed'; did you mean read"),
        ("syscall~zzz", 8, "no system call matches 'zzz'"),
        ("family=net", 7, "unknown family 'net'; did you mean Network?"),
        ("family=zzz", 7, "unknown family 'zzz'; there are AIO FS"),
        (
            "comm=0123456789abcdef",
            5,
            "this can never match: the kernel keeps 15 bytes of a thread's name, this needs 16",
        ),
        ("comm!~éééééééé", 6, "this can never match"),
        ("not " * 101 + "errors", 4, "nested too deep: at most 100 levels"),
        ("pid=1 " * 2000, MAX_LENGTH, "at most 10,000 characters"),
    ],
)
def test_errors_point_at_the_place_in_plain_words(wrong: str, position: int, said: str) -> None:
    """An error carries the text, the exact position, and what was expected there."""
    with pytest.raises(FilterSyntaxError) as caught:
        parse(wrong)

    assert (caught.value.position, caught.value.text) == (position, wrong)
    assert said in str(caught.value).splitlines()[0]


def test_an_invalid_number_is_refused_and_not_dropped() -> None:
    """The reference removes a constraint it cannot read without a word; here it is an error."""
    with pytest.raises(FilterSyntaxError):
        parse("errors and latency>=fast")


def test_parentheses_may_be_deep() -> None:
    """Only conditions count as levels: a thousand parentheses around one are one."""
    assert parse("(" * 1000 + "errors" + ")" * 1000) == Filter(Errors())


ALPHABET = st.sampled_from(
    [*"()\"\\=!<>~ '^$*&|.-019aemns", "and", "or", "not ", "pid", "latency", "comm", "syscall", "µ"]
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(ALPHABET, max_size=25).map("".join) | st.text(st.characters(), max_size=40))
@example("\ud800=\udfff")
@example('comm="\ud800"')
@example('comm="\\ud800\\udfff"')
@example("pid=٣")
@example("\x00")
@example("comm=\u00a0")
def test_no_text_raises_anything_else(typed: str) -> None:
    """Any text is a filter that round-trips, or a FilterSyntaxError that points into it; completion never fails."""
    found = parsed(typed)
    if isinstance(found, FilterSyntaxError):
        assert 0 <= found.position <= len(typed)
    else:
        assert parse(to_text(found)) == found
    for at in {0, len(typed) // 2, len(typed)}:
        for candidate in complete(typed, at):
            assert 0 <= candidate.start <= at


@settings(max_examples=200, deadline=None)
@given(filters(), st.data())
def test_a_damaged_filter_raises_nothing_else(wanted: Filter, data: st.DataObject) -> None:
    """A legal text with one character lost or changed is legal or a FilterSyntaxError."""
    shown = to_text(wanted)
    at = data.draw(st.integers(0, len(shown) - 1))
    damaged = shown[:at] + data.draw(st.sampled_from(["", "(", '"', "\\", "x", " "])) + shown[at + 1 :]
    found = parsed(damaged)

    assert isinstance(found, Filter) or 0 <= found.position <= len(damaged)


def test_threads_share_the_parser() -> None:
    """Parses in several threads at once do not disturb each other."""
    wrong: list[str] = []

    def work(seed: int) -> None:
        for n in range(50):
            asked = f"pid={seed} and (fd={n} or comm~x{n}) and latency>={n}us"
            if parse(asked).parts()[0] != Number("pid", "=", seed):
                wrong.append(asked)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_importing_is_cheap_until_the_first_parse() -> None:
    """The parser library is imported by the first parse, not with the package."""
    code = (
        "import sys, ior_nb.globalfilter as g; before = 'lark' in sys.modules; g.parse('pid=1');"
        "sys.exit(0 if not before and 'lark' in sys.modules and 'pyarrow' not in sys.modules else 1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)

    assert done.returncode == 0, done.stderr


# ---- push-down --------------------------------------------------------------------------------------------------


def test_rows_pushed_and_rest_are_the_rows_of_the_whole() -> None:
    """For 2,000 filters, what passes the pushed part and the rest is what passes the whole; every field is used."""
    events = many_rows(500, seed=1)
    used: Counter[str] = Counter()
    for wanted in pushable(2000, seed=1):
        pushed, rest = split(wanted)
        used.update(f for f in Pushdown.__dataclass_fields__ if getattr(pushed, f) not in (None, False, ""))

        assert (pushed.mask(events) & rest.mask(events)).tolist() == wanted.mask(events).tolist(), to_text(wanted)

    assert min(used[f] for f in Pushdown.__dataclass_fields__) >= 20, used


@settings(max_examples=300, deadline=None)
@given(filters(), batches())
def test_the_law_holds_for_filters_of_any_shape(wanted: Filter, events: EventBatch) -> None:
    """Filters that were not made to be pushed keep the law too."""
    pushed, rest = split(wanted)

    assert (pushed.mask(events) & rest.mask(events)).tolist() == wanted.mask(events).tolist()


def calls(*names: str) -> tuple[tuple[int, str], ...]:
    """System calls as a push-down has them."""
    return tuple(sorted((BY_NAME[name].number, name) for name in names))


@pytest.mark.parametrize(
    ("whole", "pushed", "rest"),
    [
        ("all", Pushdown(), "all"),
        ("pid=3 and tid=4", Pushdown(pid=3, tid=4), "all"),
        ("pid=3 and pid=4", Pushdown(pid=3), "pid=4"),
        ("pid=3 and pid=3", Pushdown(pid=3), "all"),
        ("pid!=3 and pid=0 and tid=-1", Pushdown(), "pid!=3 and pid=0 and tid=-1"),
        ("errors and probes", Pushdown(errors_only=True, finders=SEARCHING), "errors and probes"),
        ("not errors", Pushdown(), "not errors"),
        ("errors or pid=3", Pushdown(), "errors or pid=3"),
        ("latency>=1ms", Pushdown(latency_min_ns=MS), "all"),
        ("latency>1ms and latency>=5", Pushdown(latency_min_ns=MS + 1), "all"),
        ("latency<1ms and latency<=2ms", Pushdown(latency_max_ns=MS - 1), "all"),
        ("latency=5", Pushdown(latency_min_ns=5, latency_max_ns=5), "all"),
        ("latency!=5", Pushdown(), "latency!=5"),
        ("latency>-5", Pushdown(latency_min_ns=0), "all"),
        ("latency<0", Pushdown(), "latency<0"),
        ("gap>1 and fd=3 and ret=0", Pushdown(), "gap>1ns and fd=3 and ret=0"),
        ("pid=3 and time>=1s and time<2s", Pushdown(pid=3), "time>=1s and time<2s"),
        ("syscall=read", Pushdown(calls=calls("read")), "all"),
        ("syscall=read or syscall=pread", Pushdown(calls=calls("read", "pread64")), "all"),
        ("family=FS and syscall~^pread and not syscall~v", Pushdown(calls=calls("pread64")), "all"),
        ("syscall=read and syscall=write", Pushdown(calls=()), "all"),
        ("not syscall=read or errors", Pushdown(), "not syscall=read or errors"),
        ("syscall~e or not syscall~e", Pushdown(), "all"),
        ("comm=bash", Pushdown(comm="bash"), "all"),
        ("comm~^bash$", Pushdown(comm="bash"), "all"),
        ("comm=bash*", Pushdown(comm="bash", comm_prefix=True), "all"),
        ("comm~^12-", Pushdown(comm="12-", comm_prefix=True), "all"),
        ("comm=a and comm=b", Pushdown(comm="a"), "comm=b"),
        ("comm~^a*b$", Pushdown(comm="a*b"), "all"),
        ('comm!=bash and comm~bash and comm~^bash and comm=*sh and comm=""', Pushdown(), None),
        ("comm=a\\xff", Pushdown(), None),
        ("comm~^1/*", Pushdown(), None),
        ('comm="\\ud800"', Pushdown(), None),
        ("file~x and pid=1 and (errors and tid=2)", FAILED_OF_TWO, "file~x and errors"),
    ],
)
def test_only_what_is_exactly_expressible_is_pushed(whole: str, pushed: Pushdown, rest: str | None) -> None:
    """Terms of the topmost AND go down whole or stay; None as the rest is the whole."""
    wanted = parse(whole)

    assert split(wanted) == (pushed, wanted if rest is None else parse(rest))


def test_a_family_is_pushed_as_its_system_calls() -> None:
    """The kernel knows numbers only; each family is the numbers of its calls."""
    for family in FAMILIES:
        pushed, rest = split(text("family", "=", family))

        assert pushed.numbers == frozenset(s.number for s in SYSCALLS if s.family == family)
        assert rest == Filter()


# ---- undo -------------------------------------------------------------------------------------------------------


def test_undo_goes_back_level_by_level() -> None:
    """Pop restores the filter before, and is False when there is none."""
    stack = FilterStack()

    assert stack.push(parse("pid=1"))
    assert stack.push(parse("pid=1 and errors"), "failed ones")
    assert stack.labels == ("pid=1", "failed ones")
    assert stack.pop()
    assert stack.active == parse("pid=1")
    assert stack.pop()
    assert stack.active == Filter()
    assert not stack.pop()
    assert len(stack) == 0


def test_pushing_the_active_filter_changes_nothing() -> None:
    """Opening an editor and closing it never counts as a change: an equal filter makes no level."""
    stack = FilterStack(parse('comm=" padded "'))

    assert not stack.push(parse(to_text(stack.active)))
    assert len(stack) == 0


def test_the_oldest_of_more_than_fifty_levels_is_dropped() -> None:
    """After sixty changes fifty can be taken back."""
    stack = FilterStack()
    for n in range(60):
        stack.push(number("pid", "=", n + 1))
    taken = 0
    while stack.pop():
        taken += 1

    assert taken == 50
    assert stack.active == number("pid", "=", 10)


@pytest.mark.parametrize(
    ("before", "after", "label"),
    [
        ("all", "pid=1", "pid=1"),
        ("pid=1", "pid=1 and errors", "errors"),
        ("pid=1 and errors", "errors", "clear pid"),
        ("pid=1 and errors", "pid=1", "clear errors"),
        ("pid=1 and comm~x", "pid=2", "pid=2 clear comm"),
        ("latency>=1ms", "latency>=2ms", "latency>=2ms"),
        ("pid=1 and (errors or fd=3)", "all", "clear pid clear errors clear fd"),
        ("all", "comm~x and (file=/a or errors) and pid=1", "comm~x (file=/a or errors) pid=1"),
        ("pid=1", "pid=1 and (file=/a or errors)", "file=/a or errors"),
    ],
)
def test_a_label_says_what_came_and_what_went(before: str, after: str, label: str) -> None:
    """Without a label of the caller's the changed terms are it."""
    stack = FilterStack(parse(before))
    stack.push(parse(after))

    assert stack.labels == (label,)


# ---- completion -------------------------------------------------------------------------------------------------


def offered(typed: str, at: int | None = None) -> list[str]:
    """The texts offered, with some values known."""
    return [c.text for c in complete(typed, at, {"comm": ["python3", "a b"], "pid": ["17"]})]


def test_dimensions_are_offered_where_a_condition_begins() -> None:
    """At the start, behind an opening parenthesis, not, and, or: every dimension, and what may stand there too."""
    for typed in ("", "(", "not ", "pid=1 and ", "pid=1 or ("):
        found = offered(typed)

        assert {*DIMENSIONS, "path", "errors", "not", "("} <= set(found)
        assert not {"and", "or", ")"} & set(found)
    assert offered("lat") == ["latency"]
    assert offered("pid=1 and LAT") == ["latency"]
    assert offered("ti") == ["tid", "time"]
    assert offered("e") == ["errors"]


def test_a_dimension_has_the_names_of_flame_graphs_and_of_ior() -> None:
    """What a frame or a metric is called filters too, in any case; the text form has our name."""
    for word, name in {"tracepoint": "syscall", "path": "file"}.items():
        assert to_text(parse(f"{word}=read")) == f"{name}=read"
    for word, name in {"duration": "latency", "durationToPrev": "gap", "DURATIONTOPREV": "gap"}.items():
        assert to_text(parse(f"{word}>=1ms")) == f"{name}>=1ms"
    assert offered("durationT") == ["durationToPrev"]


def test_operators_are_offered_by_the_sort_of_the_dimension() -> None:
    """Text takes four, numbers six; one half typed is completed."""
    assert offered("comm") == ["~", "!~", "=", "!="]
    assert offered("path") == ["~", "!~", "=", "!="]
    assert offered("pid ") == ["=", "!=", "<", "<=", ">", ">="]
    assert offered("comm!") == ["!~", "!="]
    assert offered("latency>") == [">="]
    assert [c.start for c in complete("comm!")] == [4, 4]


def test_values_are_offered_where_they_are_known() -> None:
    """System calls with their aliases, families, and what the caller knows; those that begin so come first."""
    found = offered("syscall=pread")

    assert found[:4] == ["pread64", "preadv", "preadv2", "pread"]
    assert set(offered("syscall=")) >= {call.name for call in NATIVE}
    assert offered("family!=net") == ["Network"]
    assert offered("comm=") == ["python3", '"a b"']
    assert offered('comm="a') == ['"a b"']
    assert offered("pid=") == ["17"]
    assert offered("file=") == []


def test_units_are_offered_behind_a_number() -> None:
    """A duration takes ns to h, a size B to TB, a plain number none."""
    assert offered("latency>=1.5")[:3] == ["1.5ns", "1.5us", "1.5ms"]
    assert "64KiB" in offered("bytes<64")
    assert offered("fd=3") == []


def test_joining_words_are_offered_behind_a_condition() -> None:
    """and, or, and a parenthesis to close where one is open; dimensions once a letter is typed."""
    assert offered("pid=3 ") == ["and", "or"]
    assert offered("(pid=3 ") == ["and", "or", ")"]
    assert offered("(pid=3) ") == ["and", "or"]
    assert offered("pid=3 o") == ["on_cpu", "object", "opened_at", "or"]
    assert offered("pid=3 c") == ["comm", "cell"]


def test_only_the_text_before_the_cursor_counts() -> None:
    """A cursor in the middle completes the word before it; behind an error nothing is offered."""
    assert offered("lat and pid=3", 3) == ["latency"]
    assert offered("foo=") == []
    assert offered("pid=3) and ") == []
    assert complete("pid=1 and sys")[0].start == 10


def test_what_is_offered_leads_on() -> None:
    """Each candidate put in its place can again be completed or is a filter."""
    for typed in ("", "pid", "pid=1 ", "(errors ", "syscall=o", "family=", "latency>=1", "not ", "comm!"):
        for candidate in complete(typed):
            whole = typed[: candidate.start] + candidate.text
            found = parsed(whole)

            assert isinstance(found, Filter) or found.position == len(whole), whole


def test_candidates_say_what_they_are() -> None:
    """Kind and one line of documentation come with each candidate."""
    first = complete("syscall=openat2")[0]

    assert (first.kind, first.doc) == ("value", BY_NAME["openat2"].doc)
    assert all(c.kind == "dimension" and c.doc for c in complete("f"))


# ---- the text of one condition -------------------------------------------------------------------------------------


def test_a_single_term_has_a_text_for_chips() -> None:
    """The terms of a filter can be shown one by one and be put together again."""
    wanted = parse("pid=1 and (errors or fd=3) and not comm~x")
    chips: list[Node] = list(wanted.parts())

    assert [node_text(chip) for chip in chips] == ["pid=1", "errors or fd=3", "not comm~x"]
    assert to_text(Filter.of(chips)) == to_text(wanted)


def test_masks_of_parsed_filters_find_the_rows() -> None:
    """From text to rows: the whole way once."""
    events = batch(
        syscall=["read", "pread64", "read", "exit_group"],
        file=["/a", "/proc/1/x", "/b", ""],
        latency_ns=[2 * MS, 3 * MS, 10, 0],
        state=["done", "done", "done", "no return"],
    )

    def found(asked: str) -> list[bool]:
        return [bool(m) for m in parse(asked).mask(events)]

    assert found("(syscall=read or syscall=pread64) and not file~/proc/ and latency>=1ms") == [
        True,
        False,
        False,
        False,
    ]
    assert found("latency!=5") == [True, True, True, False]
    assert found("not latency=5") == [True, True, True, True]
    assert found("ret=0") == [True, True, True, False]
