/** @import { Column } from "./table.js" */

import { node } from "./dom.js";
import { panel, unpacked } from "./panel.js";
import {
  choices,
  ERRORS,
  emptyOr,
  FAULTED,
  FETCHED,
  MAX,
  MEAN,
  READ,
  ranking,
  TOTAL,
  table,
  WRITTEN,
} from "./table.js";
import { printable, showCount } from "./text.js";
import { treemap } from "./treemap.js";

export default panel((view) => {
  const full = node("div"),
    any = emptyOr(view, full);
  let by = "files",
    data = {},
    known = new Set(), // of what is told of pages, what some file has
    raw = null;

  const fold = (d, i, one) =>
    d.special[i] === "other" && d.folded[i] ? `(other: ${showCount(d.folded[i])} ${one})` : null;
  const loose = (d, i) => d === data.directories && d.name[i] === "." && !d.special[i]; // names without a slash
  // The last two names of a path stay in sight: one alone says too little of `…/core` and `…/__init__.py`.
  function ends(path) {
    const shown = printable(path),
      last = shown.lastIndexOf("/"),
      before = shown.lastIndexOf("/", last - 1);
    const at = [before, last, shown.length - 34].find((from) => from > 0 && shown.length - from <= 34) ?? 0;
    return node("span", { class: "ior-mid" }, node("span", {}, shown.slice(0, at)), node("span", {}, shown.slice(at)));
  }
  const named = (d, i) => fold(d, i, by) ?? (loose(d, i) ? "(pipes, sockets)" : d.name[i]);
  const narrow = (d, i) =>
    d.special[i] || loose(d, i) ? null : { dimension: "file", value: d.name[i], directory: d === data.directories };
  /**
   * A column of what is known of pages, which is there while it is known of any file.
   *
   * @returns {Column}
   */
  const pages = (key, title, drop, tip) => ({
    key: `pages_${key}`,
    title,
    kind: "bytes",
    width: 88,
    drop,
    tip,
    off: () => !known.has(key),
    value: (d, i) => d.pages.get(i)?.[key] ?? NaN,
  });
  const ratio = (fetched, read) => (read > 0 ? Math.round((100 * fetched) / read) / 100 : NaN);
  /** @type {Column[]} */
  const columns = [
    {
      key: "name",
      title: "path",
      kind: "text",
      width: 190,
      grow: true,
      value: (d, i) => d.name[i],
      made: named,
      narrow,
      make: (d, i) => (d.special[i] ? printable(named(d, i)) : ends(named(d, i))),
      hint: (d, i) => printable(d.name[i]),
    },
    {
      key: "files",
      title: "files",
      kind: "count",
      width: 70,
      drop: 2,
      tip: "distinct files seen directly in the directory",
      value: (d, i) => (d.special[i] && d.special[i] !== "other" ? NaN : d.files[i]),
    },
    {
      key: "count",
      title: "accesses",
      kind: "count",
      width: 96,
      least: true,
      share: true,
      tip: "calls that act on it",
    },
    { ...READ, drop: 3 },
    { ...FETCHED, drop: 4 },
    { ...FAULTED, drop: 6 },
    {
      key: "ratio",
      title: "amplified",
      kind: "number",
      width: 76,
      drop: 8,
      tip: "bytes fetched for calls, for each byte they read: of more than 1 the rest was read ahead for nothing, of less it came from the page cache",
      value: (d, i) =>
        d.fetched[i] > d.faulted[i] ? ratio(d.fetched[i] - d.faulted[i], d.read[i] - d.faulted[i]) : NaN,
    },
    { ...WRITTEN, drop: 4 },
    { ...MEAN, drop: 1 },
    { ...MAX, drop: 6 },
    { ...TOTAL, drop: 5 },
    { ...ERRORS, drop: 7 },
    pages("cached", "cached now", 8, "bytes of it in the page cache, of your own files, as far as the kernel tells"),
    pages("dirtied", "made dirty", 10, "bytes that calls and mapped memory made dirty, in whole pages"),
    pages("written", "on device", 11, "bytes of it that a device has taken since"),
    pages("pending", "unwritten", 9, "bytes made dirty that no device has yet"),
    pages("never", "never", 12, "bytes made dirty of a file that was deleted before they were written"),
  ];
  const onsort = ranking(view, () => data.files.special.includes("other"));
  const make = (noun) =>
    table(view, {
      noun,
      label: noun,
      onsort,
      columns: columns
        .filter((c) => (noun === "directories" ? !c.key.startsWith("pages_") : c.key !== "files"))
        .map((c) => ({ ...c })),
      keyOf: (d, i) => (d.special[i] ? `*${d.special[i]}` : `=${d.name[i]}`),
      texts: (d, i) => [named(d, i)],
    });
  const parts = { files: make("files"), directories: make("directories") };
  const map = treemap(view, {
    hint: "Click a file to show only it; click a directory to zoom, with Shift to show only it.",
    boxes,
    onswitch: () => draw(raw),
  });
  const group = choices(
    "rows",
    [
      ["files", "Files", "one row for each file"],
      ["directories", "Directories", "one row for each directory: the files directly in it"],
    ],
    (value) => {
      by = value;
      draw(raw);
    },
  );
  full.append(
    node("div", { class: "ior-row tb-bar-row" }, map.kind, group, parts.files.bar, parts.directories.bar, map.bar),
    parts.files.element,
    parts.directories.element,
    map.element,
  );

  const PALETTE = ["#9ecae9", "#f2c48d", "#8fd0b8", "#e8b5d0", "#d9d68f", "#b3b3e6", "#bcdff5", "#e6b8a2"];
  const tint = (text) => {
    let h = 0;
    for (let i = 0; i < text.length; i++) h = (h * 31 + text.charCodeAt(i)) >>> 0;
    return PALETTE[h % PALETTE.length];
  };
  function boxes(metric) {
    const made = new Map(),
      { files: f, directories: g } = data;
    const worth = (d, i) => (metric === "bytes" ? d.read[i] + d.written[i] : d[metric][i]);
    const best = (d, most) =>
      [...d.name.keys()]
        .filter((i) => worth(d, i) > 0)
        .sort((a, b) => worth(d, b) - worth(d, a))
        .slice(0, most);
    const whole = metric === "bytes" ? data.totals.read + data.totals.written : data.totals[metric];
    made.set("all", { name: "all files", parent: "", value: whole, whole, color: "#dfe3e8" });
    for (const i of best(g, 90)) {
      const id = g.special[i] ? `*${g.special[i]}` : `d${g.name[i]}`;
      made.set(id, {
        name: fold(g, i, "directories") ?? (loose(g, i) ? "(pipes, sockets)" : g.name[i]),
        parent: "all",
        value: worth(g, i),
        whole: worth(g, i),
        color: g.special[i] ? "#c4c9d0" : tint(g.name[i]),
        leaf: Boolean(g.special[i]),
        narrow: narrow(g, i),
      });
      made.get("all").value = Math.max(0, made.get("all").value - worth(g, i));
    }
    const inside = (path) => {
      const at = path.lastIndexOf("/");
      return `d${at > 0 ? path.slice(0, at) : at === 0 ? "/" : "."}`;
    };
    for (const i of best(f, 200)) {
      const parent = f.special[i] ? undefined : made.get(inside(f.name[i]));
      if (!parent) continue;
      parent.value = Math.max(0, parent.value - worth(f, i));
      made.set(`f${f.name[i]}`, {
        name: f.name[i].slice(f.name[i].lastIndexOf("/") + 1) || f.name[i],
        parent: inside(f.name[i]),
        value: worth(f, i),
        whole: worth(f, i),
        color: parent.color,
        leaf: true,
        narrow: { dimension: "file", value: f.name[i] },
      });
    }
    return made;
  }
  const PAGES = ["cached", "dirtied", "written", "pending", "never"];
  /** Return what is known of pages by row: what is not known, or nothing of what most files have none of, is left out. */
  const told = (d) =>
    new Map(
      Array.from(d.row, (row, i) => [
        row,
        Object.fromEntries(
          PAGES.map((key) => [key, d[key][i]]).filter(([key, value]) => value > 0 || (key === "cached" && !value)),
        ),
      ]),
    );
  function notice(d) {
    const now = new Set([...d.pages.values()].flatMap((page) => PAGES.filter((key) => page[key] > 0)));
    if (now.size === known.size && [...now].every((key) => known.has(key))) return;
    known = now;
    parts.files.fit();
  }
  function draw(next) {
    if (!any(next)) return;
    if (next !== raw) {
      raw = next;
      const files = unpacked(next.files),
        directories = unpacked(next.directories),
        heads = unpacked(next.heads).text;
      files.name = files.tail.map((tail, i) => heads[files.head[i]] + tail);
      directories.name = directories.directory;
      data = { totals: next.totals, files, directories };
      files.pages = told(unpacked(next.pages));
      notice(files);
    }
    group.hidden = map.shown();
    for (const [name, part] of Object.entries(parts)) {
      part.bar.hidden = part.element.hidden = map.shown() || by !== name;
      if (!part.element.hidden) part.show(data[name], data.totals, name);
    }
    map.draw();
  }
  return {
    draw,
    resize(width) {
      parts.files.fit(width);
      parts.directories.fit(width);
      map.draw();
    },
    close() {
      map.close();
    },
  };
});
