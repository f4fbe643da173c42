// The rows of the stream: what its view shows, without a page.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { COLUMNS, HELD, narrowable, Rows, textsOf, tsv } from "../../ior_nb/widgets/js/rows.js";

const TEXTS = ["comm", "syscall", "family", "file", "old_file", "label", "host"];
const USUAL = { kind: 0, time: 0, gap: 500, latency: 1500, pid: 7, tid: 7, fd: 3, ret: 0, bytes: 0 };
const CALL = { ...USUAL, comm: "python", syscall: "read", family: "FS", file: "/data/a", old_file: "", label: "" };

/** A message as stream.py sends it; a row is what differs from CALL. */
function part(number, rows, { why = "", fresh = -1, skipped = 0 } = {}) {
  const whole = rows.map((row) => ({ ...CALL, ...row }));
  const names = Object.keys(whole[0] ?? CALL); // of several hosts theirs
  const words = [...new Set(whole.flatMap((row) => TEXTS.map((name) => row[name] ?? "")))];
  const columns = {},
    buffers = [];
  for (const name of new Set(["seq", ...names])) {
    const values = whole.map((row) => (TEXTS.includes(name) ? words.indexOf(row[name]) : row[name]));
    columns[name] = { t: "f8" };
    buffers.push(new DataView(Float64Array.from(values).buffer));
  }
  columns.words = { t: "s", n: words.length };
  buffers.push(new DataView(new TextEncoder().encode(words.join("\0")).buffer));
  return [{ part: number, why, fresh, skipped, errors: { "-2": "ENOENT" }, columns }, buffers];
}
const numbered = (first, last, more = {}) =>
  Array.from({ length: last - first + 1 }, (_, i) => ({ seq: first + i, ...more }));
const shown = (rows) => rows.shown.map((row) => row.seq);
const column = (name) => COLUMNS.findIndex((one) => one.name === name);

let rows;
beforeEach(() => {
  rows = new Rows();
  rows.take(...part(1, numbered(1, 3), { why: "again" }));
});

test("new rows come after those there are", () => {
  assert.equal(rows.take(...part(2, numbered(4, 5))), true);
  assert.deepEqual(shown(rows), [1, 2, 3, 4, 5]);
});

test("a part after a missing one is not taken", () => {
  assert.equal(rows.take(...part(3, numbered(6, 7))), false);
  assert.deepEqual(shown(rows), [1, 2, 3]);
});

test("a view that has no part yet takes none that is about others", () => {
  const fresh = new Rows();

  assert.equal(fresh.take(...part(9, numbered(1, 2))), false);
  assert.equal(fresh.part, -1);
});

test("what is sent again for another view adds only its new rows", () => {
  rows.take(...part(2, numbered(2, 5), { why: "again", fresh: 2 }));

  assert.deepEqual(shown(rows), [1, 2, 3, 4, 5]);
});

test("what is sent again and knows no row of ours takes the place of all", () => {
  rows.take(...part(2, numbered(1, 2), { why: "again" }));

  assert.deepEqual(shown(rows), [1, 2]);
});

test("after a gap all rows take the place of those there were", () => {
  rows.take(...part(7, numbered(20, 22), { why: "again", fresh: 1 }));

  assert.deepEqual(shown(rows), [20, 21, 22]);
});

test("the oldest rows go where too many are kept", () => {
  rows.take(...part(2, numbered(4, HELD + 2)));

  assert.equal(rows.shown.length, HELD);
  assert.equal(rows.shown[0].seq, 3);
});

test("rows that came too fast are counted until all are there again", () => {
  rows.take(...part(2, numbered(900, 902), { why: "cut", skipped: 896 }));
  assert.equal(rows.cut, 896);
  rows.take(...part(3, numbered(903, 903)));

  assert.equal(rows.cut, 0);
});

test("a frozen view stays as it is and counts what waits", () => {
  rows.freeze(true);
  rows.take(...part(2, numbered(4, 6)));
  assert.deepEqual([shown(rows), rows.waiting], [[1, 2, 3], 3]);
  rows.freeze(false);

  assert.deepEqual([shown(rows), rows.waiting], [[1, 2, 3, 4, 5, 6], 0]);
});

