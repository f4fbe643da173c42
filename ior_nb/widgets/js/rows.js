// The rows of the stream, apart from the page: they come in numbered parts (stream.py), are held still, sorted,
// searched and selected.

import { unpacked } from "./panel.js";
import { grouped, printable, showBytes, showNs } from "./text.js";

/** How many are kept. */
export const HELD = 10000;
/** Kinds of a row, as stream.py numbers them. */
export const FAILED = 1;
export const WARNING = 2;
const UNFINISHED = 3;

/** @typedef {{ raw: string, shown: string }} Word */
/**
 * @typedef {object} Row
 * @property {number | string} key
 * @property {number} kind
 * @property {boolean} first whether its gap means nothing
 * @property {boolean} probe whether its failure is none
 * @property {number} seq
 * @property {number} time
 * @property {number} gap
 * @property {number} latency
 * @property {Word} host empty where there is one alone
 * @property {Word} comm
 * @property {number} pid
 * @property {number} tid
 * @property {Word} syscall
 * @property {string} family
 * @property {number} fd
 * @property {number} ret
 * @property {string | undefined} error the name of what failed
 * @property {number} bytes
 * @property {Word} file
 * @property {Word | null} old
 * @property {Word} label
 * @property {string[] | null} cells the texts of its columns, once they have been asked for
 * @property {number} generation of the search that was the last to look at it
 * @property {boolean} hit what that search found
 */
/**
 * @typedef {object} Column
 * @property {string} name that of the property of a row
 * @property {string} [title]
 * @property {number} width
 * @property {boolean} [num]
 * @property {number} [drop] which columns go first where it is narrow
 * @property {string} [dim] what the dashboard's filter calls it
 * @property {1 | -1} [natural] the direction of the first sort: the useful end first
 * @property {string} doc
 * @property {(r: Row) => number | string} key what is sorted by
 * @property {(r: Row) => string} text
 */

/** As showBytes, but `1.0 MiB` where that has `1,010.0 KiB`: the column is narrow. */
function shortBytes(count) {
  if (count < 1000) return `${count} B`;
  for (const [unit, size] of /** @type {const} */ ([
    ["KiB", 2 ** 10],
    ["MiB", 2 ** 20],
  ])) {
    if (count < 999.95 * size) return `${grouped(count / size, 1)} ${unit}`;
  }
  return showBytes(count);
}

/** @returns {Column} that shows a number as it is */
function number(name, width, doc) {
  return { name, width, num: true, dim: name, doc, key: (r) => r[name], text: (r) => String(r[name]) };
}

/** @returns {Column} that shows a word */
function word(name, width, doc) {
  return { name, width, dim: name, doc, key: (r) => r[name].shown, text: (r) => r[name].shown };
}

