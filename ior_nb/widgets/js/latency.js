import { node, write } from "./dom.js";
import { panel, unpacked } from "./panel.js";
import { SPENT } from "./spent.js";
import { printable, showCount, showNs, showShare } from "./text.js";

const MAP = { left: 60, right: 10, top: 8, bottom: 22, height: 236 };
// Viridis: even steps for the eye, also with any common kind of colour blindness.
const VIRIDIS = [
  "#440154",
  "#482475",
  "#414487",
  "#355f8d",
  "#2a788e",
  "#21918c",
  "#22a884",
  "#44bf70",
  "#7ad151",
  "#bddf26",
  "#fde725",
].map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
function viridis(at) {
  const place = Math.min(Math.max(at, 0), 1) * (VIRIDIS.length - 1),
    i = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return `rgb(${VIRIDIS[i].map((v, k) => Math.round(v + (VIRIDIS[i + 1][k] - v) * (place - i))).join(",")})`;
}
/** Few calls are close to the background, many far from it: the scale is turned round in the light. */
const SCALES = { dark: (t) => viridis(0.22 + 0.78 * t), light: (t) => viridis(0.93 - 0.93 * t) };

function interval(lower, upper) {
  if (!upper) return `${showNs(lower)} or more`;
  return lower ? `${showNs(lower)} – ${showNs(upper)}` : `under ${showNs(upper)}`;
}
function roundUp(value) {
  const ten = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((m) => m * ten).find((m) => m >= value);
}

