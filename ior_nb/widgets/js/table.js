// A table of rows with keys, and what the tables have in common.

import { copyText } from "./copy.js";
import { node, svg, write } from "./dom.js";
/** @import { View } from "./panel.js" */

import { NOTHING_YET } from "./panel.js";
import { printable, SHOW, showCount, showShare } from "./text.js";

/**
 * @typedef {object} Column `d` and `i` are the columns of data and the number of the row
 * @property {string} key
 * @property {string} title
 * @property {string} [tip]
 * @property {keyof typeof SHOW} kind how it is shown
 * @property {number} width px
 * @property {boolean} [grow] takes the room that is left
 * @property {number} [drop] of the columns that do not fit, the one with the largest goes first
 * @property {() => boolean} [off] whether it is not offered now
 * @property {boolean} [up] its first sort is upwards though it is a number
 * @property {boolean} [least] whether its numbers may be too small where calls have no row
 * @property {boolean} [share] whether its numbers are parts of a total
 * @property {(d: any, i: number) => any} [value] what is sorted by, NaN for none
 * @property {(d: any, i: number) => Node | string} [make] what is shown in place of a text
 * @property {(d: any, i: number) => string} [made] what `make` depends on
 * @property {(d: any, i: number) => string} [hint]
 * @property {(d: any, i: number) => object | null} [narrow] what a click pushes onto the filter
 * @property {(totals: any, d: any) => any} [total]
 * @property {(value: number) => string} [grade]
 */

const ROW = 25; // px, as in table.css
const ONE = {
  "system calls": "system call",
  families: "family",
  files: "file",
  directories: "directory",
  processes: "process",
  lines: "line",
};
const SPECIAL = {
  other: "all that have no row of their own",
  none: "calls that are about none",
  unrecorded: "calls the kernel only counted: sampled out, or lost",
};

/** What a search box means: /a regular expression/, or a part of the text; case does not count. */
export function matcher(query) {
  const part = query.toLowerCase(),
    matches = (text) => text.toLowerCase().includes(part);
  if (query.length < 3 || !query.startsWith("/") || !query.endsWith("/")) return { matches, wrong: "" };
  try {
    const wanted = new RegExp(query.slice(1, -1), "iu");
    return { matches: (text) => wanted.test(text), wrong: "" };
  } catch (problem) {
    return { matches, wrong: problem.message };
  }
}

/** Two or more choices as buttons; `pick(value)` hears of a click. */
export function choices(label, offered, pick) {
  const buttons = offered.map(([value, text, title]) =>
    node("button", { "aria-pressed": "false", title, onclick: () => set(value, true) }, text),
  );
  function set(value, told = false) {
    for (const [at, [other]] of offered.entries()) buttons[at].setAttribute("aria-pressed", String(other === value));
    if (told) pick(value);
  }
  set(offered[0][0]);
  return node("span", { class: "tb-choices", role: "group", "aria-label": label }, ...buttons);
}

/**
 * Make a table.
 *
 * @param {View} view
 * @param {object} what
 * @param {string} what.noun what its rows are
 * @param {string} [what.label]
 * @param {Column[]} what.columns
 * @param {(d: any, i: number) => string} what.keyOf names a row over refreshes
 * @param {(d: any, i: number) => string[]} what.texts what is searched
 * @param {string} [what.main] the number sorted by at first
 * @param {(key: string) => void} [what.onsort]
 */