test("another filter replaces also what is frozen, and leaves the selection", () => {
  rows.freeze(true);
  rows.select(1);
  rows.take(...part(2, numbered(2, 2), { why: "filter" }));

  assert.deepEqual([shown(rows), rows.waiting, rows.cursor], [[2], 0, 2]);
});

test("another trace ends selection and descriptor", () => {
  rows.select(0);
  rows.follow();
  rows.take(...part(2, numbered(1, 2, { fd: 9 }), { why: "stream" }));

  assert.deepEqual([shown(rows), rows.cursor, rows.selected.size, rows.trace], [[1, 2], null, 0, null]);
});

test("a column sorts by its useful end, then by the other, then not at all", () => {
  const rest = [
    { seq: 4, latency: 900 },
    { seq: 5, latency: 9000 },
    { seq: 6, kind: 3, latency: 0 },
  ];
  rows.take(...part(2, rest));
  const orders = [1, 2, 3].map(() => {
    rows.order(column("latency"));
    return shown(rows);
  });

  assert.deepEqual(orders, [
    [5, 1, 2, 3, 4, 6],
    [6, 4, 1, 2, 3, 5],
    [1, 2, 3, 4, 5, 6],
  ]);
});

test("reversed, a column begins with the other end", () => {
  rows.order(column("seq"), true);

  assert.deepEqual(shown(rows), [3, 2, 1]);
});

test("rows are sorted as they come", () => {
  rows.order(column("seq"), true);
  rows.take(...part(2, numbered(4, 4)));

  assert.deepEqual(shown(rows), [4, 3, 2, 1]);
});

test("one descriptor is that of a process", () => {
  rows.take(...part(2, [{ seq: 4, fd: 5 }, { seq: 5, pid: 8 }, { seq: 6 }]));
  rows.select(0);

  assert.equal(rows.follow(), true);
  assert.deepEqual(shown(rows), [1, 2, 3, 6]);
  assert.equal(rows.follow(), true);
  assert.equal(shown(rows).length, 6);
});

test("a row without a descriptor has none to follow", () => {
  rows.take(...part(2, [{ seq: 4, fd: -1 }]));
  rows.select(3);

  assert.equal(rows.follow(), false);
  assert.equal(shown(rows).length, 4);
});

test("a selection extends from where it began, on both sides", () => {
  rows.take(...part(2, numbered(4, 6)));
  rows.select(2);
  rows.select(4, { extend: true });
  assert.deepEqual([...rows.selected], [3, 4, 5]);
  rows.select(0, { extend: true });

  assert.deepEqual([...rows.selected], [1, 2, 3]);
});

test("a row beside the others is added, and taken away again", () => {
  rows.select(0);
  rows.select(2, { toggle: true });
  assert.deepEqual(
    rows.chosen().map((row) => row.seq),
    [1, 3],
  );
  rows.select(0, { toggle: true });

  assert.deepEqual(
    rows.chosen().map((row) => row.seq),
    [3],
  );
});

test("a place outside selects the nearest row", () => {
  rows.select(99);

  assert.equal(rows.current().seq, 3);
});

test("small letters match capitals, capitals only themselves, an escape is no capital", () => {
  rows.take(...part(2, [{ seq: 4, file: "/DATA/a" }]));
  const found = ["data", "DATA", "\\Sata", "d\\Wx"].map((text) => {
    rows.search(text);
    return rows.count(1000).total;
  });

  assert.deepEqual(found, [4, 1, 4, 0]);
});

test("an expression that is none finds nothing and says why", () => {
  assert.match(rows.search("("), /Unterminated group/);
  assert.equal(rows.next(1), -1);
});

test("the next match is found in both directions, round the ends", () => {
  rows.take(...part(2, [{ seq: 4, file: "/other" }, { seq: 5 }]));
  rows.search("data");
  rows.select(2);

  assert.equal(rows.next(1), 4);
  assert.equal(rows.next(-1), 1);
  rows.select(4);
  assert.equal(rows.next(1), 0);
});

test("only the columns shown are searched", () => {
  rows.search("data");
  rows.searchIn([column("syscall")]);

  assert.deepEqual(rows.count(1000), { total: 0, at: 0, more: false });
});