/** @type {Column[]} */
export const COLUMNS = [
  {
    name: "seq",
    title: "#",
    width: 66,
    num: true,
    drop: 1,
    doc: "number of the row, in order of completion",
    key: (r) => r.seq,
    text: (r) => String(r.seq),
  },
  {
    name: "time",
    title: "time (s)",
    width: 92,
    num: true,
    drop: 4,
    doc: "start of the call, seconds since the first row",
    key: (r) => r.time,
    text: (r) => (r.time / 1e9).toFixed(6),
  },
  {
    name: "gap",
    width: 70,
    num: true,
    drop: 2,
    dim: "gap",
    natural: -1,
    doc: "time since the end of the thread's previous call",
    key: (r) => (r.first ? -1 : r.gap),
    text: (r) => (r.first ? "–" : showNs(r.gap)),
  },
  {
    name: "latency",
    width: 74,
    num: true,
    dim: "latency",
    natural: -1,
    doc: "duration of the call",
    key: (r) => (r.kind >= UNFINISHED ? -1 : r.latency),
    text: (r) =>
      r.kind < UNFINISHED ? (r.latency ? showNs(r.latency) : "–") : r.kind === UNFINISHED ? "in flight" : "–",
  },
  { ...word("host", 100, "machine it ran on"), drop: 11 },
  { ...word("comm", 112, "name of the thread"), drop: 8 },
  { ...number("pid", 66, "process"), drop: 7 },
  { ...number("tid", 66, "thread"), drop: 3 },
  word("syscall", 126, "system call; the colour is its family's"),
  { ...number("fd", 44, "descriptor"), drop: 6, text: (r) => (r.fd < 0 ? "" : String(r.fd)) },
  {
    name: "ret",
    width: 104,
    num: true,
    drop: 9,
    dim: "ret",
    doc: "return value, the error's name where it failed",
    key: (r) => r.ret,
    text: (r) =>
      r.kind >= UNFINISHED
        ? ""
        : r.error !== undefined
          ? `${r.ret} ${r.error}`
          : Math.abs(r.ret) < 2 ** 32
            ? String(r.ret)
            : `0x${r.ret.toString(16)}`,
  },
  {
    name: "bytes",
    width: 82,
    num: true,
    drop: 5,
    dim: "bytes",
    natural: -1,
    doc: "bytes moved",
    key: (r) => r.bytes,
    text: (r) => (r.bytes ? shortBytes(r.bytes) : ""),
  },
  { ...word("label", 130, "what the user called the work: ior_nb.label"), drop: 10 },
  {
    ...word("file", 220, "file acted on ← source of a rename or link"),
    text: (r) => (r.old ? `${r.file.shown} ← ${r.old.shown}` : r.file.shown),
  },
];
const LAST = COLUMNS.length - 1;
/** @type {Word} */
const NONE = { raw: "", shown: "" };

/** The texts of a row, one for each column. */
export function textsOf(row) {
  row.cells ??=
    row.kind === WARNING ? [...Array(LAST).fill(""), row.file.shown] : COLUMNS.map((column) => column.text(row));
  return row.cells;
}

/** Whether a cell has a value the filter can ask for. */
export function narrowable(row, at) {
  const text = textsOf(row)[at];
  if (row.kind === WARNING || !COLUMNS[at].dim || ["", "–", "in flight"].includes(text)) return false;
  return at !== LAST || row.file.raw !== "";
}

/** The rows of a message; of those of `last` only so many, the last ones. */
function decoded({ columns, errors }, buffers, last) {
  const packed = Object.entries(columns).map(([name, column], i) => [name, { ...column, b: buffers[i] }]);
  const c = unpacked(Object.fromEntries(packed));
  const words = c.words.map((raw) => ({ raw, shown: printable(raw) }));
  /** @type {Row[]} */
  const rows = [];
  for (let i = Math.max(0, c.seq.length - last); i < c.seq.length; i++) {
    const kind = c.kind[i] & 7;
    rows.push({
      key: kind === WARNING ? `w${c.time[i]}` : c.seq[i],
      kind,
      first: Boolean(c.kind[i] & 8),
      probe: Boolean(c.kind[i] & 16),
      seq: c.seq[i],
      time: c.time[i],
      gap: c.gap[i],
      latency: c.latency[i],
      host: c.host ? words[c.host[i]] : NONE,
      comm: words[c.comm[i]],
      pid: c.pid[i],
      tid: c.tid[i],
      syscall: words[c.syscall[i]],
      family: words[c.family[i]].raw,
      fd: c.fd[i],
      ret: c.ret[i],
      error: kind === FAILED || c.kind[i] & 16 ? errors[c.ret[i]] : undefined,
      bytes: c.bytes[i],
      file: words[c.file[i]],
      old: words[c.old_file[i]].raw ? words[c.old_file[i]] : null,
      label: words[c.label[i]],
      cells: null,
      generation: -1,
      hit: false,
    });
  }
  return rows;
}

