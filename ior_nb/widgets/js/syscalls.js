/** @import { Column } from "./table.js" */

import { node } from "./dom.js";
import { familyColor, panel, unpacked } from "./panel.js";
import { choices, ERRORS, emptyOr, MAX, MEAN, TOTAL, table } from "./table.js";
import { printable, showCount, showRate } from "./text.js";
import { treemap } from "./treemap.js";

export default panel((view) => {
  const full = node("div"),
    any = emptyOr(view, full);
  let by = "syscalls",
    data = {};

  /** @returns {Column} */
  const latency = (key, title, drop, tip) => ({
    key,
    title,
    kind: "ns",
    width: 70,
    drop,
    tip,
    value: (d, i) => (d.measured[i] ? d[key][i] : NaN),
    hint: (d, i) =>
      d.measured[i]
        ? `from ${showCount(d.measured[i])} of ${showCount(d.timed[i])} timed calls`
        : "no recorded call was timed",
  });
  const named = (d, i) => (by === "families" ? d.family[i] || "(no family)" : d.name[i]);
  const family = (d, i) => (d.family[i] ? { dimension: "family", value: d.family[i] } : null);
  const parts = table(view, {
    noun: "system calls",
    label: "system calls",
    keyOf: (d, i) => (d.special[i] ? `*${d.special[i]}` : `${by}:${d.name[i]}`),
    texts: (d, i) => [d.name[i], d.family[i], d.errnos[i]],
    columns: [
      {
        key: "name",
        title: "name",
        kind: "text",
        width: 120,
        grow: true,
        value: named,
        made: named,
        narrow: (d, i) =>
          by === "families" ? family(d, i) : d.special[i] ? null : { dimension: "syscall", value: d.name[i] },
        make(d, i) {
          const dot = node("span", { class: "ior-dot" });
          dot.style.background = familyColor(d.family[i]);
          return node("span", { class: "tb-name" }, dot, node("span", {}, printable(named(d, i))));
        },
      },
      {
        key: "family",
        title: "family",
        kind: "text",
        width: 78,
        drop: 4,
        off: () => by === "families",
        narrow: family,
      },
      {
        key: "count",
        title: "calls",
        kind: "count",
        width: 80,
        share: true,
        tip: "calls: exact, also those sampled out",
      },
      {
        key: "recent",
        title: "rate",
        kind: "rate",
        width: 78,
        share: true,
        drop: 3,
        tip: "calls per second over the last 10 s",
        hint: (d, i) => `${showRate(d.rate[i])} over the whole run`,
      },
      { ...MEAN },
      {
        ...latency("min", "min", 12, "the fastest call"),
        value: (d, i) => (d.timed[i] ? d.min[i] : NaN),
        hint: undefined,
        total: (_, d) => d.min.reduce((least, v, i) => (d.timed[i] && !(v >= least) ? v : least), NaN),
      },
      latency("p50", "p50", 8, "median latency"),
      latency("p90", "p90", 14, "90th percentile of the latency"),
      latency("p95", "p95", 9, "95th percentile of the latency"),
      latency("p99", "p99", 2, "99th percentile of the latency"),
      latency("p999", "p99.9", 13, "99.9th percentile of the latency"),
      { ...MAX, drop: 7 },
      { ...TOTAL, drop: 1 },
      { key: "bytes", title: "bytes", kind: "bytes", width: 92, share: true, drop: 6, tip: "bytes moved" },
      { ...ERRORS, drop: 5, hint: (d, i) => d.errnos[i] },
      {
        key: "probes",
        title: "probes",
        kind: "count",
        width: 74,
        share: true,
        drop: 11,
        tip: "calls that failed as part of normal work, which are no errors",
      },
      {
        key: "errnos",
        title: "errno",
        kind: "text",
        width: 130,
        drop: 10,
        off: () => by === "families",
        tip: "failures by errno, the most frequent first",
        hint: (d, i) => d.errnos[i],
      },
      {
        key: "inflight",
        title: "in flight",
        kind: "count",
        width: 74,
        share: true,
        drop: 11,
        tip: "calls that had not returned when the trace, or their thread, ended",
      },
    ],
  });
  const map = treemap(view, {
    hint: "Click a system call to show only it; click a family to zoom, with Shift to show only it.",
    boxes,
    onswitch: () => draw(data),
  });
  const group = choices(
    "rows",
    [
      ["syscalls", "System calls", "one row for each system call"],
      ["families", "Families", "one row for each family"],
    ],
    (value) => {
      by = value;
      parts.fit();
      draw(data);
    },
  );
  full.append(
    node("div", { class: "ior-row tb-bar-row" }, map.kind, group, parts.bar, map.bar),
    parts.element,
    map.element,
  );

  function boxes(metric) {
    const d = data.syscalls,
      made = new Map(),
      totals = data.totals;
    made.set("all", { name: "all calls", parent: "", value: 0, whole: totals[metric], color: "#dfe3e8" });
    const list = [...d.name.keys()]
      .sort((a, b) => d[metric][b] - d[metric][a])
      .filter((i) => d[metric][i] > 0)
      .slice(0, 260);
    const sums = new Map();
    for (const [i, kin] of d.family.entries()) sums.set(kin, (sums.get(kin) ?? 0) + d[metric][i]);
    for (const i of list) {
      const kin = `family:${d.family[i]}`;
      if (!made.has(kin))
        made.set(kin, {
          name: d.family[i] || "(no family)",
          parent: "all",
          value: sums.get(d.family[i]),
          whole: sums.get(d.family[i]),
          color: familyColor(d.family[i]),
          narrow: family(d, i),
        });
      made.get(kin).value -= d[metric][i];
      made.set(`call:${d.name[i]}`, {
        name: d.name[i],
        parent: kin,
        value: d[metric][i],
        whole: d[metric][i],
        color: familyColor(d.family[i]),
        leaf: true,
        narrow: d.special[i] ? null : { dimension: "syscall", value: d.name[i] },
      });
    }
    return made;
  }
  function draw(next) {
    if (!any(next)) return;
    if (next !== data || !next.totals)
      data = { totals: next.totals, syscalls: unpacked(next.syscalls), families: unpacked(next.families) };
    group.hidden = parts.bar.hidden = parts.element.hidden = map.shown();
    map.draw();
    if (!map.shown()) parts.show(data[by], data.totals, by === "syscalls" ? "system calls" : "families");
  }
  return {
    draw,
    resize(width) {
      parts.fit(width);
      map.draw();
    },
    close() {
      map.close();
    },
  };
});
