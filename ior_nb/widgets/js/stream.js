// The stream: rows.js keeps the rows, and only those in sight are elements.

import { copyText } from "./copy.js";
import { middle, node, svg, write } from "./dom.js";
import { familyColor, NOTHING_YET, panel } from "./panel.js";
import { COLUMNS, FAILED, narrowable, Rows, textsOf, tsv, WARNING } from "./rows.js";
import { printable, showCount } from "./text.js";

const H = 20; // px, as in stream.css

export default panel((view) => {
  const rows = new Rows();
  let state = {}; // the small state that comes with them
  let column = COLUMNS.length - 1; // the one the keyboard is on
  let columns = []; // those there is room for
  let tail = 28; // letters of a file's name that stay
  let exports = null;
  let asked = 0;
  let notice = "";
  let noticed = 0;
  let wide = 900; // the room for its columns
  let counting = 0;
  let queued = false;

  // ---- elements
  const button = (label, title, onclick, more = {}) => node("button", { title, onclick, ...more }, label);
  const hold = button("Pause", "freeze the view; rows go on arriving (space)", () => pause(!rows.frozen), {
    class: "st-hold",
  });
  const status = node("span", { class: "st-status ior-grow", role: "status" });
  const query = node("input", {
    class: "st-query",
    type: "search",
    placeholder: "search: regular expression",
    title: "search all columns shown (/); enter and shift-enter go on; small letters match capitals too",
    "aria-label": "search, a regular expression",
    spellcheck: "false",
    oninput: () => search(),
    onkeydown: (e) => {
      if (e.key === "Enter") {
        e.preventDefault();
        jump(e.shiftKey ? -1 : 1);
      } else if (e.key === "Escape") {
        query.value = "";
        search();
        grid.focus();
      } else return;
      e.stopPropagation();
    },
  });
  const found = node("span", { class: "st-found ior-dim", role: "status" });
  const back = button("‹", "previous match (N)", () => jump(-1), { "aria-label": "previous match" }),
    on = button("›", "next match (n)", () => jump(1), { "aria-label": "next match" });
  const tracing = button("Trace fd", "all rows of the selected row's process and descriptor (T)", () => descriptor(), {
    "aria-pressed": "false",
  });
  const copying = button("Copy", "copy the selected rows, tab separated (c)", () => copy());
  const exporting = button("Export…", "write the rows to a file", () => {
    form.hidden = !form.hidden;
    if (!form.hidden) path.focus();
  });
  const path = node("input", {
    class: "ior-grow",
    placeholder: "rows.parquet",
    "aria-label": "file to write",
    spellcheck: "false",
  });
  const save = () => view.act("export", { path: path.value });
  const form = node(
    "div",
    {
      class: "ior-row st-form",
      hidden: true,
      onkeydown: (e) => {
        if (e.key === "Enter" && e.target === path) {
          e.preventDefault();
          save();
        }
        if (e.key === "Escape") {
          form.hidden = true;
          exporting.focus();
        }
      },
    },
    node("span", { class: "ior-dim" }, "write to"),
    path,
    button("Write", "write the rows: all of an ended trace, else those held here", save),
    node("span", { class: "ior-dim" }, "the ending says the format"),
  );
  const head = node("div", { class: "st-head", role: "row" });
  const layer = node("div", { class: "st-layer", role: "rowgroup" });
  const funnel = node("button", {
    class: "st-funnel",
    tabindex: "-1",
    hidden: true,
    onclick: (e) => {
      e.stopPropagation();
      narrow(funnel._row, funnel._column);
    },
  });
  funnel.append(
    svg(
      "svg",
      { viewBox: "0 0 12 12", width: 10, height: 10, "aria-hidden": "true" },
      svg("path", { d: "M1 1h10L7.4 6v4.6L4.6 9V6z", fill: "currentColor" }),
    ),
  );
  const empty = node("div", { class: "ior-empty" });
  const grid = node(
    "div",
    {
      class: "st-grid",
      role: "grid",
      tabindex: "0",
      "aria-label": "rows",
      "aria-multiselectable": "true",
      "data-lm-suppress-shortcuts": "true",
    },
    head,
    layer,
    empty,
  );
  const whole = node("div", {
    class: "st-whole",
    role: "dialog",
    "aria-label": "the whole warning",
    tabindex: "-1",
    hidden: true,
    onkeydown: (e) => {
      if (e.key === "Escape" || e.key === "Enter") {
        e.preventDefault();
        whole.hidden = true;
        grid.focus();
      }
    },
  });
  view.body.append(
    node(
      "div",
      { class: "ior-row st-bar" },
      hold,
      status,
      node("span", { class: "st-search" }, query, back, on, found),
      tracing,
      copying,
      exporting,
    ),
    form,
    grid,
    whole,
  );
  layer.append(funnel);

  // ---- what comes
  function message(content, buffers) {
    if (content.kind !== "rows") return;
    if (!rows.take(content, buffers)) {
      if (rows.part >= 0) missed();
      return;
    }
    state = content.state;
    layout(wide);
    paint();
    told();
  }
  function missed() {
    // the kernel answers a hello with all rows
    const now = performance.now();
    if (now - asked < 2000 && asked) return;
    asked = now;
    view.model.send({ view: view.id, kind: "hello", visible: view.visible, n: view.data.n });
  }
  function told() {
    // the small state
    if (exports !== null && state.exported && state.exported[0] !== exports) {
      form.hidden = true;
      tell(`written: ${printable(state.exported[1])}`);
    }
    exports = state.exported?.[0] ?? exports;
  }

  // ---- what is shown
  function pause(wanted) {
    if (wanted === Boolean(rows.frozen)) return;
    rows.freeze(wanted);
    place(null);
    paint();
  }
  function order(index, reverse = false) {
    rows.order(index, reverse);
    place(null);
    paint();
    if (rows.sort) grid.scrollTop = 0;
  }
  function descriptor() {
    if (!rows.follow()) {
      return view.complain(
        "Select a row with a descriptor first: then all rows of that process and descriptor are shown.",
      );
    }
    view.complain("");
    place(null);
    paint();
    reveal(rows.place());
  }
  function go(index, how = {}) {
    if (!rows.shown.length) return;
    pause(true); // a row that flies away cannot be looked at
    view.complain("");
    rows.select(index, how);
    reveal(rows.place());
    paint();
  }
  function reveal(index) {
    if (index < 0) return;
    const room = grid.clientHeight - head.offsetHeight;
    if (index * H < grid.scrollTop) grid.scrollTop = index * H;
    else if ((index + 1) * H > grid.scrollTop + room) grid.scrollTop = (index + 1) * H - room;
  }
  function narrow(row, at) {
    if (!narrowable(row, at)) return view.complain("This cell has nothing to narrow by.");
    const value = row[COLUMNS[at].name];
    view.act("narrow", { dimension: COLUMNS[at].dim, value: value.raw ?? value, host: row.host.raw });
    place(null);
  }
  function enter() {
    const row = rows.current();
    if (row?.kind === WARNING) {
      write(whole, row.file.shown);
      whole.hidden = false;
      whole.focus();
    } else if (row) narrow(row, column);
  }
  /** Put the funnel into a cell: of the row at `index`, in the column `at`. */
  function place(index, at = 0) {
    const row = index === null || !rows.frozen ? null : rows.shown[index],
      cell = row && pool[index % pool.length]?._cells[at];
    funnel.hidden = !cell || !narrowable(row, at);
    if (funnel.hidden) return;
    Object.assign(funnel, { _row: row, _column: at });
    const { dim, num } = COLUMNS[at],
      what = `only ${dim} ${dim === "latency" || dim === "gap" ? "≥ " : ""}${textsOf(row)[at]}`;
    funnel.title = what;
    funnel.setAttribute("aria-label", what);
    const left = num ? cell.offsetLeft : cell.offsetLeft + cell.offsetWidth - 18;
    funnel.style.transform = `translate(${left}px, ${index * H + 1}px)`;
  }
  function copy() {
    const chosen = rows.chosen();
    if (!chosen.length) return view.complain("Select rows first: click one, shift-click or shift-arrows for more.");
    copyText(tsv(chosen)).then((done) =>
      done
        ? tell(`copied ${showCount(chosen.length)} row${chosen.length > 1 ? "s" : ""}`)
        : view.complain("This browser does not let the page copy."),
    );
  }

  // ---- search
  function search() {
    const wrong = rows.search(query.value);
    write(found, wrong && `invalid: ${wrong.slice(-60)}`);
    query.setCustomValidity(wrong && "invalid");
    paint();
  }
  function count() {
    clearTimeout(counting);
    if (!rows.pattern) return;
    const { total, at, more } = rows.count(6);
    write(
      found,
      total || more ? `${at ? `${showCount(at)} of ` : ""}${showCount(total)}${more ? "+" : ""}` : "no match",
    );
    if (more) counting = setTimeout(count, 10);
  }
  function jump(step) {
    const at = rows.next(step);
    if (at >= 0) go(at);
  }
  /** Text of a cell from `a` to `b`, matches marked. */
  function marked(text, a, b, spans) {
    const parts = [];
    let at = a;
    for (const [x, y] of spans) {
      const s = Math.max(x, at),
        e = Math.min(y, b);
      if (s >= e) continue;
      parts.push(text.slice(at, s), node("mark", {}, text.slice(s, e)));
      at = e;
    }
    return [...parts, text.slice(at, b)];
  }
  function fill(cell, text, file) {
    const key = `${rows.pattern ? rows.generation : ""}\0${text}`;
    if (cell._key === key) return;
    cell._key = key;
    const spans = rows.spans(text);
    cell.title = file ? "" : text;
    if (!file && !spans.length) {
      cell.textContent = text;
      return;
    }
    if (!file) return cell.replaceChildren(...marked(text, 0, text.length, spans));
    const cutAt = middle(text, tail);
    if (spans.length) {
      const [start, end] = cutAt.children,
        at = start.textContent.length;
      start.replaceChildren(...marked(text, 0, at, spans));
      end.replaceChildren(...marked(text, at, text.length, spans));
    }
    cell.replaceChildren(cutAt);
  }

  // ---- painting
  const pool = [];
  function layout(width) {
    wide = width;
    const there = { host: rows.hosted, label: rows.labelled };
    const wanted = new Set([...COLUMNS.keys()].filter((at) => there[COLUMNS[at].name] ?? true));
    let sum = [...wanted].reduce((total, at) => total + COLUMNS[at].width, 14);
    const dropped = [...wanted].filter((at) => COLUMNS[at].drop);
    for (const at of dropped.sort((a, b) => Number(COLUMNS[a].drop) - Number(COLUMNS[b].drop))) {
      if (sum <= width) break;
      wanted.delete(at);
      sum -= COLUMNS[at].width;
    }
    const room = COLUMNS[COLUMNS.length - 1].width + Math.min(0, width - sum);
    tail = Math.max(10, Math.floor(room / 10)); // characters are 7.2 px wide
    if (columns.join() === [...wanted].join()) return;
    columns = [...wanted];
    rows.searchIn(columns);
    grid.style.setProperty(
      "--st-columns",
      columns.map((at) => (at === COLUMNS.length - 1 ? "minmax(0, 1fr)" : `${COLUMNS[at].width}px`)).join(" "),
    );
    for (const row of pool.splice(0)) row.remove();
    head.replaceChildren(
      ...columns.map((at) => {
        const c = COLUMNS[at],
          title = button(c.title ?? c.name, `${c.doc}: sort`, () => order(at));
        return node(
          "div",
          { role: "columnheader", class: c.num ? "st-num" : "", "aria-sort": "none", "data-at": at },
          title,
        );
      }),
    );
    if (!wanted.has(column)) column = COLUMNS.length - 1;
    place(null);
    paint();
  }
  function element() {
    const row = node("div", { class: "st-row", role: "row" }),
      cells = {};
    row._cells = cells;
    for (const at of columns) {
      const cell = node("div", { role: "gridcell", class: COLUMNS[at].num ? "st-num" : "" });
      cells[at] = cell;
      cell._at = at;
      cell._text = cell;
      if (COLUMNS[at].name === "syscall") {
        row._dot = node("i", { class: "ior-dot" });
        cell._text = node("span", {});
        cell.append(row._dot, cell._text);
        cell.className = "st-call";
      }
      row.append(cell);
    }
    row.id = `${view.id}-${pool.length}`;
    pool.push(row);
    layer.append(row);
  }
  function paint() {
    if (!queued) {
      queued = true;
      requestAnimationFrame(() => {
        queued = false;
        render();
      });
    }
  }
  function render() {
    if (!grid.clientHeight || !columns.length) return;
    const total = rows.shown.length,
      sight = Math.ceil(grid.clientHeight / H) + 1;
    layer.style.height = `${total * H}px`;
    grid.setAttribute("aria-rowcount", String(total));
    if (!rows.frozen && !rows.sort) grid.scrollTop = total * H;
    const first = Math.max(0, Math.min(Math.floor(grid.scrollTop / H), total - sight));
    while (pool.length < sight) element();
    let active = "";
    for (let i = first; i < first + pool.length; i++) {
      const element = pool[i % pool.length],
        row = rows.shown[i];
      element.hidden = !row;
      element._row = row;
      if (!row) continue;
      if (element._i !== i) {
        element._i = i;
        element.style.transform = `translateY(${i * H}px)`;
        element.setAttribute("aria-rowindex", i + 1);
      }
      const here = row.key === rows.cursor,
        on = rows.selected.has(row.key);
      const of =
          row.kind === FAILED ? " st-error" : row.kind === WARNING ? " st-warning" : row.probe ? " st-probe" : "",
        kind = `st-row${of}${on ? " st-selected" : ""}${here ? " st-here" : ""}`;
      if (element.className !== kind) {
        element.className = kind;
        element.setAttribute("aria-selected", on);
      }
      const failed = row.probe ? `${row.error ?? ""}: a probe, no error` : (row.error ?? "");
      if (element.title !== failed) element.title = failed; // where the column is too narrow, or gone
      if (here) active = element.id;
      const texts = textsOf(row);
      for (const at of columns) {
        const cell = element._cells[at];
        fill(cell._text, texts[at], at === COLUMNS.length - 1);
        cell.classList.toggle("st-cell", here && at === column && row.kind !== WARNING);
      }
      if (element._family !== row.family) {
        element._family = row.family;
        element._dot.style.background = familyColor(row.family);
        element._dot.title = row.family;
      }
    }
    if (active) grid.setAttribute("aria-activedescendant", active);
    else grid.removeAttribute("aria-activedescendant");
    say(total);
    count();
  }
  function tell(text) {
    // for a while in place of the status: nothing moves
    notice = text;
    clearTimeout(noticed);
    noticed = setTimeout(() => {
      notice = "";
      paint();
    }, 6000);
    paint();
  }
  function say(total) {
    const { frozen, trace, sort, cut } = rows;
    write(hold, frozen ? "Follow" : "Pause");
    hold.title = frozen ? "show what comes (space)" : "freeze the view; rows go on arriving (space)";
    hold.classList.toggle("st-go", !!frozen);
    const these = `${showCount(total)} row${total === 1 ? "" : "s"}`,
      which = trace
        ? ` of descriptor ${trace.fd} of ${trace.comm} (${trace.host.shown ? `${trace.host.shown}:` : ""}${trace.pid})`
        : "";
    const few = cut && !frozen ? `; ${showCount(cut)} more came too fast to show. Narrow the filter to see them` : "";
    write(
      status,
      notice ||
        (frozen
          ? `paused: ${these}${which}, ${showCount(rows.waiting)} waiting`
          : total
            ? `${state.running ? "following" : "the last"} ${these}${which}${few}`
            : ""),
    );
    status.title = status.textContent;
    tracing.setAttribute("aria-pressed", String(!!trace));
    write(tracing, trace ? "All rows" : "Trace fd");
    copying.disabled = !rows.selected.size;
    back.disabled = on.disabled = !rows.pattern;
    empty.hidden = total > 0;
    if (!total)
      write(
        empty,
        state.filter
          ? "No row passes the filter. Take a term back in the bar above."
          : state.running
            ? "No call has been seen yet. Rows come here as the traced processes make them."
            : state.traced
              ? "The trace has no rows."
              : NOTHING_YET,
      );
    for (const cell of head.children) {
      const direction =
        sort?.column === Number(cell.getAttribute("data-at"))
          ? sort.direction > 0
            ? "ascending"
            : "descending"
          : "none";
      if (cell.getAttribute("aria-sort") !== direction) cell.setAttribute("aria-sort", direction);
    }
  }

  // ---- the user
  // Only a gesture leaves the tail: our own scrolling and growing content make scroll events too.
  grid.addEventListener(
    "wheel",
    (e) => {
      if (e.deltaY < 0 && !rows.sort && rows.shown.length) pause(true);
    },
    { passive: true },
  );
  grid.addEventListener(
    "touchmove",
    () => {
      if (!rows.sort) pause(true);
    },
    { passive: true },
  );
  grid.addEventListener("pointerdown", (e) => {
    if (e.target === grid && !rows.sort && rows.shown.length && e.offsetX > grid.clientWidth) pause(true);
  });
  grid.addEventListener("scroll", paint, { passive: true });
  const hit = (e) => {
    const cell = e.target.closest?.("[role=gridcell]");
    const { _i: index, _row: row } = cell?.parentElement ?? {};
    return row ? { index, row, at: cell._at } : null;
  };
  layer.addEventListener("pointerover", (e) => {
    const cell = hit(e);
    if (cell) place(cell.index, cell.at);
  });
  layer.addEventListener("pointerleave", () => place(null));
  /** Where what was hit is now. */
  const where = ({ index, row }) => {
    const now = rows.shown.findIndex((other) => other.key === row.key);
    return now < 0 ? index : now;
  };
  /** @type {ReturnType<typeof hit>} What a press chooses: until its release other rows may come to be under it. */
  let pressed = null;
  layer.addEventListener("pointerdown", (e) => {
    pressed = e.button ? null : hit(e);
    if (!pressed) return;
    pause(true);
    grid.scrollTop += (where(pressed) - pressed.index) * H;
  });
  layer.addEventListener("click", (e) => {
    const cell = e.detail ? pressed : hit(e); // a program clicks without a press
    if (!cell) return;
    column = cell.at;
    go(where(cell), { extend: e.shiftKey, toggle: e.ctrlKey || e.metaKey });
    place(where(cell), cell.at);
  });
  layer.addEventListener("dblclick", () => {
    if (rows.current()?.kind === WARNING) enter();
  });
  grid.addEventListener("copy", (e) => {
    if (rows.selected.size) {
      e.preventDefault();
      copy();
    }
  });
  const KEYS = {
    " ": () => pause(!rows.frozen),
    "/": () => {
      query.focus();
      query.select();
    },
    n: () => jump(1),
    N: () => jump(-1),
    t: () => descriptor(),
    T: () => descriptor(),
    c: () => copy(),
    s: () => order(column),
    S: () => order(column, true),
    Enter: () => enter(),
    ArrowDown: (e, at) => go(at + 1, { extend: e.shiftKey }),
    ArrowUp: (e, at) => go(at - 1, { extend: e.shiftKey }),
    j: (_, at) => go(at + 1),
    k: (_, at) => go(at - 1),
    PageDown: (e, at, page) => go(at + page, { extend: e.shiftKey }),
    PageUp: (e, at, page) => go(at - page, { extend: e.shiftKey }),
    Home: (e) => go(0, { extend: e.shiftKey }),
    End: (e) => go(rows.shown.length - 1, { extend: e.shiftKey }),
    g: () => go(0),
    G: () => go(rows.shown.length - 1),
    ArrowRight: () => side(1),
    ArrowLeft: () => side(-1),
    l: () => side(1),
    h: () => side(-1),
    Escape: () => {
      if (rows.trace) descriptor();
      else {
        rows.selectNone();
        place(null);
        paint();
      }
    },
  };
  function side(step) {
    column = columns[Math.max(0, Math.min(columns.length - 1, columns.indexOf(column) + step))];
    if (rows.cursor === null) go(rows.shown.length - 1);
    else paint();
  }
  grid.addEventListener("keydown", (e) => {
    if (e.altKey || e.target !== grid) return;
    if (e.ctrlKey || e.metaKey) {
      if (e.key === "c" && rows.selected.size) {
        e.preventDefault();
        copy();
      }
      return;
    }
    const act = KEYS[e.key];
    if (!act) return;
    e.preventDefault();
    e.stopPropagation();
    const at = rows.place();
    act(
      e,
      at < 0 ? (e.key === "ArrowDown" || e.key === "j" ? rows.shown.length - 2 : rows.shown.length) : at,
      Math.floor(grid.clientHeight / H) - 2,
    );
  });

  layout(view.root.clientWidth || 900);
  return {
    message,
    draw(data) {
      if (data.part >= rows.part) {
        state = data;
        told();
      }
      if (rows.part >= 0 && data.part > rows.part) missed();
      paint();
    },
    close() {
      clearTimeout(counting);
      clearTimeout(noticed);
    },
    resize(width) {
      layout(width - 20);
      paint();
    },
  };
});
