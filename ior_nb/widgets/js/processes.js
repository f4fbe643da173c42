import { node } from "./dom.js";
import { panel, unpacked } from "./panel.js";
import { ERRORS, emptyOr, FETCHED, MAX, MEAN, READ, ranking, TOTAL, table, WRITTEN } from "./table.js";
import { printable, showCount } from "./text.js";

export default panel((view) => {
  const full = node("div"),
    any = emptyOr(view, full);
  let comms = new Map(), // pid -> name of the last process of that id
    crowded = false,
    told = false; // whether anybody knows of ends

  const named = (host, id) => (host ? `${host}:${id}` : String(id)); // a process of one of several hosts
  const number = (d, i) => (d.lifetime[i] ? `${d.pid[i]}#${d.lifetime[i]}` : String(d.pid[i]));
  const label = (d, i) =>
    d.special[i]
      ? d.special[i] === "other" && d.folded[i]
        ? `(other: ${showCount(d.folded[i])})`
        : d.comm[i]
      : named(d.host[i], number(d, i));
  // The number stays in sight beside a long name.
  const ends = (d, i) =>
    d.host[i]
      ? node("span", { class: "ior-mid" }, node("span", {}, printable(d.host[i])), node("span", {}, `:${number(d, i)}`))
      : node("span", { class: "tb-name" }, node("span", {}, printable(label(d, i))));
  const hint = (d, i) =>
    [
      d.host[i] ? printable(label(d, i)) : "",
      d.lifetime[i] ? "the id was in use before; the filter shows all processes of that id" : "",
    ]
      .filter(Boolean)
      .join("\n");
  const parent = (d, i) => (d.ppid[i] ? `${d.ppid[i]} ${comms.get(named(d.host[i], d.ppid[i])) ?? ""}`.trim() : "");
  const comm = (d, i) => (d.special[i] ? "" : d.comm[i]);
  const state = (d, i) => (d.special[i] ? "" : d.ended[i] ? "ended" : "running");
  const parts = table(view, {
    noun: "processes",
    keyOf: (d, i) => (d.special[i] ? `*${d.special[i]}` : label(d, i)),
    texts: (d, i) => [label(d, i), comm(d, i), parent(d, i), state(d, i)],
    onsort: ranking(view, () => crowded),
    columns: [
      {
        key: "pid",
        title: "pid",
        kind: "text",
        width: 104,
        up: true,
        tip: "process id; 8#1 is the second process of id 8",
        value: (d, i) => d.pid[i] + d.lifetime[i] / 1e6,
        made: label,
        make: ends,
        hint,
        narrow: (d, i) => (d.special[i] ? null : { dimension: "pid", value: d.pid[i], host: d.host[i] }),
      },
      {
        key: "comm",
        title: "command",
        kind: "text",
        width: 96,
        grow: true,
        value: comm,
        hint: (d, i) => printable(comm(d, i)),
        narrow: (d, i) => (d.special[i] || !d.comm[i] ? null : { dimension: "comm", value: d.comm[i] }),
      },
      {
        key: "ppid",
        title: "parent",
        kind: "text",
        width: 130,
        drop: 5,
        value: parent,
        hint: (d, i) => printable(parent(d, i)),
        narrow: (d, i) => (d.ppid[i] ? { dimension: "pid", value: d.ppid[i], host: d.host[i] } : null),
      },
      { key: "count", title: "calls", kind: "count", width: 86, least: true, share: true },
      {
        key: "rate",
        title: "rate",
        kind: "rate",
        width: 82,
        share: true,
        drop: 4,
        tip: "calls per second over the whole run",
      },
      { ...READ, drop: 2 },
      { ...FETCHED, drop: 3 },
      { ...WRITTEN, drop: 3 },
      { ...MEAN, drop: 1 },
      { ...MAX, drop: 8 },
      { ...TOTAL, drop: 7 },
      { ...ERRORS, drop: 6 },
      {
        key: "ended",
        title: "state",
        kind: "text",
        width: 70,
        drop: 9,
        off: () => !told,
        value: state,
        tip: "what the trace last knew of it",
      },
    ],
  });
  full.append(node("div", { class: "ior-row tb-bar-row" }, parts.bar), parts.element);
  return {
    draw(data) {
      if (!any(data)) return;
      const d = unpacked(data.processes);
      crowded = d.special.includes("other");
      const known = data.running || d.ended.some(Boolean);
      if (known !== told) {
        told = known;
        parts.fit();
      }
      comms = new Map();
      for (let i = 0; i < d.special.length; i++) if (!d.special[i]) comms.set(named(d.host[i], d.pid[i]), d.comm[i]);
      parts.show(d, data.totals);
    },
    resize(width) {
      parts.fit(width);
    },
  };
});
