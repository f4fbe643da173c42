from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ior_nb.runtime import EventBatch, Filter, StringTable, new_tables
from ior_nb.runtime.filter import (
    DIMENSIONS,
    And,
    Errors,
    Leaf,
    Mine,
    Node,
    Not,
    Number,
    Or,
    Probes,
    Text,
    columns_of,
    leaves,
    node_of_value,
)
from ior_nb.runtime.patterns import fold, matcher, shortest_match, verdicts
from ior_nb.runtime.pushdown import Pushdown
from tests.fakes import batch
from tests.filters import batches, filters, passes


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("tmp", "/TMP/x", "/var"),
        ("^/tmp", "/tmp/a", "/var/tmp"),
        ("^/tmp/a", "/tmp/A", "/tm"),
        ("log$", "/x.LOG", "/log/x"),
        ("^/tmp/a$", "/tmp/a", "/tmp/A"),
        ("^/tmp/a $", "/tmp/a ", "/tmp/a"),
        ("^/tmp/*", "/tmp/a", "/tmp/a/b"),
        ("^/tmp/*", "/tmp/a", "/TMP/a"),
        ("^/*", "/tmp", "/tmp/a"),
        ("^/*", "/tmp", "/"),
        ("^/tmp/*$", "/tmp/*", "/tmp/a"),
        ("/*x", "/A/*X", "/a/bx"),
        ("^^x", "^X1", "x1"),
        ("^x$$", "x$", "x"),
        ("^$", "", "/a"),
        ("istanbul", "/İSTANBUL", "/ıstanbul"),
        ("\u212aey", "/key", "/ey"),
        ("key", "/\u212aEY", "/ey"),
        ("ΑΣ", "/ΑΣΑ", "/Α"),
    ],
)
def test_contains_follows_the_reference(pattern: str, matching: str, other: str) -> None:
    """Substring and one anchor ignore case as full lower-casing does; both anchors and `^dir/*` do not."""
    node = Text("file", "~", pattern)

    assert node.mask(batch(file=[matching, other])).tolist() == [True, False]


@pytest.mark.parametrize("pattern", ["", "^", "$"])
def test_an_empty_pattern_matches_everything(pattern: str) -> None:
    """No text, and a lone anchor, are found in every value."""
    assert Text("file", "~", pattern).mask(batch(file=["", "/a"])).all()


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("/a", "/a", "/A"),
        ("", "", "/a"),
        ("/data/*", "/data/x/y", "/data"),
        ("*.log", "/x.log", "/x.LOG"),
        ("a*b*c", "abxbc", "abb"),
        ("*aa*aa*", "xaaaa", "aaa"),
        ("ab*ba", "abba", "aba"),
        ("^a$", "^a$", "a"),
        ("a*b", "a\nb", "ab "),
    ],
)
def test_equals_compares_the_whole_value(pattern: str, matching: str, other: str) -> None:
    """`=` is the whole value with its case; a star is any run, also of none, across slashes."""
    assert Text("file", "=", pattern).mask(batch(file=[matching, other])).tolist() == [True, False]


def test_a_pattern_full_of_stars_is_fast() -> None:
    """Stars cost linear time: thirty of them against a long value that almost matches are decided at once."""
    value = "a" * 4000
    events = batch(file=[value, value + "b"])

    assert Text("file", "=", "a*" * 30 + "b").mask(events).tolist() == [False, True]


def test_negations_are_the_other_rows() -> None:
    """`!~` and `!=` match exactly the rows `~` and `=` do not, file-less ones included."""
    events = batch(file=["/a", "/b", ""], old_file=["", "/a", ""])

    assert Text("file", "!=", "/a").mask(events).tolist() == [False, False, True]
    assert Text("file", "!~", "A").mask(events).tolist() == [False, False, True]


def test_file_looks_at_the_source_of_a_rename_where_there_is_one() -> None:
    """The old path matches too, but an absent one is no empty path: `^$` finds rows without a path only."""
    events = batch(file=["/new", "/b", ""], old_file=["/old", "", ""])

    assert Text("file", "~", "old").mask(events).tolist() == [True, False, False]
    assert Text("file", "~", "^$").mask(events).tolist() == [False, False, True]
    assert Text("file", "=", "").mask(events).tolist() == [False, False, True]


def test_a_row_without_a_file_is_never_its_placeholder() -> None:
    """`^5:file$` does not match a row with descriptor 5 and no file; a file of that name matches."""
    events = batch(file=["", "5:file"], fd=[5, 1])

    assert Text("file", "~", "^5:file$").mask(events).tolist() == [False, True]
    assert Text("file", "~", "file").mask(events).tolist() == [False, True]


