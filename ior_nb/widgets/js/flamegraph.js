import { middle, node, write } from "./dom.js";
import { familyColor, NOTHING_YET, panel, unpacked } from "./panel.js";
import { plotlyOf, plotlyText } from "./plotlyjs.js";
import { grouped, printable, SHOW, showCount, showShare } from "./text.js";

const FL_MOST = 400; // boxes drawn: plotly lays each out, at about half a millisecond
const FL_ROW = 22,
  FL_LEVELS = 30,
  FL_FOLDED = -2; // the field of a leaf that stands for small frames
// cividis: even to the eye, and the same with all common kinds of colour blindness.
const FL_SCALE = [
  "#00224e",
  "#123570",
  "#3b496c",
  "#575d6d",
  "#707173",
  "#8a8678",
  "#a59c74",
  "#c3b369",
  "#e1cc55",
  "#fee838",
];
const FL_RULER = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));

export default panel((view) => {
  /** @type {any} */
  let data = {}; // what is shown
  /** @type {any} */
  let rows = null; // its columns, and what `taken` makes of them
  let latest = null; // what came last: something else while paused
  let zoom = [],
    history = [];
  /** @type {any} */
  let selected = null;
  let paused = "",
    flame = false,
    query = "",
    fields = "";
  let drawn = new Map(),
    levels = 0,
    plotted = false,
    painting = false,
    again = false,
    cost = 0,
    paintedAt = 0,
    later = 0,
    at = -1,
    shift = false,
    shape = "";
  /** @type {Set<number> | null} */
  let matches = null;

  // ---- the parts of the page
  const order = node("select", {
    "aria-label": "order of the frames",
    title: "what the frames are, from the top down; in a running trace another choice counts from now",
    onchange: () => {
      if (order.value === "custom") edit(data.fields);
      else configure("fields", { fields: order.value.split(",") });
    },
  });
  const width = node("select", {
    "aria-label": "width of the frames",
    title: "what the width means; in a running trace another choice counts from now",
    onchange: () => configure("width", { name: width.value }),
  });
  const colour = node("select", {
    "aria-label": "colour of the frames",
    title: "what the colour means; in a running trace another choice counts from now",
    onchange: () => configure("colour", { name: colour.value }),
  });
  const search = node("input", {
    type: "search",
    placeholder: "search frames",
    "aria-label": "search frames",
    size: "14",
    oninput: () => {
      query = search.value;
      at = -1;
      find();
      paint();
    },
    onkeydown: (event) => {
      if (event.key === "Enter") {
        step(event.shiftKey ? -1 : 1);
        event.preventDefault();
      } else if (event.key === "Escape" && query) {
        search.value = query = "";
        find();
        paint();
        event.stopPropagation();
      }
    },
  });
  const found = node("span", { class: "ior-dim fl-found", role: "status" });
  const pause = node(
    "button",
    { "aria-pressed": "false", title: "freeze the picture; the trace goes on (space)", onclick: freeze },
    "Pause",
  );
  const reset = node("button", { onclick: () => configure("reset") }, "Reset");
  const flip = node(
    "button",
    {
      "aria-pressed": "false",
      title: "turn over: the first frame at the bottom",
      onclick: () => {
        flame = !flame;
        flip.setAttribute("aria-pressed", String(flame));
        paint();
      },
    },
    "Flip",
  );
  const label = (text, control) =>
    node("label", { class: "fl-label" }, node("span", { class: "ior-dim" }, text), control);
  const tools = node(
    "div",
    { class: "ior-row" },
    label("order", order),
    label("width", width),
    label("colour", colour),
    search,
    node("span", { class: "ior-grow" }),
    pause,
    flip,
    reset,
  );
  const editor = node("div", { class: "ior-row fl-editor", hidden: true });
  const crumbs = node("nav", { class: "fl-crumbs", "aria-label": "zoom" });
  const when = node("span", { class: "ior-dim" });
  const plot = node("div", { class: "fl-plot" });
  const message = node("div", { class: "ior-empty fl-none", hidden: true });
  const mark = node("div", { class: "fl-mark", hidden: true });
  const stage = node(
    "div",
    {
      class: "fl-stage",
      tabindex: "0",
      role: "group",
      "aria-label": "flame graph. Arrows select a frame, Enter zooms, U zooms back, F filters, slash searches",
      onkeydown: key,
    },
    plot,
    mark,
    message,
  );
  stage.addEventListener(
    "click",
    (event) => {
      shift = event.shiftKey;
    },
    true,
  );
  const chosen = node("span", { class: "fl-chosen ior-grow", "aria-live": "polite" });
  const enter = node(
    "button",
    { title: "zoom to the selected frame (Enter)", onclick: () => zoomTo(selected) },
    "Zoom",
  );
  const funnel = node(
    "button",
    {
      title: "show only the calls of the selected frame, in all panels (F, or shift-click a frame)",
      onclick: () => narrow(selected),
    },
    "Filter",
  );
  const legend = node("div", { class: "fl-legend ior-dim" });
  const full = node(
    "div",
    {},
    tools,
    editor,
    node("div", { class: "fl-line" }, crumbs, found, when),
    stage,
    node("div", { class: "fl-foot" }, chosen, enter, funnel),
    legend,
  );
  const empty = node("div", { class: "ior-empty", hidden: true }, NOTHING_YET);
  view.body.append(empty, full);
  view.body.setAttribute("data-lm-suppress-shortcuts", "true"); // else the notebook takes our keys for its own

  // ---- the frames
  function taken(message) {
    const columns = unpacked(message.columns),
      n = columns.ids.length;
    /** @type {number[][]} */
    const kids = Array.from({ length: n }, () => []),
      row = new Map(),
      family = new Array(n);
    const depth = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      row.set(columns.ids[i], i);
      const parent = columns.parents[i];
      if (parent < 0) continue;
      kids[parent].push(i);
      depth[i] = depth[parent] + 1;
      const field = message.fields[columns.fields[i]],
        label = columns.labels[i];
      family[i] = field === "family" ? label : field === "syscall" ? message.families[label] : undefined;
    }
    const some = columns.heights?.filter((h) => h > 0);
    const range = some?.length ? [some.reduce((a, b) => Math.min(a, b)), some.reduce((a, b) => Math.max(a, b))] : null;
    return {
      ...columns,
      range,
      kids,
      row,
      family,
      depth,
      unit: message.choices.metrics[message.width],
      second: message.colour,
      secondUnit: message.choices.metrics[message.colour],
    };
  }
  const name = (i) => (i ? rows.labels[i] : "all");
  function wayTo(i) {
    const way = [];
    for (; i > 0; i = rows.parents[i])
      way.unshift({ id: rows.ids[i], name: rows.labels[i], field: data.fields[rows.fields[i]] ?? "" });
    return way;
  }
  /** The row of the deepest frame of a way that is there now. */
  function deepest(way) {
    let best = 0;
    for (const { id } of way) {
      const i = rows.row.get(id);
      if (i === undefined || !rows.totals[i]) break;
      best = i;
    }
    return best;
  }
  // Frames are of rows alone: where calls are missing, theirs are shares of what was recorded.
  const share = () => (view.data.told ? "of the rows" : "of all");
  const amount = (value, unit) => (unit ? SHOW[unit](value) : `${showCount(value)} ${value === 1 ? "call" : "calls"}`);

  // ---- zoom, selection, filter
  function setZoom(way) {
    zoom = way;
    // More detail comes when the kernel listens.
    view.model.send({ kind: "focus", view: view.id, path: way.map((frame) => [frame.field, frame.name]) });
    paint();
  }
  function zoomTo(way) {
    if (!way || (way.length === zoom.length && way.every((frame, i) => frame.id === zoom[i].id))) return;
    history.push(zoom);
    if (history.length > 100) history.shift();
    setZoom(way);
  }
  function back() {
    if (history.length) setZoom(history.pop());
    else if (zoom.length) setZoom([]);
  }
  function select(i) {
    selected = wayTo(i);
    place();
    tell();
  }
  function narrow(way) {
    if (way) view.act("narrow", { path: way.map((frame) => [frame.field, frame.name]) });
  }
  function freeze() {
    paused = paused ? "" : new Date().toLocaleTimeString("en-GB");
    if (!paused && latest) show(latest);
    pause.setAttribute("aria-pressed", String(Boolean(paused)));
    write(pause, paused ? "Go on" : "Pause");
    tell();
    paint();
  }
  function configure(what, body) {
    if (paused) freeze();
    view.act(what, body);
  }
  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !rows) return;
    const now = selected && deepest(selected),
      there = now !== null && drawn.has(rows.ids[now]) ? now : deepest(zoom);
    const siblings = there ? rows.kids[rows.parents[there]].filter((i) => drawn.has(rows.ids[i])) : [there];
    const below = rows.kids[there].filter((i) => drawn.has(rows.ids[i])),
      i = siblings.indexOf(there);
    const largest = below.reduce((a, b) => (a === undefined || rows.totals[b] > rows.totals[a] ? b : a), undefined);
    const up = () => select(there && drawn.has(rows.ids[rows.parents[there]]) ? rows.parents[there] : there),
      down = () => select(largest ?? there);
    const first = !selected || there !== now;
    const acts = {
      ArrowLeft: () => select(first ? there : siblings[Math.max(i - 1, 0)]),
      ArrowRight: () => select(first ? there : siblings[Math.min(i + 1, siblings.length - 1)]),
      ArrowUp: first ? () => select(there) : flame ? down : up,
      ArrowDown: first ? () => select(there) : flame ? up : down,
      Home: () => select(deepest(zoom)),
      PageUp: () => select(deepest(zoom)),
      Enter: () => zoomTo(selected),
      u: back,
      Backspace: back,
      Escape: back,
      " ": freeze,
      f: () => narrow(selected),
      "/": () => search.focus(),
      n: () => step(1),
      N: () => step(-1),
    };
    Object.assign(acts, { h: acts.ArrowLeft, l: acts.ArrowRight, k: acts.ArrowUp, j: acts.ArrowDown });
    if (event.target !== stage || !acts[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
  }

  // ---- search
  function find() {
    matches = null;
    if (!query || !rows) {
      write(found, "");
      return;
    }
    const wanted = query.toLowerCase();
    const hits = new Set();
    const under = new Uint8Array(rows.ids.length);
    let sum = 0;
    for (let i = 1; i < under.length; i++) {
      under[i] = under[rows.parents[i]];
      if (!rows.labels[i].toLowerCase().includes(wanted)) continue;
      hits.add(i);
      if (!under[i]) {
        sum += rows.totals[i];
        under[i] = 1;
      } // what is inside another match is in its total
    }
    matches = hits;
    const share = rows.totals[0] ? (100 * sum) / rows.totals[0] : 0;
    write(found, `${grouped(hits.size)} ${hits.size === 1 ? "frame" : "frames"}, ${share.toFixed(1)} % of the total`);
    found.title = "of the frames that are shown: a thousandth of the total at least, and more below the zoom";
  }
  function step(by) {
    if (!matches?.size) return;
    const list = [...matches];
    at = (at + by + list.length + (at < 0 && by < 0 ? 1 : 0)) % list.length;
    const i = list[at];
    select(i);
    if (!drawn.has(rows.ids[i])) zoomTo(wayTo(rows.parents[i]));
  }

  // ---- the editor of a custom order
  function edit(list) {
    const names = Object.keys(data.choices.fields),
      rest = names.filter((f) => !list.includes(f));
    const moved = (from, to) => {
      const next = [...list];
      next.splice(to, 0, ...next.splice(from, 1));
      return () => edit(next);
    };
    const add = node(
      "select",
      { "aria-label": "add a field", onchange: () => edit([...list, add.value]) },
      node("option", { value: "" }, "add…"),
      ...rest.map((f) =>
        node("option", { value: f, title: data.choices.fields[f] }, `${f}: ${data.choices.fields[f]}`),
      ),
    );
    editor.replaceChildren(
      ...list.map((f, i) =>
        node(
          "span",
          { class: "fl-field", title: data.choices.fields[f] },
          f,
          node("button", { "aria-label": `${f} earlier`, disabled: i === 0, onclick: moved(i, i - 1) }, "‹"),
          node(
            "button",
            { "aria-label": `${f} later`, disabled: i === list.length - 1, onclick: moved(i, i + 1) },
            "›",
          ),
          node(
            "button",
            {
              "aria-label": `without ${f}`,
              disabled: list.length === 1,
              onclick: () => edit(list.filter((g) => g !== f)),
            },
            "×",
          ),
        ),
      ),
      add,
      node(
        "button",
        {
          onclick: () => {
            editor.hidden = true;
            configure("fields", { fields: list });
          },
        },
        "Apply",
      ),
      node(
        "button",
        {
          onclick: () => {
            editor.hidden = true;
            choose();
          },
        },
        "Cancel",
      ),
      node("span", { class: "ior-dim" }, "a running trace counts from now"),
    );
    editor.hidden = false;
  }
  function options(target, pairs, value) {
    const wanted = JSON.stringify(pairs);
    if (target._key !== wanted) {
      target._key = wanted;
      target.replaceChildren(...pairs.map(([v, text]) => node("option", { value: v }, text)));
    }
    if (target !== document.activeElement || target.value !== value) target.value = value;
  }
  function choose() {
    const { presets, metrics } = data.choices,
      now = data.fields.join(",");
    const orders = presets.map((p) => p.join(","));
    options(
      order,
      [
        ...(orders.includes(now) ? orders : [...orders, now]).map((o) => [o, o.split(",").join(" › ")]),
        ["custom", "custom…"],
      ],
      editor.hidden ? now : "custom",
    );
    options(
      width,
      Object.keys(metrics).map((m) => [m, m]),
      data.width,
    );
    options(colour, [["", "family and name"], ...Object.keys(metrics).map((m) => [m, m])], data.colour);
  }

  // ---- drawing
  function coat() {
    const style = getComputedStyle(view.root),
      rgb = (style.backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
    return {
      fg: style.color,
      bg: style.backgroundColor,
      dark: 0.3 * rgb[0] + 0.6 * rgb[1] + 0.1 * rgb[2] < 128 && (rgb[3] ?? 1) > 0.5,
      font: style.fontFamily,
    };
  }
  function hue(text) {
    let h = 2166136261;
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
    return ((h >>> 0) % 997) / 997;
  }
  function painter(dark) {
    const grey = dark ? "#565b62" : "#dfe2e6",
      ink = "#1c2127",
      greyInk = dark ? "#c9cdd2" : "#5b6570";
    const [least, most] = rows.range ?? [0, 0];
    return (i) => {
      if (matches && !matches.has(i)) return [grey, greyInk];
      if (rows.heights) {
        const h = rows.heights[i];
        if (!(h > 0)) return [grey, greyInk];
        const share = most > least ? Math.log(h / least) / Math.log(most / least) : 1,
          k = Math.round(share * 90) / 10;
        const [a, b] = [FL_SCALE[Math.floor(k)], FL_SCALE[Math.ceil(k)]].map((c) =>
          [1, 3, 5].map((p) => parseInt(c.slice(p, p + 2), 16)),
        );
        return [`rgb(${a.map((v, p) => Math.round(v + (b[p] - v) * (k % 1)))})`, k > 5 ? ink : "#fff"];
      }
      if (!i || rows.fields[i] === FL_FOLDED) return [grey, greyInk];
      if (rows.family[i]) return [familyColor(rows.family[i]), ink];
      const h = hue(rows.labels[i]);
      return [
        `hsl(${Math.round(h * 360)},${dark ? 22 : 42}%,${Math.round((dark ? 64 : 82) + ((h * 7919) % 1) * 8)}%)`,
        ink,
      ];
    };
  }
  function cut(text, room) {
    if (room < 26) return "";
    const fits = (t) => FL_RULER.measureText(t).width <= room;
    if (fits(text)) return text;
    let low = 0,
      high = Math.min(text.length, Math.ceil(room / 3));
    while (low < high) {
      const mid = (low + high + 1) >> 1;
      if (fits(`${text.slice(0, mid)}…`)) low = mid;
      else high = mid - 1;
    }
    return low < 2 ? "" : `${text.slice(0, low)}…`;
  }
  /** The boxes of the zoomed part, parents first: those that can be seen, the largest where there are too many. */
  function layout(top, wide) {
    const scale = wide / rows.totals[top],
      boxes = [],
      base = rows.depth[top];
    const waiting = [[top, 0]];
    let least = (1.5 * rows.totals[top]) / wide;
    const inside = [];
    for (const stack = [top]; stack.length; ) {
      const i = stack.pop();
      inside.push(rows.totals[i]);
      for (const k of rows.kids[i]) if (rows.totals[k] >= least && rows.depth[k] - base < FL_LEVELS) stack.push(k);
    }
    if (inside.length > FL_MOST) {
      inside.sort((a, b) => b - a);
      least = Math.max(least, inside[FL_MOST]);
    }
    while (waiting.length && boxes.length < 1.5 * FL_MOST) {
      const [i, x] = /** @type {number[]} */ (waiting.pop());
      boxes.push({
        i,
        id: rows.ids[i],
        family: rows.family[i],
        x,
        w: rows.totals[i] * scale,
        level: rows.depth[i] - base,
      });
      let left = x;
      const next = [];
      for (const k of rows.kids[i])
        if (rows.totals[k] >= least && rows.depth[k] - base < FL_LEVELS) {
          next.push([k, left]);
          left += rows.totals[k] * scale;
        }
      waiting.push(...next.reverse());
    }
    return boxes;
  }
  async function paint() {
    clearTimeout(later);
    if (painting) {
      again = true;
      return;
    }
    const wide = plot.clientWidth;
    if (!rows || !wide || !view.visible || !rows.totals[0]) {
      if (rows && !rows.totals[0]) {
        drawn = new Map();
        place();
        tell();
      }
      return;
    }
    painting = true;
    try {
      const Plotly = await plotlyOf(view);
      if (closed || !rows?.totals[0]) return;
      const began = performance.now(),
        look = coat(),
        colours = painter(look.dark);
      const top = deepest(zoom),
        boxes = layout(top, wide);
      FL_RULER.font = `12px ${look.font}`;
      const used = 1 + boxes.reduce((a, box) => Math.max(a, box.level), 0);
      levels = Math.max(levels, used, 6); // does not shrink: nothing below jumps
      const high = levels * FL_ROW,
        share = used / levels,
        painted = boxes.map((box) => colours(box.i));
      const key = JSON.stringify([top, wide, high, flame, look, painted]),
        before = [...drawn.values()];
      drawn = new Map(boxes.map((box) => [box.id, box]));
      if (
        key === shape &&
        began - paintedAt < 5000 &&
        before.length === boxes.length &&
        boxes.every(
          (box, n) =>
            box.id === before[n].id && Math.abs(box.x - before[n].x) < 0.5 && Math.abs(box.w - before[n].w) < 0.5,
        )
      ) {
        // nothing moved
        for (const [n, box] of boxes.entries()) Object.assign(box, { x: before[n].x, w: before[n].w });
        place();
        tell();
        return;
      }
      shape = key;
      const chain = (i) => (i === top ? "" : String(rows.ids[rows.parents[i]]));
      const trace = {
        type: "icicle",
        branchvalues: "total",
        sort: false,
        tiling: { orientation: "v", flip: flame ? "y" : "", pad: 0 },
        ids: boxes.map(({ i }) => String(rows.ids[i])),
        labels: boxes.map(({ i }) => plotlyText(name(i).slice(0, 300))),
        parents: boxes.map(({ i }) => chain(i)),
        values: boxes.map(({ i }) => rows.totals[i]),
        text: boxes.map(({ i, w }) => plotlyText(cut(printable(name(i).slice(0, 300)), w - 9))),
        textinfo: "text",
        textposition: "middle left",
        textfont: { size: 12, color: painted.map((p) => p[1]) },
        hovertext: boxes.map(({ i }) => hover(i)),
        hoverinfo: "text",
        marker: {
          colors: painted.map((p) => p[0]),
          line: { width: 0.7, color: look.bg },
          pad: { t: 0, l: 0, r: 0, b: 0 },
        },
        leaf: { opacity: 1 },
        root: { color: painted[0][0] },
        pathbar: { visible: false },
        domain: { x: [0, 1], y: flame ? [0, share] : [1 - share, 1] },
      };
      const frame = {
        width: wide,
        height: high,
        margin: { l: 0, r: 0, t: 0, b: 0 },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: look.font, size: 12, color: look.fg },
        hoverlabel: {
          align: "left",
          bgcolor: look.dark ? "#2b2f35" : "#ffffff",
          bordercolor: "#8a9099",
          font: { color: look.dark ? "#eceff3" : "#1c2127", size: 12 },
        },
      };
      await Plotly.react(plot, [trace], frame, { displayModeBar: false, doubleClick: false, showTips: false });
      if (closed) {
        Plotly.purge(plot);
        return;
      }
      if (!plotted) {
        plotted = true;
        /** @type {any} */ (plot).on("plotly_icicleclick", (event) => {
          const i = rows.row.get(Number(event.points?.[0]?.id));
          if (i === undefined) return false;
          stage.focus({ preventScroll: true });
          select(i);
          if (shift) narrow(selected);
          else if (i === deepest(zoom)) back();
          else zoomTo(selected);
          return false; // we zoom ourselves: the zoom outlives frames that come and go
        });
      }
      cost = performance.now() - began;
      paintedAt = performance.now();
      place();
      tell();
    } catch (problem) {
      view.complain(problem.message);
    } finally {
      painting = false;
      if (again) {
        again = false;
        paint();
      }
    }
  }
  function hover(i) {
    const lines = [
      node_text(name(i)),
      `${amount(rows.totals[i], rows.unit)}, ${showShare(rows.totals[i] / rows.totals[0])} ${share()}`,
    ];
    if (rows.heights) lines.push(second(i));
    if (rows.family[i]) lines.push(`family ${printable(rows.family[i])}`);
    return lines.map(plotlyText).join("<br>");
  }
  function node_text(text) {
    return text.length > 90 ? `${text.slice(0, 40)}…${text.slice(-48)}` : text;
  }
  function second(i) {
    const mean =
      data.width === "count" && data.colour !== "count" && rows.totals[i]
        ? `, ${amount(rows.heights[i] / rows.totals[i], rows.secondUnit)} a call`
        : "";
    return `${rows.second} ${amount(rows.heights[i], rows.secondUnit)}${mean}`;
  }
  /** Put the frame of the selection over its box. */
  function place() {
    const box =
      selected &&
      rows &&
      drawn.get(rows.row.has(selected.at(-1)?.id) || !selected.length ? (selected.at(-1)?.id ?? 0) : NaN);
    mark.hidden = !box;
    if (!box) return;
    const y = flame ? levels - 1 - box.level : box.level;
    Object.assign(mark.style, {
      left: `${box.x}px`,
      width: `${Math.max(box.w, 3)}px`,
      top: `${y * FL_ROW}px`,
      height: `${FL_ROW}px`,
    });
  }
  /** Everything in words: the way of the zoom, the selected frame, the legend. */
  function tell() {
    if (!rows) return;
    const there = rows.depth[deepest(zoom)];
    const key = JSON.stringify([zoom.map((frame) => frame.id), there, history.length > 0]);
    if (crumbs._key !== key) {
      crumbs._key = key;
      const crumb = (way, text, missing) =>
        node(
          "button",
          {
            class: missing ? "fl-gone" : "",
            title: missing ? `${text}: no calls now` : text,
            "aria-current": way.length === there && !missing ? "true" : null,
            onclick: () => zoomTo(way),
          },
          text,
        );
      crumbs.replaceChildren(
        crumb([], "all", false),
        ...zoom.flatMap((frame, i) => [
          node("span", { class: "ior-dim", "aria-hidden": "true" }, "›"),
          crumb(zoom.slice(0, i + 1), printable(frame.name), i >= there),
        ]),
        ...(history.length || zoom.length
          ? [node("button", { class: "fl-back", title: "zoom back (U, Backspace or Escape)", onclick: back }, "back")]
          : []),
      );
    }
    write(
      when,
      paused
        ? `paused at ${paused}`
        : data.since
          ? `counting since ${new Date(data.since * 1000).toLocaleTimeString("en-GB")}`
          : "",
    );
    const i = selected && (selected.length ? rows.row.get(selected.at(-1).id) : 0);
    enter.disabled = i === undefined || i === null;
    funnel.disabled = !selected?.length;
    if (!selected) {
      if (chosen._key !== "") {
        chosen._key = "";
        chosen.replaceChildren(
          node("span", { class: "ior-dim" }, "Click a frame to zoom, shift-click it to filter all panels by it."),
        );
      }
    } else {
      const path = selected.map((frame) => frame.name),
        last = path.at(-1) ?? "all";
      if (chosen._key !== path.join("\0") || !chosen._figures) {
        chosen._key = path.join("\0");
        chosen._figures = node("span", { class: "fl-figures" });
        chosen.replaceChildren(
          node("b", { title: printable(last) }, printable(last)),
          chosen._figures,
          node("span", { class: "fl-path ior-dim" }, middle(path.join(" › "), 60)),
        );
      }
      const top = deepest(zoom),
        parts =
          i === undefined
            ? ["no calls now"]
            : [amount(rows.totals[i], rows.unit), `${showShare(rows.totals[i] / rows.totals[0] || 0)} ${share()}`];
      if (i !== undefined && top) parts.push(`${showShare(rows.totals[i] / rows.totals[top] || 0)} of the zoom`);
      if (i !== undefined && rows.heights) parts.push(second(i));
      parts.push(`depth ${path.length}`);
      write(chosen._figures, parts.join("  ·  "));
    }
    const families = [...new Set([...drawn.values()].map((box) => box.family).filter(Boolean))].sort();
    const scale = rows.heights ? (rows.range ?? []).map((v) => amount(v, rows.secondUnit)) : families,
      words = JSON.stringify([rows.second, scale]);
    if (legend._key !== words) {
      legend._key = words;
      const bar = node("span", { class: "fl-scale" });
      bar.style.background = `linear-gradient(to right, ${FL_SCALE})`;
      legend.replaceChildren(
        ...(rows.heights
          ? [
              `${rows.second}: `,
              ...(scale.length
                ? [scale[0], bar, scale[1], " in a frame and all below it, logarithmic; grey is none"]
                : ["none yet"]),
            ]
          : families.map((f) => {
              const dot = node("span", { class: "ior-dot" });
              dot.style.background = familyColor(f);
              return node("span", { class: "fl-family" }, dot, printable(f));
            })),
      );
    }
  }
  function show(next) {
    data = next;
    rows = taken(next);
    if (fields !== next.fields.join()) {
      fields = next.fields.join();
      zoom = [];
      history = [];
      selected = null;
      levels = 0;
      chosen._key = null;
    }
    find();
    choose();
    const none = !rows.totals[0],
      unit = { bytes: "bytes moved", ns: "time" }[rows.unit] ?? "calls";
    message.hidden = !none;
    plot.style.visibility = none ? "hidden" : "";
    const what = next.filtered ? `No ${unit} that pass the filter` : `No ${unit}`;
    const soFar = next.running ? " yet. The picture grows with the calls of the traced program" : " in this trace";
    const end = rows.ids.length > 1 ? ": another width may show more." : ".";
    write(message, none ? `${what}${soFar}${end}` : "");
    reset.title = next.running ? "drop what was counted; count from now" : "show all of the trace again";
  }

  let closed = false;
  const theme = new MutationObserver(() => {
    paint();
    setTimeout(paint, 400);
  });
  theme.observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind", "class"],
  });
  return {
    draw(next) {
      empty.hidden = !next.empty;
      full.hidden = Boolean(next.empty);
      if (next.empty) {
        rows = null;
        latest = null;
        return;
      }
      latest = next;
      if (!paused || !rows) show(next);
      tell();
      clearTimeout(later); // a slow page is given time for other things
      const wait = paintedAt + 5 * cost - performance.now();
      if (wait > 50 && plotted) later = setTimeout(paint, wait);
      else paint();
    },
    resize() {
      paint();
    },
    close() {
      closed = true;
      clearTimeout(later);
      theme.disconnect();
      if (plotted) globalThis.__iorPlotly?.then((Plotly) => Plotly.purge(plot));
    },
  };
});
