import { node } from "./dom.js";
import { panel, unpacked } from "./panel.js";
import { ERRORS, emptyOr, FETCHED, MAX, MEAN, READ, ranking, TOTAL, table, WRITTEN } from "./table.js";
import { printable, showCount } from "./text.js";

export default panel((view) => {
  const full = node("div"),
    any = emptyOr(view, full);
  let crowded = false;

  const func = (d, i) =>
    d.special[i] === "other" && d.folded[i] ? `(other: ${showCount(d.folded[i])} lines)` : d.function[i];
  const file = (d, i) => (d.special[i] ? "" : d.file[i]);
  const cell = (d, i) => (d.cell[i] > 0 ? `cell ${d.cell[i]}` : d.cell[i] ? "a cell" : "");
  const short = (d, i) => (d.special[i] ? "" : cell(d, i) || d.file[i].split("/").slice(-2).join("/"));
  const parts = table(view, {
    noun: "lines",
    keyOf: (d, i) => (d.special[i] ? `*${d.special[i]}` : `${d.line[i]} ${d.function[i]} ${d.file[i]}`),
    texts: (d, i) => [func(d, i), file(d, i), cell(d, i)],
    onsort: ranking(view, () => crowded),
    columns: [
      {
        key: "function",
        title: "function",
        kind: "text",
        width: 120,
        grow: true,
        value: (d, i) => d.function[i],
        make: (d, i) => printable(func(d, i)),
        hint: (d, i) => printable(func(d, i)),
        narrow: (d, i) =>
          d.special[i] || !d.file[i] || !d.function[i] ? null : { dimension: "py_func", value: d.function[i] },
      },
      {
        key: "file",
        title: "file",
        kind: "text",
        width: 130,
        drop: 2,
        value: file,
        make: (d, i) => printable(short(d, i)),
        hint: (d, i) => printable(file(d, i)),
        narrow: (d, i) => (d.special[i] || !d.file[i] ? null : { dimension: "py_file", value: d.file[i] }),
      },
      {
        key: "line",
        title: "line",
        kind: "count",
        width: 60,
        up: true,
        tip: "number of the line in its file",
        value: (d, i) => (d.special[i] || !d.file[i] ? NaN : d.line[i]),
        narrow: (d, i) =>
          d.special[i] || !d.file[i] ? null : { dimension: "line", value: d.file[i], line: d.line[i] },
      },
      { key: "count", title: "calls", kind: "count", width: 86, least: true, share: true },
      { ...READ, drop: 3 },
      { ...FETCHED, drop: 4 },
      { ...WRITTEN, drop: 4 },
      { ...TOTAL, drop: 1 },
      { ...MEAN, drop: 5 },
      { ...MAX, drop: 6 },
      { ...ERRORS, drop: 7 },
    ],
  });
  full.append(node("div", { class: "ior-row tb-bar-row" }, parts.bar), parts.element);
  return {
    draw(data) {
      if (!any(data)) return;
      const d = unpacked(data.lines);
      crowded = d.special.includes("other");
      parts.show(d, data.totals);
    },
    resize(width) {
      parts.fit(width);
    },
  };
});