def test_calls_that_never_return_match_no_latency_or_result() -> None:
    """No comparison of ret or latency finds exit_group or a call in flight, `!=` neither; `not` has their rows."""
    events = batch(ret=[0, 0, 0], state=["done", "no return", "in flight"])

    for dimension in ("ret", "latency"):
        for operator in ("=", "<=", ">="):
            assert Number(dimension, operator, 0).mask(events).tolist() == [True, False, False]
        assert Number(dimension, "!=", 5).mask(events).tolist() == [True, False, False]
    assert Not(Number("latency", ">=", 0)).mask(events).tolist() == [False, True, True]
    assert not Errors().mask(events).any()
    assert Number("gap", "=", 0).mask(events).all()


def test_restart_codes_are_found_by_result_but_are_no_errors() -> None:
    """A row with -512 passes `ret=-512` and does not pass `errors`."""
    events = batch(ret=[-512, -2], is_error=[False, True])

    assert Number("ret", "=", -512).mask(events).tolist() == [True, False]
    assert Errors().mask(events).tolist() == [False, True]


@pytest.mark.parametrize("value", [-(1 << 63), -1, 1 << 32, (1 << 63) - 1])
def test_values_beyond_a_column_compare_as_numbers(value: int) -> None:
    """A value no row can have is less or more than all of them, and never wraps around."""
    events = batch(pid=[0, 1, (1 << 32) - 1])

    for operator, expected in (("=", False), ("!=", True), ("<", value > 0), (">=", value < 0)):
        assert Number("pid", operator, value).mask(events).tolist() == [expected] * 3


def test_conditions_that_cannot_be_are_refused() -> None:
    """Unknown dimensions and operators, values beyond 64 bits, and an AND of one raise ValueError."""
    wrong: list[tuple[type, tuple[object, ...]]] = [
        (Number, ("comm", "=", 1)),
        (Number, ("pid", "~", 1)),
        (Number, ("pid", "=", 1 << 63)),
        (Text, ("pid", "~", "1")),
        (Text, ("comm", ">", "1")),
        (And, ((Errors(),),)),
        (Or, ((),)),
    ]
    for kind, arguments in wrong:
        with pytest.raises(ValueError, match=r"no (numeric|text)|64 bits|two parts"):
            kind(*arguments)


def test_masks_combine_and_belong_to_the_caller() -> None:
    """AND, OR, NOT work on whole batches; writing into a mask changes neither the batch nor later masks."""
    events = batch(pid=[1, 2, 3], ret=[0, -1, 5], is_error=[False, True, False], comm=["a", "b", "b"])
    tree = And((Or((Number("pid", "<", 3), Text("comm", "~", "b"))), Not(Errors())))

    assert Filter(tree).mask(events).tolist() == [True, False, True]
    assert Filter().mask(events).all()
    for node in (Errors(), Text("comm", "~", "b"), Text("comm", "=", "b"), Number("pid", ">", 1)):
        before = Filter(node).mask(events).tolist()
        Filter(node).mask(events)[:] = True
        assert Filter(node).mask(events).tolist() == before


def test_a_filter_is_taken_apart_and_put_together() -> None:
    """`parts` gives the terms of nested ANDs and leaves ORs whole; `of` makes a filter of any number of them."""
    a, b, c = Number("pid", "=", 1), Errors(), Or((Number("fd", "=", 1), Number("fd", "=", 2)))

    assert Filter(And((And((a, b)), c))).parts() == (a, b, c)
    assert Filter.of(()) == Filter()
    assert Filter.of([a]) == Filter(a)
    assert Filter.of([a, b, c]) == Filter(And((a, b, c)))
    assert not Filter().active
    assert Filter().parts() == ()
    assert list(leaves(Not(And((a, c))))) == [a, *c.parts]
    assert len({Filter(a), Filter(Number("pid", "=", 1))}) == 1


@pytest.mark.parametrize(
    ("dimension", "value", "node"),
    [
        ("comm", "bash", Text("comm", "=", "bash")),
        ("file", "", Text("file", "=", "")),
        ("file", "/a*b", Text("file", "~", "^/a*b$")),
        ("pid", 3, Number("pid", "=", 3)),
        ("ret", -2, Number("ret", "=", -2)),
        ("latency", 1500, Number("latency", ">=", 1500)),
    ],
)
def test_a_value_of_a_row_becomes_a_term(dimension: str, value: str | int, node: Node) -> None:
    """Text becomes its exact pattern, a duration a lower bound, other numbers are equal."""
    assert node_of_value(dimension, value) == node


