/** @import { View } from "./panel.js" */

import { node, write } from "./dom.js";
import { plotlyOf, plotlyText } from "./plotlyjs.js";
import { choices } from "./table.js";
import { printable, SHOW, showShare } from "./text.js";

const MAP_MS = 2000; // between two pictures: plotly takes about 0.1 s for one

/**
 * @typedef {object} Box
 * @property {string} name
 * @property {string} parent id of the box it is in; empty for the root
 * @property {number} value what of `whole` its children do not cover
 * @property {number} whole
 * @property {string} color
 * @property {object | null} [narrow] what it pushes onto the filter
 * @property {boolean} [leaf]
 */
/**
 * A treemap drawn by plotly, in place of a table. A click zooms into a box that has boxes, and narrows by one that has
 * none. `kind` are the buttons that choose between table and treemap; `shown()` tells which it is.
 *
 * @param {View} view
 * @param {object} what
 * @param {string} what.hint
 * @param {(metric: string) => Map<string, Box>} what.boxes by id, the root first, at most 300
 * @param {() => void} what.onswitch the other one is shown from now on
 */
export function treemap(view, { hint, boxes, onswitch }) {
  const kind = choices(
    "view",
    [
      ["table", "Table"],
      ["treemap", "Treemap"],
    ],
    (value) => {
      on = false; // until the panel has put its table away, or back
      element.hidden = bar.hidden = value !== "treemap";
      onswitch();
      on = !element.hidden;
      if (on) {
        view.complain("");
        draw(true);
      }
    },
  );
  const metric = node(
    "select",
    { "aria-label": "size of the boxes", onchange: () => draw(true) },
    node("option", { value: "count" }, "by calls"),
    node("option", { value: "bytes" }, "by bytes"),
    node("option", { value: "total" }, "by time"),
  );
  const only = node("button", { hidden: true, onclick: () => view.act("narrow", nodes.get(level).narrow) });
  const back = node(
    "button",
    {
      hidden: true,
      onclick: () => {
        zoomed("");
        draw(true);
      },
    },
    "Back",
  );
  const said = node("span", { class: "tb-hint", title: hint }, hint);
  const plot = node("div", { class: "tb-map", onmouseleave: () => draw() });
  const bar = node("div", { class: "tb-map-bar", hidden: true }, metric, back, only, said);
  const element = node("div", { hidden: true }, plot);
  /** @type {any} */
  let Plotly = null;
  let nodes = new Map(),
    level = "",
    on = false,
    busy = false,
    again = false,
    drawn = 0,
    timer = 0;

  const color = (name) => getComputedStyle(view.root).getPropertyValue(name).trim();
  const pale = (hex) =>
    `#${[1, 3, 5]
      .map((at) =>
        Math.round(parseInt(hex.slice(at, at + 2), 16) * 0.62 + 97)
          .toString(16)
          .padStart(2, "0"),
      )
      .join("")}`;
  /** Cut a path in its middle, a name at its end. */
  function cut(text, most, end = false) {
    const shown = printable(text);
    if (shown.length <= most || most < 4) return shown.length <= most ? shown : "";
    return end
      ? `${shown.slice(0, most - 1)}…`
      : `${shown.slice(0, Math.floor(most / 3))}…${shown.slice(-Math.floor((2 * most) / 3))}`;
  }
  function zoomed(id) {
    level = nodes.get(id)?.parent ? id : "";
    back.hidden = !level;
    only.hidden = !nodes.get(level)?.narrow;
    if (!only.hidden) write(only, `Show only ${cut(nodes.get(level).name, 40)}`);
  }
  async function draw(now = false) {
    clearTimeout(timer);
    if (!on) return;
    if (busy) {
      again = true;
      return;
    }
    if (!now && plot.matches(":hover")) return; // no jumping under the pointer
    if (!now && performance.now() - drawn < MAP_MS) {
      timer = setTimeout(draw, drawn + MAP_MS + 50 - performance.now());
      return;
    }
    busy = true;
    try {
      if (!Plotly) {
        write(said, "loading plotly …");
        Plotly = await plotlyOf(view);
      }
      write(said, hint);
      nodes = boxes(metric.value);
      if (!nodes.has(level)) zoomed("");
      const ids = [...nodes.keys()],
        list = [...nodes.values()],
        show = SHOW[{ count: "count", bytes: "bytes", total: "ns" }[metric.value]];
      const [first] = list,
        area = (plot.clientWidth * plot.clientHeight) / ((nodes.get(level) ?? first).whole || 1);
      // What a square of that size has room for.
      const letters = list.map((box) => Math.floor(Math.sqrt(box.whole * area) / 7.5));
      const style = getComputedStyle(view.root),
        ink = style.color,
        ground = style.backgroundColor,
        shade = color("--ior-bg2");
      const trace = {
        type: "treemap",
        ids,
        parents: list.map((box) => box.parent),
        values: list.map((box) => box.value),
        branchvalues: "remainder",
        level: level || ids[0],
        labels: list.map((box, i) => plotlyText(cut(box.name, letters[i], box.leaf))),
        text: list.map((box, i) => (letters[i] > 4 ? show(box.whole) : "")),
        textinfo: "label+text",
        customdata: list.map((box) => [
          plotlyText(cut(box.name, 160)),
          `${show(box.whole)}, ${showShare(box.whole / (first.whole || 1))} of all`,
        ]),
        hovertemplate: "%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
        tiling: { pad: 1, packing: "squarify" },
        pathbar: { visible: false },
        textfont: { color: list.map((box) => (box.parent ? "#15181c" : ink)), size: 12 },
        marker: {
          colors: list.map((box) => (box.parent ? (box.leaf ? pale(box.color) : box.color) : shade)),
          line: { width: 1, color: ground },
          pad: { t: 19, l: 2, r: 2, b: 2 },
        },
      };
      await Plotly.react(
        plot,
        [trace],
        {
          margin: { t: 2, l: 0, r: 0, b: 2 },
          paper_bgcolor: "rgba(0,0,0,0)",
          font: { family: style.fontFamily, color: ink },
          width: plot.clientWidth,
          height: plot.clientHeight,
          hoverlabel: { align: "left" },
        },
        { displayModeBar: false, responsive: false },
      );
      if (!plot._listens) {
        plot._listens = true;
        /** @type {any} */ (plot).on("plotly_treemapclick", clicked); // plotly puts it there
      }
    } catch (problem) {
      view.complain(problem.message);
      on = false;
    }
    busy = false;
    drawn = performance.now();
    if (again) {
      again = false;
      draw();
    }
  }
  function clicked({ points, event, nextLevel }) {
    const id = points?.[0]?.id,
      box = nodes.get(id);
    if (!box) return false;
    if (box.narrow && (box.leaf || event?.shiftKey)) view.act("narrow", box.narrow);
    else if (!box.leaf) {
      zoomed(nextLevel ?? id);
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
        timer = setTimeout(draw, 900, true); // new labels when the boxes have grown
        return true;
      }
      draw(true);
    }
    return false; // no zoom
  }
  return {
    kind,
    element,
    bar,
    draw,
    shown: () => !element.hidden,
    close() {
      on = false;
      clearTimeout(timer);
      if (plot._listens) Plotly.purge(plot);
    },
  };
}