export function table(view, { noun, label, columns, keyOf, texts, main = "count", onsort }) {
  for (const column of columns) column.value ??= (d, i) => d[column.key][i];
  /** @type {any} */
  let d = null; // the columns shown
  let totals = {},
    count = 0,
    regular = 0,
    at = new Map(); // key -> row number in d
  let order = [];
  /** @type {{ column: any, down: boolean }} */
  let sorted = { column: columns.find((c) => c.key === main), down: true };
  let current = null,
    picked = 0,
    query = "",
    wanted = matcher(""),
    width = 1000,
    all = false,
    shown = [],
    layout = 0,
    named = noun;
  const rows = new Map(); // key -> tr
  const numeric = (column) => column.kind !== "text";

  const search = node("input", {
    type: "search",
    placeholder: "search, or /regex/",
    "aria-label": `search ${noun}`,
    class: "tb-search",
    oninput: () => find(search.value),
    onkeydown: (event) => {
      if (event.key === "ArrowDown" && order.length) {
        event.preventDefault();
        focus(0);
      } else if (event.key === "Escape") {
        event.preventDefault();
        search.value = "";
        find("");
      }
    },
  });
  const note = node("span", { class: "ior-dim tb-note", role: "status" });
  const held = node("span", {
    class: "ior-dim tb-held",
    title: "rows keep their places while the pointer is over them; numbers go on",
  });
  const more = node("button", {
    onclick: () => {
      all = !all;
      fit(width);
    },
  });
  const copy = node(
    "button",
    {
      title: "copy all rows shown, with all columns, as tab-separated text",
      onclick: async () => {
        write(
          copy,
          (await copyText(
            tsv(
              order.map((key) => at.get(key)),
              true,
            ),
          ))
            ? "Copied"
            : "Not allowed here",
        );
        setTimeout(() => write(copy, "Copy table"), 1500);
      },
    },
    "Copy table",
  );
  const bar = node(
    "div",
    { class: "ior-row ior-grow" },
    search,
    note,
    held,
    node("span", { class: "ior-grow" }),
    more,
    copy,
  );
  const cols = node("colgroup"),
    head = node("tr"),
    body = node("tbody"),
    foot = node("tr");
  const grid = node(
    "table",
    { class: "tb", role: "grid", "aria-label": label ?? noun },
    cols,
    node("thead", {}, head),
    body,
    node("tfoot", {}, foot),
  );
  const frame = node("div", { class: "tb-frame", "data-lm-suppress-shortcuts": "true" }, grid);
  bar.setAttribute("data-lm-suppress-shortcuts", "true");

  // ---- columns

  const offered = () => columns.filter((column) => !column.off?.());
  function fit(pixels = width) {
    width = pixels;
    const room = pixels - 34,
      most = offered();
    let next = most;
    const taken = (list) => list.reduce((sum, column) => sum + column.width, 0);
    if (!all) {
      for (const column of most.filter((c) => c.drop).sort((a, b) => Number(b.drop) - Number(a.drop))) {
        if (taken(next) <= room) break;
        if (column !== sorted.column) next = next.filter((c) => c !== column);
      }
    }
    const gone = most.length - next.length;
    more.hidden = !gone && !all;
    write(more, all ? "Fewer columns" : `+${gone} column${gone === 1 ? "" : "s"}`);
    more.title = all
      ? "show only what fits"
      : `show also ${most
          .filter((c) => !next.includes(c))
          .map((c) => c.title)
          .join(", ")}`;
    grid.classList.toggle("tb-wide", all);
    grid.style.minWidth = `${taken(next)}px`;
    if (next.length === shown.length && next.every((column, i) => column === shown[i])) return;
    shown = next;
    layout++;
    cols.replaceChildren(
      ...shown.map((column) => {
        const col = node("col");
        if (!column.grow) col.style.width = `${column.width}px`;
        return col;
      }),
    );
    head.replaceChildren(
      ...shown.map((column) => {
        const arrow = node("span", { class: "tb-arrow", "aria-hidden": "true" });
        const th = node(
          "th",
          { scope: "col", class: numeric(column) ? "ior-num" : "", title: column.tip ?? null },
          node(
            "button",
            { class: "tb-sort", onclick: () => sortBy(column) },
            node("span", { class: "tb-head" }, column.title),
            arrow,
          ),
        );
        th._column = column;
        th._arrow = arrow;
        return th;
      }),
    );
    foot.replaceChildren(...shown.map((column) => node("td", { class: numeric(column) ? "ior-num" : "" })));
    heads();
    fill();
    total();
  }
  function heads() {
    for (const th of head.children) {
      const on = th._column === sorted.column;
      if (on) th.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
      write(th._arrow, on ? (sorted.down ? "▼" : "▲") : "");
    }
  }
  function sortBy(column) {
    const natural = column.up !== true && numeric(column);
    sorted = { column, down: sorted.column === column ? !sorted.down : natural };
    onsort?.(column.key);
    heads();
    arrange(true);
  }

  // ---- rows

  function find(text) {
    query = text;
    wanted = matcher(text);
    search.setAttribute("aria-invalid", String(Boolean(wanted.wrong)));
    search.title = wanted.wrong ? `not a regular expression (${wanted.wrong}): looked for as it stands` : "";
    arrange(true);
  }
  function compare(a, b) {
    const { column, down } = sorted;
    const x = column.value(d, a),
      y = column.value(d, b);
    const noX = Number.isNaN(x),
      noY = Number.isNaN(y);
    if (noX || noY) return Number(noX) - Number(noY) || a - b; // what has no value comes last
    const less = typeof x === "string" ? x.localeCompare(y) : x - y;
    return (down ? -less : less) || a - b;
  }
  function arrange(forced = false) {
    if (!d) return;
    const plain = [],
      special = [];
    for (let i = 0; i < count; i++) {
      if (query && !texts(d, i).some(wanted.matches)) continue;
      (d.special[i] ? special : plain).push(i);
    }
    plain.sort(compare);
    let next = [...plain, ...special].map((i) => keyOf(d, i));
    const holding = !forced && order.length > 1 && body.matches(":hover") && matchMedia("(hover: hover)").matches;
    if (holding) {
      const present = new Set(next),
        before = new Set(order);
      const kept = order.filter((key) => present.has(key));
      const stays = [...kept, ...next.filter((key) => !before.has(key))];
      const same = stays.every((key, i) => key === next[i]);
      write(held, same ? "" : "order held");
      next = stays;
    } else write(held, "");
    place(next);
    fill();
    notes();
  }
  /** Put the rows into this order, without touching the focused one: a node that moves loses the focus. */
  function place(next) {
    const focused = body.contains(document.activeElement) ? (document.activeElement?.closest("tr") ?? null) : null;
    const was = focused ? order.indexOf(focused._key) : -1;
    const wantedKeys = new Set(next);
    for (const [key, tr] of rows)
      if (!wantedKeys.has(key)) {
        rows.delete(key);
        if (tr !== focused) tr.remove();
      }
    for (const key of next)
      if (!rows.has(key)) {
        const tr = node("tr", { tabindex: "-1" });
        tr._key = key;
        rows.set(key, tr);
      }
    order = next;
    const pin = focused && wantedKeys.has(focused._key) ? next.indexOf(focused._key) : -1;
    let follower = pin >= 0 ? focused : null;
    for (let i = pin - 1; i >= 0; i--) {
      const tr = rows.get(next[i]);
      if (tr.nextSibling !== follower || tr.parentNode !== body) body.insertBefore(tr, follower);
      follower = tr;
    }
    let leader = pin >= 0 ? focused : null;
    for (let i = pin + 1; i < next.length; i++) {
      const tr = rows.get(next[i]),
        place = leader ? leader.nextSibling : body.firstChild;
      if (tr !== place) body.insertBefore(tr, place);
      leader = tr;
    }
    if (focused && pin < 0) {
      focused.remove();
      if (next.length) focus(Math.min(was, next.length - 1));
    }
    if (!rows.has(current)) {
      current = next[0] ?? null;
      picked = 0;
    }
    for (const [key, tr] of rows) {
      const stop = key === current ? "0" : "-1";
      if (tr.getAttribute("tabindex") !== stop) tr.setAttribute("tabindex", stop);
    }
    grid.setAttribute("aria-rowcount", String(count + 2));
  }
  /** Fill the rows in sight; the others are empty and of the same height. */
  function fill() {
    if (!d) return;
    const first = Math.max(0, Math.floor(frame.scrollTop / ROW) - 12),
      last = Math.ceil((frame.scrollTop + frame.clientHeight) / ROW) + 12;
    const column = numeric(sorted.column) ? sorted.column : columns.find((c) => c.key === main);
    let whole = totals[column.key],
      most = 0;
    if (!column.share)
      for (let i = 0; i < count; i++) {
        const v = column.value(d, i);
        if (v > most) most = v;
      }
    if (!column.share || !whole) whole = most;
    order.slice(first, last).forEach((key, offset) => {
      const tr = rows.get(key),
        i = at.get(key);
      row(tr, i, column, whole);
      tr.setAttribute("aria-rowindex", String(first + offset + 2));
    });
  }
  function row(tr, i, barred, whole) {
    const fresh = tr._layout !== layout;
    if (fresh) {
      tr._layout = layout;
      tr.replaceChildren(
        ...shown.map((column, n) => {
          const td = node(n ? "td" : "th", { class: numeric(column) ? "ior-num" : "", scope: n ? null : "row" });
          td._column = column;
          return td;
        }),
      );
    }
    const kind = d.special[i];
    if (tr._special !== kind) {
      tr._special = kind;
      tr.classList.toggle("tb-special", Boolean(kind));
    }
    for (const td of tr.children) {
      const column = td._column,
        value = column.value(d, i);
      if (column.make) {
        const text = column.made?.(d, i) ?? value;
        if (td._made !== text) {
          td._made = text;
          td.replaceChildren(...[column.make(d, i)].flat().filter(Boolean));
          button(td, i);
        }
      } else if (column.kind === "text") {
        write(td, printable(value));
        button(td, i);
      } else {
        write(td, Number.isNaN(value) ? "–" : SHOW[column.kind](value));
        if (column.narrow) button(td, i);
        const zero = value === 0 || Number.isNaN(value);
        if (Boolean(td._zero) !== zero) {
          td._zero = zero;
          td.classList.toggle("tb-zero", zero);
        }
        const least = Boolean(column.least && d.least?.[i] && value);
        if (Boolean(td._least) !== least) {
          td._least = least;
          td.classList.toggle("tb-least", least);
        }
      }
      const share =
        column === barred && value > 0 && whole > 0 ? `${Math.min(100, (100 * value) / whole).toFixed(1)}%` : "";
      if ((td._share ?? "") !== share) {
        td._share = share;
        td.classList.toggle("tb-share", share !== "");
        td.style.setProperty("--tb-share", share || "0");
      }
      if (column.grade) {
        const grade = column.grade(value);
        if ((td._grade ?? "") !== grade) {
          td._grade = grade;
          td.dataset.grade = grade;
        }
      }
    }
    if (fresh) mark(tr);
  }
  function button(td, i) {
    const can = Boolean(td._column.narrow?.(d, i));
    if (td._can !== can) {
      td._can = can;
      td.classList.toggle("tb-can", can);
    }
    if (td === td.parentNode.firstChild && can && !td.querySelector(".tb-funnel")) {
      td.append(
        node(
          "button",
          {
            class: "tb-funnel",
            tabindex: "-1",
            title: "show only this",
            "aria-label": "show only this",
            onclick: (event) => {
              event.stopPropagation();
              push(td);
            },
          },
          funnel(),
        ),
      );
    }
  }
  function funnel() {
    return svg(
      "svg",
      { viewBox: "0 0 12 12", width: "11", height: "11", "aria-hidden": "true" },
      svg("path", { d: "M1 1.5h10L7.2 6.2v4L4.8 9V6.2z", fill: "currentColor" }),
    );
  }
  function total() {
    if (!d) return;
    for (let n = 0; n < shown.length; n++) {
      const column = shown[n],
        td = foot.children[n];
      const value = column.total
        ? column.total(totals, d)
        : n === 0
          ? "total"
          : column.share
            ? totals[column.key]
            : undefined;
      write(
        td,
        value === undefined
          ? ""
          : typeof value === "string"
            ? value
            : Number.isNaN(value)
              ? "–"
              : SHOW[column.kind](value),
      );
    }
  }
  function notes() {
    const searched = query ? order.reduce((sum, key) => sum + d[main][at.get(key)], 0) : 0;
    const some = `${showCount(order.length)} of ${showCount(count)} rows`,
      share = showShare(searched / (totals[main] || 1));
    write(
      note,
      query ? `${some}, ${share} of the calls` : `${showCount(regular)} ${regular === 1 ? ONE[named] : named}`,
    );
  }

  // ---- hands

  const cellOf = (event) => event.target.closest?.("td, th");
  const rowOf = (event) => {
    const tr = event.target.closest?.("tr");
    return tr && tr.parentNode === body ? tr : null;
  };
  const cans = (tr) => [...tr.children].filter((td) => td._can);
  function mark(tr) {
    const list = cans(tr);
    for (const td of tr.children)
      td.classList.toggle("tb-picked", tr._key === current && td === list[Math.min(picked, list.length - 1)]);
  }
  function focus(index) {
    const key = order[Math.max(0, Math.min(index, order.length - 1))],
      tr = rows.get(key);
    if (!tr) return;
    const before = rows.get(current);
    current = key;
    if (before) {
      before.setAttribute("tabindex", "-1");
      mark(before);
    }
    tr.setAttribute("tabindex", "0");
    tr.focus();
    fill();
    mark(tr);
  }
  function push(td) {
    const i = at.get(td.parentNode._key),
      asked = i === undefined ? null : td._column.narrow?.(d, i);
    if (asked) view.act("narrow", asked);
  }
  function tsv(list, whole) {
    const clean = (column, i) => {
      const v = column.value(d, i);
      return column.kind === "text" ? printable(column.made?.(d, i) ?? v) : Number.isNaN(v) ? "" : String(v);
    };
    const lines = list.map((i) =>
      offered()
        .map((column) => clean(column, i))
        .join("\t"),
    );
    const unit = { ns: " (ns)", bytes: " (bytes)", rate: " (1/s)" };
    if (whole)
      lines.unshift(
        offered()
          .map((column) => column.title + (unit[column.kind] ?? ""))
          .join("\t"),
      );
    return `${lines.join("\n")}\n`;
  }
  body.addEventListener("click", (event) => {
    const tr = rowOf(event);
    if (!tr || String(getSelection())) return;
    focus(order.indexOf(tr._key));
    const td = cellOf(event);
    if (td._can) push(td);
  });
  body.addEventListener("focusin", (event) => {
    const tr = rowOf(event);
    if (tr && tr._key !== current) focus(order.indexOf(tr._key));
  });
  body.addEventListener("mouseover", (event) => {
    const td = cellOf(event),
      i = td && at.get(td.parentNode._key);
    if (!td || i === undefined) return;
    const column = td._column,
      kind = d.special[i],
      lines = [column.hint?.(d, i)];
    if (kind && td === td.parentNode.firstChild) lines.push(SPECIAL[kind]);
    if (td._share && column.share) lines.push(`${showShare(column.value(d, i) / totals[column.key])} of all`);
    if (td._least)
      lines.push(
        `at least: ${showCount(totals.unrecorded)} calls were counted without a row; some of them may belong here`,
      );
    if (td._can) lines.push("click: show only this");
    td.title = lines.filter(Boolean).join("\n");
  });
  body.addEventListener("mouseleave", () => arrange());
  body.addEventListener("keydown", (event) => {
    const tr = rowOf(event);
    if (!tr || event.altKey) return;
    const index = order.indexOf(tr._key),
      page = Math.max(1, Math.floor(frame.clientHeight / ROW) - 3);
    const to = {
      ArrowDown: index + 1,
      ArrowUp: index - 1,
      PageDown: index + page,
      PageUp: index - page,
      Home: 0,
      End: order.length - 1,
    }[event.key];
    if (event.ctrlKey || event.metaKey) {
      if (event.key !== "c" || String(getSelection())) return;
      copyText(tsv([at.get(tr._key)], false)).then((done) => {
        write(note, done ? "row copied" : "copying is not allowed here");
        setTimeout(notes, 1500);
      });
    } else if (to !== undefined) focus(to);
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      picked = Math.max(0, Math.min(picked + (event.key === "ArrowRight" ? 1 : -1), cans(tr).length - 1));
      mark(tr);
      cans(tr)[picked]?.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else if (event.key === "Enter") {
      const td = cans(tr)[Math.min(picked, cans(tr).length - 1)];
      if (td) push(td);
    } else if (event.key === "/") search.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  frame.addEventListener("scroll", () => fill(), { passive: true });

  return {
    element: frame,
    bar,
    fit,
    /** Show these columns; `all` are the totals, `what` the noun behind the number of rows. */
    show(columnsNow, all_, what = noun) {
      d = columnsNow;
      totals = all_;
      named = what;
      count = d.special.length;
      regular = d.special.filter((kind) => !kind).length;
      at = new Map();
      for (let i = 0; i < count; i++) at.set(keyOf(d, i), i);
      if (!shown.length) fit(width);
      arrange();
      total();
    },
  };
}

// What decides which rows there are, when there are too many for all to be shown.
const RANK = { read: "bytes", written: "bytes", total: "latency", mean: "latency", max: "latency" };
/**
 * What a table does when a column is sorted by: asks for the rows that are the best by it, where `crowded()` says that
 * some have no row.
 *
 * @param {View} view
 * @param {() => boolean} crowded
 */
export function ranking(view, crowded) {
  return (key) => {
    const by = RANK[key] ?? "count";
    if (by !== view.data.by && crowded()) view.act("rank", { by });
  };
}

// Columns that several tables have.
/** @type {Column} */
export const MEAN = {
  key: "mean",
  title: "mean",
  kind: "ns",
  width: 70,
  tip: "mean latency of the timed calls",
  value: (d, i) => (d.timed[i] ? d.total[i] / d.timed[i] : NaN),
  total: (t) => (t.timed ? t.total / t.timed : NaN),
  hint: (d, i) => (d.timed[i] < d.count[i] ? `of ${showCount(d.timed[i])} timed calls` : ""),
};
const highest = (name) => (_, d) => {
  let most = NaN;
  for (let i = 0; i < d[name].length; i++) if (d.timed[i] && !(d[name][i] <= most)) most = d[name][i];
  return most;
};
/** @type {Column} */
export const MAX = {
  key: "max",
  title: "max",
  kind: "ns",
  width: 72,
  least: true,
  tip: "the slowest call",
  value: (d, i) => (d.timed[i] && d.max[i] ? d.max[i] : NaN),
  total: highest("max"),
};
/** @type {Column} */
export const TOTAL = {
  key: "total",
  title: "total time",
  kind: "ns",
  width: 86,
  least: true,
  share: true,
  tip: "time spent in its calls",
};
/** @type {Column} */
export const READ = {
  key: "read",
  title: "read",
  kind: "bytes",
  width: 92,
  least: true,
  share: true,
  tip: "bytes read",
};
/** @type {Column} */
export const WRITTEN = {
  key: "written",
  title: "written",
  kind: "bytes",
  width: 92,
  least: true,
  share: true,
  tip: "bytes written",
};
/** @type {Column} */
export const FETCHED = {
  key: "fetched",
  title: "fetched",
  kind: "bytes",
  width: 88,
  least: true,
  share: true,
  tip: "bytes the device had to read for it, readahead included; the rest of what was read was in the page cache",
};
/** @type {Column} */
export const FAULTED = {
  key: "faulted",
  title: "by faults",
  kind: "bytes",
  width: 88,
  least: true,
  tip: "what of the bytes read was brought in by faults on the mapped file, which are no calls",
};
/** @type {Column} */
export const ERRORS = {
  key: "errors",
  title: "errors",
  kind: "count",
  width: 74,
  least: true,
  share: true,
  tip: "calls that failed",
  grade: (value) => (value > 0 ? "bad" : ""),
};

const EMPTY = {
  nothing: NOTHING_YET,
  waiting: "No call has been seen yet. Run a cell that reads or writes something.",
  filtered: "No call has passed the filter so far. Undo or clear it above.",
};
/**
 * Show `full`, or as high a text where there is nothing to show: the page keeps its place, and the keyboard finds back.
 *
 * @param {View} view
 * @param {HTMLElement} full
 */
export function emptyOr(view, full) {
  const empty = node("div", { class: "ior-empty tb-empty", tabindex: "-1" });
  full.hidden = true;
  view.body.append(empty, full);
  function refocus() {
    /** @type {NodeListOf<HTMLElement>} */
    const rows = full.querySelectorAll('tr[tabindex="0"]');
    [...rows].find((tr) => tr.offsetParent)?.focus({ preventScroll: true });
  }
  return (data) => {
    const gone = Boolean(data.empty),
      inside = full.contains(document.activeElement),
      back = document.activeElement === empty;
    if (gone && !full.hidden) empty.style.minHeight = `${full.offsetHeight}px`;
    write(empty, EMPTY[data.empty] ?? "");
    full.hidden = gone;
    empty.hidden = !gone;
    if (gone && inside) empty.focus({ preventScroll: true });
    if (!gone && back) setTimeout(refocus);
    return !gone;
  };
}