export default panel((view) => {
  const empty = node(
    "div",
    { class: "ior-empty" },
    "No call has been timed yet. Start a trace and let it do some I/O.",
  );

  // ---- the two histograms
  let scale = "linear";
  const scales = ["linear", "log"].map((kind) =>
    node(
      "button",
      {
        "aria-pressed": String(kind === scale),
        onclick: () => {
          scale = kind;
          for (const one of scales) one.setAttribute("aria-pressed", String(one.textContent === kind));
          view.redraw();
        },
      },
      kind,
    ),
  );
  function histogram(dimension, title, of, ...more) {
    const total = node("span", { class: "ior-dim" }),
      list = node("div", { role: "group", "aria-label": title });
    const head = ["", "", "count", "share", "≤"].map((text, i) =>
      node("span", { class: i ? "ior-num" : "", title: i === 4 ? "share of all up to here" : undefined }, text),
    );
    const made = node(
      "section",
      { class: "lt-half" },
      node(
        "div",
        { class: "ior-row" },
        node("span", { class: "lt-title" }, title),
        total,
        node("span", { class: "ior-grow" }),
        ...more,
      ),
      node("div", { class: "lt-bar lt-head", "aria-hidden": "true" }, ...head),
      list,
    );
    let bars = [];
    list.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key],
        open = bars.filter((bar) => !bar.button.disabled).map((bar) => bar.button);
      const next = open[open.indexOf(document.activeElement) + step];
      if (step) event.preventDefault();
      next?.focus();
    });
    function draw(rows, whole = 0) {
      if (bars.length !== rows.length) {
        bars = rows.map(([lower, upper]) => {
          const fill = node("span", { class: "lt-fill" }),
            cells = [0, 1, 2].map(() => node("span", { class: "ior-num" }));
          const button = node(
            "button",
            { class: "lt-bar", onclick: () => view.act("narrow", { dimension, lower, upper }) },
            node("span", { class: "lt-name" }, interval(lower, upper)),
            node("span", { class: "lt-track" }, fill),
            ...cells,
          );
          return { button, fill, cells };
        });
        list.replaceChildren(...bars.map((bar) => bar.button));
      }
      const sum = rows.reduce((all, row) => all + row[2], 0),
        most = Math.max(...rows.map((row) => row[2]), 1);
      let running = 0;
      rows.forEach(([lower, upper, count], i) => {
        running += count;
        const { button, fill, cells } = bars[i];
        fill.style.width = `${100 * (scale === "log" ? Math.log1p(count) / Math.log1p(most) : count / most)}%`;
        write(cells[0], showCount(count));
        write(cells[1], sum ? showShare(count / sum) : "");
        write(cells[2], sum ? showShare(running / sum) : "");
        const say = `${interval(lower, upper)}: ${showCount(count)} ${of}; show only these`;
        if (button.title !== say) button.title = say;
        button.disabled = !count;
      });
      const part = sum < whole ? ` of ${showCount(whole)}` : "";
      write(total, sum ? `${showCount(sum)}${part} ${of}${part && ": those that were recorded"}` : `no ${of} yet`);
    }
    return { made, draw };
  }
  const latency = histogram(
      "latency",
      "Latency of calls",
      "calls",
      node("span", { class: "lt-scale" }, node("span", { class: "ior-dim" }, "bars"), ...scales),
    ),
    gap = histogram("gap", "Gap between a thread's calls", "gaps");
  const estimate = node(
    "div",
    { class: "ior-dim lt-note", hidden: true },
    "Calls the kernel only counted are known to a factor of two; the bars split them as the recorded ones.",
  );

  // ---- percentiles of one call, or of all
  const KEYS = { min: "min", p50: "p50", p90: "p90", p95: "p95", p99: "p99", p999: "p99.9", max: "max" };
  const ALL = "all calls";
  /** @type {Record<string, any>} */
  let columns = { name: [] };
  const which = node("select", { "aria-label": "percentiles of", onchange: () => drawPercentiles() });
  const values = Object.keys(KEYS).map((key) => {
    const value = node("span", { class: "lt-value" });
    const button = node(
      "button",
      {
        class: "lt-percentile",
        onclick: () =>
          view.act("narrow", { dimension: "latency", lower: Math.floor(button._ns), upper: 0, syscall: which.value }),
      },
      node("span", { class: "ior-dim" }, KEYS[key]),
      value,
    );
    return { key, value, button };
  });
  const behind = node("span", { class: "ior-dim" });
  function drawPercentiles() {
    const names = [...columns.name].sort(),
      known = names.join();
    if (which._known !== known && which !== document.activeElement) {
      const chosen = which.value;
      which._known = known;
      which.replaceChildren(...names.map((name) => node("option", { value: name }, name ? printable(name) : ALL)));
      which.value = names.includes(chosen) ? chosen : "";
    }
    const row = columns.name.indexOf(which.value);
    if (row < 0) return;
    const shown = columns.measured[row] > 0;
    for (const { key, value, button } of values) {
      button._ns = columns[key][row];
      write(value, shown || key === "max" || key === "min" ? showNs(button._ns) : "–");
      button.disabled = !(button._ns > 0);
      const calls = which.value ? printable(which.value) : "calls";
      button.title = `show only ${calls} that took ${showNs(button._ns)} or more`;
    }
    write(
      behind,
      columns.measured[row] < columns.timed[row]
        ? `percentiles from ${showCount(columns.measured[row])} of ${showCount(columns.timed[row])} calls`
        : `from ${showCount(columns.timed[row])} calls`,
    );
  }

  // ---- what the time went to
  const spentTitle = node("div", { class: "ior-row lt-line" }, node("span", { class: "lt-title" }, "Time in calls"));
  const spentParts = node("div", { class: "lt-spent" });
  function drawSpent(parts) {
    const whole = Object.values(parts).reduce((sum, ns) => sum + ns, 0);
    spentTitle.hidden = spentParts.hidden = !whole;
    spentParts.replaceChildren(
      ...Object.entries(SPENT)
        .filter(([name]) => parts[name] > 0)
        .map(([name, word]) =>
          node(
            "button",
            {
              class: `lt-part lt-${name}`,
              style: `flex-grow: ${Math.max(parts[name] / whole, 0.02)}`,
              title: `${word}: ${showNs(parts[name])}, ${showShare(parts[name] / whole)}; show only calls with some of it`,
              onclick: () => view.act("narrow", { part: name }),
            },
            `${word} ${showNs(parts[name])}`,
          ),
        ),
    );
  }

  // ---- the map
  const canvas = node("canvas", {
    class: "lt-map",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "heat map",
    "aria-label":
      "calls by time and latency: arrow keys move, Shift extends, Enter narrows to the latency, Escape lets go",
  });
  const legend = node("span", { class: "lt-legend" }),
    few = node("span", {}, "1"),
    ramp = node("span", { class: "lt-ramp" }),
    many = node("span"),
    cell = node("span");
  legend.append(few, ramp, many, cell);
  const readout = node("div", { class: "lt-readout", "aria-live": "polite" });
  const actions = node("div", { class: "ior-row lt-actions" });
  const chosen = node("span", {});
  const narrow = (latency, time) => () => narrowTo(latency, time);
  const byLatency = node("button", { onclick: narrow(true, false), title: "Enter" }, "Only this latency");
  const byTime = node(
    "button",
    {
      onclick: narrow(false, true),
      title: "calls that began then; while a trace runs, only the stream still has them",
    },
    "Only this time",
  );
  const byBoth = node("button", { onclick: narrow(true, true) }, "Both");
  actions.append(
    chosen,
    byLatency,
    byTime,
    byBoth,
    node(
      "button",
      {
        onclick: () => {
          picked = null;
          paint();
          canvas.focus();
        },
        "aria-label": "let go of the selection",
      },
      "×",
    ),
  );
  /** @type {any} */
  let map = null; // what `taken` made of the last state
  /**
   * @typedef {{ s0: number, s1: number, b0: number, b1: number }} Place slots on the clock of the rows, and rows of the
   *   map, both ends included
   */
  /** @type {Place | null} */
  let picked = null;
  /** @type {Place | null} */
  let hover = null;
  /** @type {Place | null} */
  let drag = null;
  let number = -1;

  function taken(data) {
    const parts = unpacked(
      Object.fromEntries(["edges", "first", "last", "counts", "many_at", "many"].map((key) => [key, data[key]])),
    );
    const counts = Float64Array.from(parts.counts); // column by column, `wide` rows each
    parts.many_at.forEach((at, i) => {
      counts[at] += 256 * parts.many[i];
    });
    const wide = parts.edges.length - 1,
      log = (ns) => Math.log10(Math.max(ns, 0.5));
    const logs = Array.from(parts.edges, log);
    return {
      ...data,
      ...parts,
      counts,
      wide,
      logs,
      bottom: Math.floor(logs[0] + 1e-9),
      top: Math.max(Math.ceil(logs[wide] - 1e-9), Math.floor(logs[0]) + 1),
      begin: data.end - data.slots + 1,
    };
  }
  const plotWidth = () => Math.max(canvas.clientWidth - MAP.left - MAP.right, 1);
  const plotHeight = MAP.height - MAP.top - MAP.bottom;
  const atX = (slot) => MAP.left + (Math.max(slot - map.begin, 0) / map.slots) * plotWidth();
  const atY = (log) => MAP.top + ((map.top - log) / (map.top - map.bottom)) * plotHeight;
  function placeAt(event) {
    const box = canvas.getBoundingClientRect();
    const share = (event.clientX - box.left - MAP.left) / plotWidth(),
      up = (event.clientY - box.top - MAP.top) / plotHeight;
    const slot = map.begin + Math.floor(Math.min(Math.max(share, 0), 0.9999) * map.slots);
    const log = map.top - up * (map.top - map.bottom);
    let bucket = 0;
    while (bucket < map.wide - 1 && map.logs[bucket + 1] <= log) bucket++;
    return {
      inside: share >= 0 && share < 1 && up >= 0 && up < 1,
      ...whole(slot, slot),
      b0: map.low + bucket,
      b1: map.low + bucket,
    };
  }
  /** Widen an interval of slots to whole columns: what came while nobody looked has no finer time. */
  function whole(s0, s1) {
    for (let i = 0; i < map.first.length; i++) {
      const first = map.end + map.first[i],
        last = map.end + map.last[i];
      if (first <= s0 && s0 <= last) s0 = first;
      if (first <= s1 && s1 <= last) s1 = last;
    }
    return { s0, s1 };
  }
  function countIn({ s0, s1, b0, b1 }) {
    let sum = 0;
    for (let column = 0; column < map.first.length; column++) {
      if (map.end + map.first[column] > s1 || map.end + map.last[column] < s0) continue;
      for (let bucket = b0; bucket <= b1; bucket++) sum += map.counts[column * map.wide + bucket - map.low];
    }
    return sum;
  }
  const lower = (place) => Math.ceil(map.edges[place.b0 - map.low]),
    upper = (place) => Math.ceil(map.edges[place.b1 - map.low + 1]);
  function clock(slot) {
    const made = new Date((map.end_s - (map.end - slot) * map.slot_s) * 1000);
    const parts = String(made.getMilliseconds()).padStart(3, "0");
    return `${made.toLocaleTimeString("en-GB")}.${map.slot_s < 0.1 ? parts : parts[0]}`;
  }
  function tell(place) {
    const calls = `${showCount(countIn(place))} calls`,
      when = `${clock(place.s0)} – ${clock(place.s1 + 1)}`;
    return [calls, interval(lower(place), upper(place)), when].join("  ·  ");
  }
  function narrowTo(latency, time) {
    if (!picked) return;
    view.act("narrow", {
      ...(latency ? { dimension: "latency", lower: lower(picked), upper: upper(picked) } : {}),
      ...(time ? { first: picked.s0, last: picked.s1 } : {}),
    });
  }

  function paint() {
    if (!map || !canvas.clientWidth) return;
    const ratio = window.devicePixelRatio || 1,
      width = canvas.clientWidth;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(MAP.height * ratio)) canvas.height = Math.round(MAP.height * ratio);
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")),
      style = getComputedStyle(view.root);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, MAP.height);
    pen.font = `11px ${style.fontFamily}`;
    const [red, green, blue] = style.backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [255, 255, 255];
    const shade = 0.3 * red + 0.6 * green + 0.1 * blue < 128 ? "dark" : "light";
    const color = (name) => style.getPropertyValue(name).trim();
    const fg2 = getComputedStyle(legend).color,
      line = color("--ior-line"),
      accent = color("--ior-accent");

    let most = 1;
    const widths = Array.from(map.first, (first, i) => map.last[i] - first + 1);
    map.counts.forEach((count, i) => {
      most = Math.max(most, count / widths[Math.floor(i / map.wide)]);
    });
    most = roundUp(most) ?? most;
    map.counts.forEach((count, i) => {
      if (!count) return;
      const column = Math.floor(i / map.wide),
        bucket = i % map.wide;
      const x = atX(map.end + map.first[column]),
        y = atY(map.logs[bucket + 1]);
      pen.fillStyle = SCALES[shade](most > 1 ? Math.log(Math.max(count / widths[column], 1)) / Math.log(most) : 0);
      pen.fillRect(
        x,
        y,
        Math.max(atX(map.end + map.last[column] + 1) - x, 1) + 0.3,
        Math.max(atY(map.logs[bucket]) - y, 1) + 0.3,
      );
    });
    if (canvas._shade !== shade) {
      canvas._shade = shade;
      const steps = Array.from({ length: 9 }, (_, i) => SCALES[shade](i / 8));
      ramp.style.background = `linear-gradient(to right, ${steps.join(", ")})`;
    }
    write(many, showCount(most));
    write(cell, `calls in a cell of ${showNs(map.slot_s * 1e9)}`);

    pen.strokeStyle = line;
    pen.fillStyle = fg2;
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (let decade = map.bottom; decade <= map.top; decade++) {
      const y = Math.round(atY(decade)) + 0.5;
      pen.globalAlpha = 0.55;
      pen.beginPath();
      pen.moveTo(MAP.left, y);
      pen.lineTo(width - MAP.right, y);
      pen.stroke();
      pen.globalAlpha = 1;
      pen.fillText(showNs(10 ** decade), MAP.left - 6, Math.min(Math.max(y, 8), MAP.height - MAP.bottom - 2));
    }
    pen.strokeRect(MAP.left - 0.5, MAP.top + 0.5, plotWidth() + 1, plotHeight);
    pen.textBaseline = "top";
    const span = map.slots * map.slot_s,
      step = plotWidth() < 420 ? span / 3 : span / 6;
    for (let tick = 0; tick * step <= span * 1.001; tick++) {
      const ago = tick * step,
        x = width - MAP.right - (ago / span) * plotWidth();
      pen.textAlign = ago === 0 ? "right" : "center";
      pen.fillText(
        ago ? `−${showNs(ago * 1e9)}` : map.running ? "now" : "end",
        Math.max(x, MAP.left + (ago ? 12 : 0)),
        MAP.height - MAP.bottom + 6,
      );
    }
    for (let i = 0; i < widths.length; i++)
      if (widths[i] > map.watched) {
        // what came while nobody looked
        const x = atX(map.end + map.first[i]),
          w = atX(map.end + map.last[i] + 1) - x;
        pen.save();
        pen.beginPath();
        pen.rect(x, MAP.top, w, plotHeight);
        pen.clip();
        pen.strokeStyle = fg2;
        pen.globalAlpha = 0.35;
        pen.beginPath();
        for (let d = -plotHeight; d < w; d += 9) {
          pen.moveTo(x + d, MAP.top + plotHeight);
          pen.lineTo(x + d + plotHeight, MAP.top);
        }
        pen.stroke();
        pen.globalAlpha = 1;
        const text = "nobody looked: one sum";
        if (w > pen.measureText(text).width + 12) {
          pen.textAlign = "center";
          pen.lineWidth = 4;
          pen.strokeStyle = color("--ior-bg");
          pen.fillStyle = color("--ior-fg");
          pen.strokeText(text, x + w / 2, MAP.top + 6);
          pen.fillText(text, x + w / 2, MAP.top + 6);
        }
        pen.restore();
      }
    const frame = (place, stroke) => {
      const x = atX(place.s0),
        y = atY(map.logs[place.b1 - map.low + 1]);
      const wide = Math.max(atX(place.s1 + 1) - x, 2),
        high = Math.max(atY(map.logs[place.b0 - map.low]) - y, 2);
      const outline = (ink, thick) => {
        pen.strokeStyle = ink;
        pen.lineWidth = thick;
        pen.strokeRect(x, y, wide, high);
      };
      outline(color("--ior-bg"), 5); // stands out on any colour
      outline(stroke, 2);
    };
    if (hover && !drag) frame(hover, fg2);
    if (picked) frame(picked, accent);
    write(
      readout,
      hover && !drag
        ? tell(hover)
        : picked
          ? tell(picked)
          : "Drag over the map, or use the arrow keys, to choose an interval.",
    );
    actions.classList.toggle("lt-off", !picked);
    for (const button of actions.querySelectorAll("button")) button.disabled = !picked;
    write(
      chosen,
      picked ? `selected: ${showCount(countIn(picked))} calls, ${interval(lower(picked), upper(picked))}` : "",
    );
  }

  canvas.addEventListener("pointermove", (event) => {
    if (!map) return;
    const place = placeAt(event);
    hover = place.inside ? place : null;
    if (drag)
      picked = {
        ...whole(Math.min(drag.s0, place.s0), Math.max(drag.s1, place.s1)),
        b0: Math.min(drag.b0, place.b0),
        b1: Math.max(drag.b1, place.b1),
      };
    paint();
  });
  canvas.addEventListener("pointerleave", () => {
    hover = null;
    paint();
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (!map || event.button) return;
    anchor = null;
    const place = placeAt(event);
    if (!place.inside) return;
    canvas.setPointerCapture(event.pointerId);
    picked = drag = place;
    paint();
  });
  for (const kind of ["pointerup", "pointercancel"])
    canvas.addEventListener(kind, () => {
      drag = null;
      paint();
    });
  /** @type {any} */
  let anchor = null;
  canvas.addEventListener("keydown", (event) => {
    if (!map) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (step) {
      event.preventDefault();
      if (!picked) {
        // begin where most calls are
        const most = map.counts.reduce((best, count, i) => (count > map.counts[best] ? i : best), 0),
          b = map.low + (most % map.wide);
        anchor = { s: map.end, toS: map.end, b, toB: b };
      } else {
        anchor ??= { s: picked.s0, toS: picked.s1, b: picked.b0, toB: picked.b1 };
        const column = whole(anchor.toS, anchor.toS);
        if (step[0])
          anchor.toS = Math.min(Math.max((step[0] < 0 ? column.s0 : column.s1) + step[0], map.begin), map.end);
        anchor.toB = Math.min(Math.max(anchor.toB + step[1], map.low), map.low + map.wide - 1);
        if (!event.shiftKey) {
          anchor.s = anchor.toS;
          anchor.b = anchor.toB;
        }
      }
      picked = {
        ...whole(Math.min(anchor.s, anchor.toS), Math.max(anchor.s, anchor.toS)),
        b0: Math.min(anchor.b, anchor.toB),
        b1: Math.max(anchor.b, anchor.toB),
      };
      hover = null;
      paint();
    } else if (event.key === "Enter") narrowTo(true, false);
    else if (event.key === "Escape") {
      picked = anchor = null;
      paint();
    }
  });

  const part = node("span", { class: "ior-dim" });
  const full = node(
    "div",
    {},
    node("div", { class: "lt-halves" }, latency.made, gap.made),
    estimate,
    node("div", { class: "ior-row lt-line" }, node("span", { class: "lt-title" }, "Percentiles of"), which, behind),
    node("div", { class: "lt-percentiles" }, ...values.map((value) => value.button)),
    spentTitle,
    spentParts,
    node(
      "div",
      { class: "ior-row lt-line" },
      node("span", { class: "lt-title" }, "Latency over time"),
      part,
      node("span", { class: "ior-grow" }),
      legend,
    ),
    canvas,
    readout,
    actions,
  );
  view.body.append(empty, full);
  const themes = new MutationObserver(() => paint());
  themes.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light"] });

  return {
    draw(data) {
      empty.hidden = !data.empty;
      full.hidden = data.empty;
      if (data.empty) return;
      latency.draw(data.latency, data.map.timed);
      gap.draw(data.gap);
      estimate.hidden = data.exact;
      columns = unpacked(data.percentiles);
      drawPercentiles();
      if (!spentParts.contains(document.activeElement)) drawSpent(data.spent);
      map = { ...taken(data.map), running: data.running };
      if (number !== map.number) {
        number = map.number;
        picked = hover = drag = anchor = null;
      }
      if (hover && hover.s0 < map.begin) hover = null;
      if (picked && picked.s1 < map.begin && !drag) picked = anchor = null; // it has left the map
      write(
        part,
        map.recorded < map.timed
          ? `${showCount(map.recorded)} of ${showCount(map.timed)} calls: those that were recorded`
          : "",
      );
      paint();
    },
    resize: paint,
    close() {
      themes.disconnect();
    },
  };
});