export class Rows {
  /** Number of the last part; -1 before the first. */
  part = -1;
  /** Rows that came too fast to be sent. */
  cut = 0;
  /** @type {Row[]} */
  ring = [];
  /** @type {Row[] | null} The rows while they are held still. */
  frozen = null;
  /** Rows that have come since. */
  waiting = 0;
  /** @type {Row[]} */
  shown = [];
  /** @type {{ column: number, direction: number } | null} */
  sort = null;
  /** @type {{ host: Word, pid: number, fd: number, comm: string } | null} The one descriptor whose rows are shown. */
  trace = null;
  /** @type {Set<number | string>} Keys. */
  selected = new Set();
  /** @type {number | string | null} Key of the row the keyboard is on. */
  cursor = null;
  /** @type {number | string | null} Key of the row a selection extends from. */
  from = null;
  /** @type {RegExp | null} */
  pattern = null;
  /** Number of the search: what an earlier one found is stale. */
  generation = 0;
  /** Whether any row so far had a label. */
  labelled = false;
  /** Whether they are of several hosts. */
  hosted = false;
  /** The columns that are searched. */
  columns = [...COLUMNS.keys()];

  /** Take a part; false when it cannot be, because one before it is missing. */
  take(content, buffers) {
    const { why, fresh, skipped } = content;
    const fits = this.part >= 0 && content.part === this.part + 1;
    if (!why && !fits) return false;
    this.part = content.part;
    const adds = fits && (!why || (why === "again" && fresh >= 0));
    const rows = decoded(content, buffers, adds && why ? fresh : Number.POSITIVE_INFINITY);
    this.hosted = "host" in content.columns;
    this.labelled ||= rows.some((row) => row.label.raw);
    if (this.frozen) this.waiting += adds ? rows.length : fresh > 0 ? fresh : rows.length + skipped;
    if (adds) {
      this.ring.push(...rows);
      if (this.ring.length > HELD) this.ring.splice(0, this.ring.length - HELD);
    } else this.ring = rows;
    if (why !== "again") this.cut = why === "cut" ? skipped : 0;
    if (why === "filter" || why === "stream") {
      // another filter was asked for: a frozen view of the last one is of no use
      if (this.frozen) {
        this.frozen = this.ring.slice();
        this.waiting = 0;
      }
      if (why === "stream") {
        this.trace = null;
        this.selectNone();
      }
    }
    this.arrange();
    return true;
  }

  arrange() {
    const { trace, sort } = this;
    this.shown = this.frozen ?? this.ring;
    if (trace) {
      const { host, pid, fd } = trace;
      this.shown = this.shown.filter((r) => r.pid === pid && r.fd === fd && r.host.raw === host.raw);
    }
    if (!sort) return;
    const { key } = COLUMNS[sort.column],
      { direction } = sort;
    this.shown = this.shown.slice().sort((a, b) => {
      const x = key(a),
        y = key(b);
      return x < y ? -direction : x > y ? direction : 0;
    });
  }

  /** Hold what is shown still, or follow what comes. */
  freeze(wanted) {
    if (wanted === Boolean(this.frozen)) return;
    this.frozen = wanted ? this.ring.slice() : null; // rows are never changed: the copy is of references
    this.waiting = 0;
    this.arrange();
  }

  /**
   * Sort by a column: its natural end first, then the other, then as they came; `reverse` begins with the other end.
   *
   * @param {number} column
   */
  order(column, reverse = false) {
    const natural = COLUMNS[column].natural ?? 1,
      { sort } = this;
    if (reverse) this.sort = { column, direction: sort?.column === column ? -sort.direction : -natural };
    else if (sort?.column !== column) this.sort = { column, direction: natural };
    else this.sort = sort.direction === natural ? { column, direction: -natural } : null;
    this.arrange();
  }

  /** Show only the rows of the current row's descriptor, or all again; false when it has none. */
  follow() {
    const row = this.current();
    if (this.trace) this.trace = null;
    else if (row && row.kind !== WARNING && row.fd >= 0)
      this.trace = { host: row.host, pid: row.pid, fd: row.fd, comm: row.comm.shown };
    else return false;
    this.arrange();
    return true;
  }

