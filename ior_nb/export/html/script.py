"""The script of the report: hover, zoom and search in the flame graph, sorting of tables. The page works without it."""

from typing import Final

__all__ = ["SCRIPT"]

# Nothing here turns text into markup, evaluates it, or asks the network: textContent and attributes only.
SCRIPT: Final = """
"use strict";
document.documentElement.classList.add("js");
for (const graph of document.querySelectorAll(".graph")) {
  const hint = graph.querySelector(".hint");
  const whole = hint.textContent;
  let idle = whole;
  const boxes = Array.from(graph.querySelectorAll("svg svg"), (box) => ({
    box, x: parseFloat(box.getAttribute("x")), w: parseFloat(box.getAttribute("width")),
    y: parseFloat(box.getAttribute("y")), text: box.querySelector("title").textContent,
  }));
  const show = (to) => {
    const pixels = graph.clientWidth / 100;
    for (const b of boxes) {
      const above = to && b.y < to.y && b.x <= to.x + 1e-6 && b.x + b.w >= to.x + to.w - 1e-6;
      const x = above ? 0 : to ? (b.x - to.x) * 100 / to.w : b.x;
      const w = above ? 100 : to ? b.w * 100 / to.w : b.w;
      const gone = to && !above && (b.y < to.y || x < -1e-3 || x + w > 100 + 1e-3);
      b.box.classList.toggle("gone", Boolean(gone));
      b.box.classList.toggle("above", Boolean(above));
      b.box.classList.toggle("thin", w * (pixels || 11) < 26);
      b.box.setAttribute("x", x + "%");
      b.box.setAttribute("width", w + "%");
    }
  };
  for (const b of boxes) {
    b.box.addEventListener("click", () => show(b.w > 99.999 ? null : b));
    b.box.addEventListener("mouseenter", () => { hint.textContent = b.text.replace("\\n", " \\u2014 "); });
  }
  graph.addEventListener("mouseleave", () => { hint.textContent = idle; });
  graph.reset = () => show(null);
  graph.find = (wanted) => {
    let sum = 0;
    const taken = [];
    for (const b of boxes) {
      const hit = wanted !== "" && b.box.querySelector("text").textContent.toLowerCase().includes(wanted);
      b.box.classList.toggle("hit", hit);
      if (hit && !taken.some((t) => t.y < b.y && b.x >= t.x - 1e-6 && b.x + b.w <= t.x + t.w + 1e-6)) {
        taken.push(b);
        sum += b.w;
      }
    }
    idle = wanted === "" ? whole : sum.toFixed(1) + " % in frames that contain this text";
    hint.textContent = idle;
  };
}
const graphs = document.querySelectorAll(".graph");
const search = document.getElementById("search");
if (search) {
  search.addEventListener("input", () => graphs.forEach((g) => g.find(search.value.trim().toLowerCase())));
  document.getElementById("reset").addEventListener("click", () => {
    search.value = "";
    graphs.forEach((g) => { g.find(""); g.reset(); });
  });
}
for (const head of document.querySelectorAll("th[data-sort]")) {
  head.addEventListener("click", () => {
    const at = head.cellIndex;
    const body = head.closest("table").tBodies[0];
    const value = (row) => row.cells[at].dataset.v;
    const down = head.dataset.sort !== "down";
    const rows = Array.from(body.rows).sort((a, b) => {
      const [p, q] = [value(a), value(b)];
      const order = p === undefined
        ? a.cells[at].textContent.localeCompare(b.cells[at].textContent) : Number(q) - Number(p);
      return down ? order : -order;
    });
    body.append(...rows);
    head.dataset.sort = down ? "down" : "up";
  });
}
"""
