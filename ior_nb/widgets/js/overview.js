import { middle, node, svg, write } from "./dom.js";
import { familyColor, NOTHING_YET, panel, unpacked } from "./panel.js";
import { SPENT } from "./spent.js";
import { printable, showBytes, showCount, showNs, showRate, showShare } from "./text.js";

export default panel((view) => {
  const empty = node("div", { class: "ior-empty" }, NOTHING_YET);
  const boxes = node("div", { class: "ov-boxes" });
  const tops = node("div", { class: "ov-tops" });
  const complete = node("div", { class: "ov-complete" });
  const full = node("div", {}, boxes, tops, complete);
  view.body.append(empty, full);

  const cells = {};
  function box(key, title, lines) {
    const value = node("div", { class: "ov-value" }),
      heading = node("span", { class: "ov-trend" });
    const extra = lines.map(() => node("div", { class: "ov-extra" }));
    const spark = svg("svg", {
      class: "ov-spark",
      viewBox: "0 0 120 28",
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    });
    const area = svg("path", { class: "ov-area" }),
      line = svg("path", { class: "ov-line" });
    spark.append(area, line);
    const made = node(
      "div",
      { class: "ov-box" },
      node("div", { class: "ov-title" }, title, heading),
      value,
      ...extra,
      spark,
    );
    boxes.append(made);
    cells[key] = { value, extra, spark, area, line, heading };
  }
  box("calls", "calls", [1, 1]);
  box("throughput", "bytes moved", [1, 1, 1]);
  box("latency", "mean latency", [1, 1, 1]);
  box("errors", "errors", [1, 1, 1]);
  for (const cell of [cells.errors]) cell.spark.remove();

  function sparkline({ area, line }, series) {
    const top = Math.max(...series, 1e-9);
    let d = "";
    const step = 119 / Math.max(series.length - 1, 1); // a trace that has ended fills the width
    for (let i = 0; i < series.length; i++)
      d += `${i ? "L" : "M"}${(i * step).toFixed(2)},${(27 - (25 * series[i]) / top).toFixed(1)}`;
    line.setAttribute("d", d);
    area.setAttribute("d", `${d}L119,28L0,28Z`);
  }
  function trend([direction, percent]) {
    const arrow = { rising: "▲", falling: "▼", stable: "■" }[direction];
    return direction === "stable"
      ? `${arrow} steady`
      : `${arrow} ${percent > 999 ? "> +999" : percent > 0 ? `+${percent}` : percent} % in 10 s`;
  }
  function spent(n) {
    const parts = Object.entries(SPENT).filter(([name]) => n[name] > 0.01 * n.latency_total);
    return parts
      .sort(([one], [two]) => n[two] - n[one])
      .slice(0, 2)
      .map(([name, word]) => `${word} ${showNs(n[name])}`)
      .join(", ");
  }
  function set(key, value, ...extra) {
    write(cells[key].value, value);
    for (const [i, text] of extra.entries()) write(cells[key].extra[i], text);
  }
  function top(title, rows) {
    const most = Math.max(...rows.map((row) => row.count), 1);
    const list = rows.map((row) => {
      const label =
        title === "files" || row.host // the id stays in sight beside a long name
          ? middle(row.text, row.host ? 16 : undefined)
          : node("span", { class: "ior-grow", title: printable(row.text) }, printable(row.text));
      const bar = node("span", { class: "ov-bar" });
      bar.style.width = `${(100 * row.count) / most}%`;
      if (row.family) bar.style.background = familyColor(row.family);
      return node(
        "button",
        {
          class: "ov-row",
          title: `show only ${printable(row.text)}`,
          onclick: () => view.act("narrow", { dimension: row.dimension, value: row.value, host: row.host }),
        },
        bar,
        label,
        node("span", { class: "ior-num" }, `${row.least}${showCount(row.count)}`),
        node("span", { class: "ior-num ior-dim" }, `${row.least}${showBytes(row.bytes)}`),
      );
    });
    return node(
      "div",
      { class: "ov-top" },
      node("div", { class: "ov-title" }, `top ${title}`),
      ...(list.length ? list : [node("div", { class: "ior-dim" }, "none")]),
    );
  }

  return {
    draw(data) {
      empty.hidden = !data.empty;
      full.hidden = data.empty;
      if (data.empty) return;
      const n = data.numbers,
        series = unpacked(data.series);
      set(
        "calls",
        showCount(n.calls),
        data.running
          ? `${showRate(n.rate)} now, ${showRate(n.run_rate)} overall`
          : `${showRate(n.run_rate)} on average`,
        n.in_flight ? `${showCount(n.in_flight)} in flight` : "",
      );
      set(
        "throughput",
        showBytes(n.read + n.written),
        `read ${showBytes(n.read)}${data.running ? `, ${showBytes(n.read_rate)}/s` : ""}`,
        `written ${showBytes(n.written)}${data.running ? `, ${showBytes(n.written_rate)}/s` : ""}`,
        n.fetched > 0 ? `${showBytes(n.fetched)} fetched from the device` : "",
      );
      set(
        "latency",
        n.latency ? showNs(n.latency) : "–",
        `${showNs(n.latency_total)} in calls${n.waiting ? `, ${showNs(n.waiting)} of it waiting` : ""}`,
        spent(n),
        `mean gap ${n.gap ? showNs(n.gap) : "–"}  ${data.running ? trend(data.trends.gap) : ""}`,
      );
      write(cells.throughput.heading, data.running ? trend(data.trends.throughput) : "");
      write(cells.latency.heading, data.running ? trend(data.trends.latency) : "");
      set(
        "errors",
        showCount(n.errors),
        `${showShare(n.errors_share)} of the calls`,
        n.probes ? `${showCount(n.probes)} probes, which are none` : "",
        data.running ? `${showRate(n.errors_rate)} now` : "",
      );
      cells.errors.value.classList.toggle("ov-bad", n.errors > 0);
      sparkline(cells.calls, series.calls);
      sparkline(cells.throughput, series.throughput);
      sparkline(cells.latency, series.latency);
      const focused = view.root.contains(document.activeElement) || tops.matches(":hover");
      const key = JSON.stringify(data.tops);
      if (tops._key !== key && !(focused && tops._key && performance.now() - tops._drawn < 2000)) {
        // no jumping under the pointer
        tops._key = key;
        tops._drawn = performance.now();
        tops.replaceChildren(...Object.entries(data.tops).map(([title, rows]) => top(title, rows)));
      }
      write(complete, [data.told ? "" : data.accounting, ...data.notes].filter(Boolean).map(printable).join("  ·  "));
      complete.classList.toggle("ov-bad", !data.complete && !data.told);
    },
  };
});
