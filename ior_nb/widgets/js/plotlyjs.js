/** @import { View } from "./panel.js" */

import { printable } from "./text.js";

/**
 * plotly.js, from the hidden widget the panel's trait `plotly` names; evaluated once a page. Rejects with a text for
 * the user.
 *
 * @param {View} view
 */
export function plotlyOf(view) {
  globalThis.__iorPlotly ??= loadPlotly(view.model).catch((problem) => {
    delete globalThis.__iorPlotly; // the next view tries again
    throw new Error(`plotly.js could not be loaded: ${problem.message}`);
  });
  return globalThis.__iorPlotly;
}

async function loadPlotly(model) {
  const id = model.get("plotly").replace("IPY_MODEL_", "");
  let holder;
  for (let tries = 0; !holder; tries++) {
    // after a reload models come back in any order
    try {
      holder = await model.widget_manager.get_model(id);
    } catch (problem) {
      if (tries > 100) throw problem;
    }
    if (!holder) {
      if (tries > 100) throw new Error("its widget is gone. Run the cell again.");
      await new Promise((later) => setTimeout(later, 100));
    }
  }
  const gz = holder.get("gz");
  if (!gz?.byteLength) throw new Error("it is not in the installed package plotly. Install it again.");
  const code = await new Response(new Blob([gz]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
  // A module of its own, as anywidget's: no `eval`, no loader of the page's sees it, and another's Plotly stays.
  const before =
    'const had = Object.getOwnPropertyDescriptor(globalThis, "Plotly");\n' +
    "const module = { exports: {} }, exports = module.exports; let define, require;\n";
  const after =
    '\nif (had) Object.defineProperty(globalThis, "Plotly", had); else delete globalThis.Plotly;\n' +
    "export default module.exports;";
  const url = URL.createObjectURL(new Blob([before, code, after], { type: "text/javascript" }));
  try {
    return (await import(/* webpackIgnore: true */ url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Traced text for plotly, whose texts are a dialect of HTML, and of TeX between dollars. */
export function plotlyText(text) {
  return printable(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\$/g, "&#36;");
}