def test_a_directory_becomes_what_lies_in_it() -> None:
    """The directory form takes the root, and a slash at the end, too; a text is no number."""
    assert node_of_value("file", "/tmp/", directory=True) == Text("file", "~", "^/tmp/*")
    assert node_of_value("file", "/", directory=True) == Text("file", "~", "^/*")
    with pytest.raises(ValueError, match="no text dimension pid"):
        node_of_value("pid", "3")


@settings(max_examples=400, deadline=None)
@given(filters(), batches())
def test_masks_equal_plain_python(wanted: Filter, events: EventBatch) -> None:
    """The vectorised mask of any filter says what a loop over the rows says."""
    mask = wanted.mask(events)

    assert mask.dtype == bool
    assert mask.tolist() == [passes(wanted.tree, row) for row in events]


def test_every_dimension_names_columns_of_the_schema() -> None:
    """The table of dimensions fits the columns, and its text dimensions are text columns; foreign ones are none."""
    events = batch(pid=[1])

    for dimension in DIMENSIONS.values():
        for name in dimension.columns:
            assert (name in events.tables) is (dimension.text and not dimension.foreign)
            assert (name in events.columns) is not dimension.foreign


@pytest.mark.parametrize(
    ("operator", "pattern", "passed"),
    [
        ("=", "load-*", [True, True, False, False]),
        ("~", "LOAD", [True, True, False, False]),
        ("!=", "load-1", [False, True, True, True]),
        ("~", "^$", [False, False, True, False]),
        ("=", "7", [False, False, False, True]),
    ],
)
def test_a_foreign_column_is_compared_as_text_and_null_is_the_empty_one(
    operator: str, pattern: str, passed: list[bool]
) -> None:
    """Whatever a file has in a column of that name."""
    ours = batch(pid=[1, 2, 3, 4])
    rows = EventBatch(dict(ours.columns), ours.tables, {"task": np.array(["load-1", "load-2", None, 7], object)})

    assert Filter(Text("task", operator, pattern)).mask(rows).tolist() == passed
    assert Filter(Text("task", operator, pattern)).mask(ours.read("pid", "task")).tolist() == [passed[2]] * 4


def test_verdicts_grow_with_their_table() -> None:
    """A string is looked at once; strings that come later are looked at when they are asked for."""
    table = StringTable(["/a", "/b"])
    first = verdicts(table, "~", "A")
    again = verdicts(table, "~", "A")
    table.intern_many(["/xa", "/y"])

    assert again is first
    assert first.tolist() == [False, True, False]
    assert verdicts(table, "~", "A").tolist() == [False, True, False, True, False]


ODD = st.text("aA\0\u0130iςσΣß^$", max_size=4)


@given(st.lists(ODD), ODD, st.sampled_from("~="))
def test_verdicts_on_many_strings_are_those_on_each(texts: list[str], pattern: str, operator: str) -> None:
    """Whatever stands in strings and pattern, also what strings are joined with."""
    table = StringTable(texts)

    assert verdicts(table, operator, pattern).tolist() == list(map(matcher(operator, pattern), table[:]))


def test_verdicts_of_a_dead_table_are_forgotten() -> None:
    """What is kept about a table does not keep it alive."""
    table = StringTable(["a"])
    verdicts(table, "~", "a")
    watch = weakref.ref(table)
    del table
    gc.collect()

    assert watch() is None


def test_verdicts_stay_right_when_more_patterns_come_than_are_kept() -> None:
    """Only the last patterns are kept for a table; older ones are decided anew."""
    table = StringTable(["a", "b"])
    for n in range(200):
        verdicts(table, "~", f"a{n}")

    assert verdicts(table, "~", "a0").tolist() == [False, False, False]
    assert verdicts(table, "~", "a").tolist() == [False, True, False]


def test_verdicts_may_be_asked_for_by_several_threads() -> None:
    """Threads that ask while the table grows all get right and complete answers."""
    tables = new_tables()
    wrong: list[str] = []

    def work(seed: int) -> None:
        for n in range(200):
            names = [f"/{seed}/{n}/a", f"/{seed}/{n}/b"]
            events = batch(tables, file=list(names))
            if Text("file", "~", "a$").mask(events).tolist() != [True, False]:
                wrong.append(names[0])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_folding_keeps_one_character_for_one() -> None:
    """Each character folds to one, alike in every neighbourhood; two letters alone grow in UTF-8 by it."""
    letters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    folded = [fold(c) for c in letters]
    growing = {c for c, f in zip(letters, folded, strict=True) if len(f.encode()) > len(c.encode())}

    assert all(len(f) == 1 for f in folded)
    assert fold("".join(letters)) == "".join(folded)
    assert growing == {"Ⱥ", "Ⱦ"}