  // ---- selection

  current() {
    return this.shown[this.place()] ?? null;
  }

  /** Where the current row is; -1 when it is not shown. */
  place() {
    return this.cursor === null ? -1 : this.shown.findIndex((r) => r.key === this.cursor);
  }

  /** Select the row at a place, or the nearest there is; `extend` also those between, `toggle` beside the others. */
  select(place, { extend = false, toggle = false } = {}) {
    const row = this.shown[Math.max(0, Math.min(this.shown.length - 1, place))];
    if (toggle) {
      if (!this.selected.delete(row.key)) this.selected.add(row.key);
      this.from = row.key;
    } else if (extend && this.from !== null) {
      const a = this.shown.findIndex((r) => r.key === this.from),
        b = this.shown.indexOf(row);
      const between = this.shown.slice(Math.max(0, Math.min(a, b)), Math.max(a, b) + 1);
      this.selected = new Set(between.map((r) => r.key));
    } else {
      this.selected = new Set([row.key]);
      this.from = row.key;
    }
    this.cursor = row.key;
  }

  selectNone() {
    this.selected.clear();
    this.cursor = null;
  }

  /** The selected rows that are shown. */
  chosen() {
    return this.shown.filter((r) => this.selected.has(r.key));
  }

  // ---- search

  /** Search for a regular expression; small letters match capitals too. Returns what is wrong with it. */
  search(text) {
    this.pattern = null;
    this.generation++;
    if (!text) return "";
    try {
      this.pattern = new RegExp(text, /\p{Lu}/u.test(text.replace(/\\./g, "")) ? "" : "i");
    } catch (problem) {
      return problem.message.replace(/^Invalid regular expression: /, "");
    }
    return "";
  }

  /** Search in these columns only. */
  searchIn(columns) {
    this.columns = columns;
    this.generation++;
  }

  hits(row) {
    if (row.generation !== this.generation) {
      const texts = textsOf(row);
      row.generation = this.generation;
      row.hit = this.columns.some((at) => this.pattern?.test(texts[at]));
    }
    return row.hit;
  }

  /** Count the matches for at most so many milliseconds: how many, which of them is the current row, and whether there
   * may be more. What has been looked at once takes no time. */
  count(most) {
    const until = performance.now() + most;
    let total = 0,
      at = 0;
    for (const row of this.shown) {
      if (row.generation !== this.generation && performance.now() > until) return { total, at, more: true };
      if (!this.hits(row)) continue;
      total++;
      if (row.key === this.cursor) at = total;
    }
    return { total, at, more: false };
  }

  /** The place of the next match, round the end; -1 when there is none. */
  next(step) {
    const length = this.pattern ? this.shown.length : 0;
    let at = this.cursor === null ? (step > 0 ? -1 : length) : this.place();
    for (let i = 0; i < length; i++) {
      at = (at + step + length) % length;
      if (this.hits(this.shown[at])) return at;
    }
    return -1;
  }

  /** Where in a text the matches are: pairs of begin and end. */
  spans(text) {
    if (!this.pattern) return [];
    const matches = [...text.matchAll(new RegExp(this.pattern, `${this.pattern.flags}g`))].filter((match) => match[0]);
    return matches.map((match) => [match.index, match.index + match[0].length]);
  }
}

/** Rows as text for the clipboard: all columns, tab separated, numbers as they are. */
export function tsv(rows) {
  const unit = { time: "since_first_ns", gap: "gap_ns", latency: "latency_ns" };
  const raw = (row, { name }) =>
    row.kind === WARNING ? (name === "file" ? row.file.shown : "") : (row[name].shown ?? row[name]);
  const columns = COLUMNS.filter((c) => c.name !== "host" || rows.some((row) => row.host.raw));
  const lines = [columns.map((c) => unit[c.name] ?? c.name), ...rows.map((row) => columns.map((c) => raw(row, c)))];
  return lines.map((line) => line.join("\t")).join("\n");
}