test("counting says which match the current row is, and stops when its time is over", () => {
  rows.search("data");
  rows.select(1);

  assert.deepEqual(rows.count(-1), { total: 0, at: 0, more: true });
  assert.deepEqual(rows.count(1000), { total: 3, at: 2, more: false });
  assert.deepEqual(rows.count(-1), { total: 3, at: 2, more: false }); // known by now
});

test("matches are marked where they are; an empty one is none", () => {
  rows.search("a*");

  assert.deepEqual(rows.spans("caab a"), [
    [1, 3],
    [5, 6],
  ]);
});

test("a row says what there is to say, in the words of its kind", () => {
  const [failed, flying, first, moved, warning] = [
    { seq: 4, kind: 1, ret: -2 },
    { seq: 5, kind: 3 },
    { seq: 6, kind: 8 },
    { seq: 7, file: "/b", old_file: "/a\u202e", bytes: 1010 * 1024, ret: 2 ** 40 },
    { seq: 8, kind: 10, file: "lost 7 calls" },
  ];
  rows.take(...part(2, [failed, flying, first, moved, warning]));
  const texts = rows.shown.slice(3).map(textsOf);

  assert.equal(texts[0][column("ret")], "-2 ENOENT");
  assert.equal(texts[1][column("latency")], "in flight");
  assert.equal(texts[2][column("gap")], "–");
  assert.equal(texts[3][column("file")], "/b ← /a\\u202e");
  assert.equal(texts[3][column("bytes")], "1.0 MiB");
  assert.equal(texts[3][column("ret")], "0x10000000000");
  assert.deepEqual(texts[4], [...Array(COLUMNS.length - 1).fill(""), "lost 7 calls"]);
});

test("a cell narrows by what the filter knows and the row has", () => {
  rows.take(
    ...part(2, [
      { seq: 4, kind: 3, fd: -1, file: "" },
      { seq: 5, kind: 10 },
    ]),
  );
  const [call, , , flying, warning] = rows.shown;
  const of = (row) => COLUMNS.filter((_, at) => narrowable(row, at)).map((one) => one.name);

  assert.deepEqual(of(call), ["gap", "latency", "comm", "pid", "tid", "syscall", "fd", "ret", "file"]);
  assert.deepEqual(of(flying), ["gap", "comm", "pid", "tid", "syscall"]);
  assert.deepEqual(of(warning), []);
});

test("copied rows are numbers as they are, names made harmless", () => {
  rows.take(
    ...part(2, [
      { seq: 4, file: "a\tb" },
      { seq: 5, kind: 10, file: "lost" },
    ]),
  );
  const [head, call, warning] = tsv(rows.shown.slice(3)).split("\n");

  assert.equal(head, "seq\tsince_first_ns\tgap_ns\tlatency_ns\tcomm\tpid\ttid\tsyscall\tfd\tret\tbytes\tlabel\tfile");
  assert.equal(call, "4\t0\t500\t1500\tpython\t7\t7\tread\t3\t0\t0\t\ta\\x09b");
  assert.equal(warning, `${"\t".repeat(12)}lost`);
});

test("rows are labelled from the first one on that has a label", () => {
  const before = rows.labelled;
  rows.take(...part(2, [{ seq: 4, label: "epoch 3" }]));
  rows.take(...part(3, [{ seq: 5 }]));

  assert.equal(before, false);
  assert.equal(rows.labelled, true);
  assert.equal(textsOf(rows.shown[3])[column("label")], "epoch 3");
});

const fleet = () =>
  part(
    2,
    [
      { seq: 1, host: "ada" },
      { seq: 2, host: "" },
      { seq: 3, host: "\u202ebob" },
    ],
    { why: "stream" },
  );

test("a descriptor is that of a process of one host", () => {
  rows.take(...fleet());
  rows.select(2);
  rows.follow();

  assert.deepEqual(
    rows.shown.map((row) => row.host.shown),
    ["\\u202ebob"],
  );
});

test("the column of hosts is there where there are several", () => {
  const before = rows.hosted;
  rows.take(...fleet());

  assert.deepEqual([before, rows.hosted], [false, true]);
  assert.match(tsv(rows.shown), /^seq\t.*\thost\tcomm\t/);
});