@pytest.mark.parametrize(
    ("operator", "pattern", "length"),
    [
        ("~", "^123456789012345$", 15),
        ("~", "^abc", 3),
        ("~", "abc$", 3),
        ("~", "^d/*", 3),
        ("~", "^", 0),
        ("~", "\u212a\u212a", 2),
        ("~", "ⱥ", 2),
        ("~", "İ", 1),
        ("=", "\u212a", 3),
        ("=", "a*b*", 2),
        ("=", r"a\xff", 2),
        ("=", "é", 2),
    ],
)
def test_the_shortest_match_is_measured_in_the_kernels_bytes(operator: str, pattern: str, length: int) -> None:
    """Anchors and stars count nothing, the shorter case counts, and an escaped byte is one."""
    assert shortest_match(operator, pattern) == length


def test_a_pushdown_masks_what_the_kernel_would_keep_out() -> None:
    """Each field alone keeps out the rows that do not meet it; none of them lets everything through."""
    events = batch(
        pid=[1, 2, 2, 2],
        tid=[1, 2, 3, 3],
        syscall=["read", "write", "read", "exit"],
        latency_ns=[5, 10, 15, 0],
        is_error=[False, True, False, False],
        comm=["a*b", "a*bc", "axb", ""],
        state=["done", "done", "done", "no return"],
    )
    cases = [
        (Pushdown(), [True, True, True, True]),
        (Pushdown(pid=2), [False, True, True, True]),
        (Pushdown(tid=3), [False, False, True, True]),
        (Pushdown(calls=((0, "read"), (999, "never"))), [True, False, True, False]),
        (Pushdown(calls=()), [False, False, False, False]),
        (Pushdown(latency_min_ns=0), [True, True, True, False]),
        (Pushdown(latency_min_ns=6, latency_max_ns=14), [False, True, False, False]),
        (Pushdown(latency_max_ns=10), [True, True, False, False]),
        (Pushdown(errors_only=True), [False, True, False, False]),
        (Pushdown(comm="a*b"), [True, False, False, False]),
        (Pushdown(comm="a", comm_prefix=True), [True, True, True, False]),
    ]

    for pushed, expected in cases:
        assert pushed.mask(events).tolist() == expected
        assert pushed.active is (pushed != Pushdown())
    assert Pushdown(calls=((0, "read"),)).numbers == frozenset({0})
    assert Pushdown().numbers is None


def test_a_pushdown_refuses_names_no_thread_can_have() -> None:
    """More than 15 bytes are no name of a thread, and a beginning has no star."""
    with pytest.raises(ValueError, match="15 bytes"):
        Pushdown(comm="é" * 8)
    with pytest.raises(ValueError, match="star"):
        Pushdown(comm="a*", comm_prefix=True)


@pytest.mark.parametrize(
    ("pushed", "matching", "other"),
    [
        (Pushdown(comm="bash"), "bash", "bash2"),
        (Pushdown(comm="bash", comm_prefix=True), "bash2", "bas"),
        (Pushdown(comm="x" * 15), "x" * 15, "x" * 14),
        (Pushdown(comm="é"), "é", "e"),
    ],
)
def test_the_words_of_a_name_compare_as_the_kernel_compares(pushed: Pushdown, matching: str, other: str) -> None:
    """Value and mask over the NUL-padded name decide as the mask of the rows does."""
    value, mask = (int.from_bytes(word, "little") for word in pushed.comm_words)

    def kernel(name: str) -> bool:
        return (int.from_bytes(name.encode().ljust(16, b"\0"), "little") ^ value) & mask == 0

    assert [kernel(matching), kernel(other)] == [True, False]
    assert pushed.mask(batch(comm=[matching, other])).tolist() == [True, False]
    assert Pushdown().comm_words == (bytes(16), bytes(16))


def test_masks_of_an_empty_batch_are_empty() -> None:
    """A batch without rows gives a mask without rows."""
    events = EventBatch.empty()
    tree = Or((Text("file", "~", "a"), Number("latency", ">", 1), Errors(), Text("comm", "=", "x")))

    assert np.array_equal(Filter(tree).mask(events), np.zeros(0, bool))
    assert len(Pushdown(pid=1, comm="a", calls=()).mask(events)) == 0


@pytest.mark.parametrize(
    "leaf",
    [
        Errors(),
        Probes(),
        Mine(),
        *(Text(name, "~", "a") if row.text else Number(name, ">=", 1) for name, row in DIMENSIONS.items()),
    ],
    ids=str,
)
def test_the_columns_a_mask_looks_at_are_known(leaf: Leaf) -> None:
    """Rows that stay in files are read by them: a mask finds no other column there."""
    wanted = Filter(Or((leaf, Not(leaf))))

    assert wanted.mask(batch(syscall=["read"] * 3).read(*columns_of(wanted))).all()
