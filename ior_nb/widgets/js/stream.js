// The stream: rows come in numbered parts (stream.py), are kept here, and only those in sight are elements.

import { copyText } from "./copy.js";
import { middle, node, svg, write } from "./dom.js";
import { familyColor, panel, unpacked } from "./panel.js";
import { printable, showBytes, showCount, showNs } from "./text.js";

export default panel((view) => {
  const HELD = 10000,
    H = 20,
    WARNING = 2,
    UNFINISHED = 3;
  // As showBytes, but `1.0 MiB` where that has `1,010.0 KiB`: the column is narrow.
  const bytes = (v) => {
    for (const [unit, size] of [
      ["B", 1],
      ["KiB", 2 ** 10],
      ["MiB", 2 ** 20],
    ])
      if (v < 1000 * size) return `${size > 1 ? (v / size).toFixed(1) : v} ${unit}`;
    return showBytes(v);
  };
  // drop: which columns go first where it is narrow. dim: what the dashboard's filter calls it. natural: the useful end first.
  const COLUMNS = [
    {
      name: "seq",
      title: "#",
      width: 66,
      num: true,
      drop: 1,
      doc: "number of the row, in order of completion",
      key: (r) => r.seq,
      text: (r) => String(r.seq),
    },
    {
      name: "time",
      title: "time (s)",
      width: 92,
      num: true,
      drop: 4,
      doc: "start of the call, seconds since the first row",
      key: (r) => r.time,
      text: (r) => (r.time / 1e9).toFixed(6),
    },
    {
      name: "gap",
      width: 70,
      num: true,
      drop: 2,
      dim: "gap",
      natural: -1,
      doc: "time since the end of the thread's previous call",
      key: (r) => (r.first ? -1 : r.gap),
      text: (r) => (r.first ? "–" : showNs(r.gap)),
    },
    {
      name: "latency",
      width: 74,
      num: true,
      dim: "latency",
      natural: -1,
      doc: "duration of the call",
      key: (r) => (r.kind >= UNFINISHED ? -1 : r.latency),
      text: (r) => (r.kind < UNFINISHED ? showNs(r.latency) : r.kind === UNFINISHED ? "in flight" : "–"),
    },
    {
      name: "comm",
      width: 112,
      drop: 8,
      dim: "comm",
      doc: "name of the thread",
      key: (r) => r.comm.shown,
      text: (r) => r.comm.shown,
    },
    {
      name: "pid",
      width: 66,
      num: true,
      drop: 7,
      dim: "pid",
      doc: "process",
      key: (r) => r.pid,
      text: (r) => String(r.pid),
    },
    {
      name: "tid",
      width: 66,
      num: true,
      drop: 3,
      dim: "tid",
      doc: "thread",
      key: (r) => r.tid,
      text: (r) => String(r.tid),
    },
    {
      name: "syscall",
      width: 126,
      dim: "syscall",
      doc: "system call; the colour is its family's",
      key: (r) => r.syscall.shown,
      text: (r) => r.syscall.shown,
    },
    {
      name: "fd",
      width: 44,
      num: true,
      drop: 6,
      dim: "fd",
      doc: "descriptor",
      key: (r) => r.fd,
      text: (r) => (r.fd < 0 ? "" : String(r.fd)),
    },
    {
      name: "ret",
      width: 104,
      num: true,
      drop: 9,
      dim: "ret",
      doc: "return value, the error's name where it failed",
      key: (r) => r.ret,
      text: (r) =>
        r.kind >= UNFINISHED
          ? ""
          : r.error !== undefined
            ? `${r.ret} ${r.error}`
            : Math.abs(r.ret) < 2 ** 32
              ? String(r.ret)
              : `0x${r.ret.toString(16)}`,
    },
    {
      name: "bytes",
      width: 82,
      num: true,
      drop: 5,
      dim: "bytes",
      natural: -1,
      doc: "bytes moved",
      key: (r) => r.bytes,
      text: (r) => (r.bytes ? bytes(r.bytes) : ""),
    },
    {
      name: "file",
      width: 220,
      dim: "file",
      doc: "file acted on ← source of a rename or link",
      key: (r) => r.file.shown,
      text: (r) => (r.old ? `${r.file.shown} ← ${r.old.shown}` : r.file.shown),
    },
  ];
  const textOf = (row) =>
    (row.cells ??=
      row.kind === WARNING
        ? [...Array(COLUMNS.length - 1).fill(""), row.file.shown]
        : COLUMNS.map((column) => column.text(row)));

  let ring = [],
    part = -1,
    asked = 0,
    state = {},
    cut = 0; // what came
  let frozen = null,
    waiting = 0,
    shown = [],
    sort = null,
    trace = null; // what of it is shown, and how
  let selected = new Set(),
    cursor = null,
    from = null,
    column = COLUMNS.length - 1; // keys of rows; the column of the cell
  let tail = 28,
    pattern = null,
    generation = 0,
    notice = "",
    noticed = 0,
    counting = 0,
    exports = null,
    queued = false,
    columns = [];

  // ---- elements
  const button = (label, title, onclick, more = {}) => node("button", { title, onclick, ...more }, label);
  const hold = button("Pause", "freeze the view; rows go on arriving (space)", () => pause(!frozen), {
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
    const fits = part >= 0 && content.part === part + 1;
    if (!content.why && !fits) {
      if (part >= 0) missed();
      return;
    }
    part = content.part;
    state = content.state;
    const adds = fits && (!content.why || (content.why === "again" && content.fresh >= 0));
    const rows = decode(content, buffers, adds && content.why ? content.fresh : Infinity);
    if (frozen) waiting += adds ? rows.length : content.fresh > 0 ? content.fresh : rows.length + content.skipped;
    if (adds) {
      ring.push(...rows);
      if (ring.length > HELD) ring.splice(0, ring.length - HELD);
    } else ring = rows;
    if (content.why !== "again") cut = content.why === "cut" ? content.skipped : 0;
    if (content.why === "filter" || content.why === "stream") {
      // another filter was asked for: a frozen view of the last one is of no use
      if (frozen) {
        frozen = ring.slice();
        waiting = 0;
      }
      if (content.why === "stream") {
        trace = null;
        selected.clear();
        cursor = null;
      }
    }
    arrange();
    told();
  }
  function missed() {
    // the kernel answers a hello with all rows
    const now = performance.now();
    if (now - asked < 2000 && asked) return;
    asked = now;
    view.model.send({ view: view.id, kind: "hello", visible: view.visible, n: view.data.n });
  }
  function decode({ columns: packed, errors }, buffers, last) {
    Object.values(packed).forEach((column, i) => {
      column.b = buffers[i];
    });
    const c = unpacked(packed),
      words = c.words.map((raw) => ({ raw, shown: printable(raw) })),
      rows = [];
    for (let i = Math.max(0, c.seq.length - last); i < c.seq.length; i++) {
      const kind = c.kind[i] & 7;
      rows.push({
        key: kind === WARNING ? `w${c.time[i]}` : c.seq[i],
        kind,
        first: c.kind[i] > 7,
        seq: c.seq[i],
        time: c.time[i],
        gap: c.gap[i],
        latency: c.latency[i],
        comm: words[c.comm[i]],
        pid: c.pid[i],
        tid: c.tid[i],
        syscall: words[c.syscall[i]],
        family: words[c.family[i]].raw,
        fd: c.fd[i],
        ret: c.ret[i],
        error: kind === 1 ? errors[c.ret[i]] : undefined,
        bytes: c.bytes[i],
        file: words[c.file[i]],
        old: words[c.old_file[i]].raw ? words[c.old_file[i]] : null,
        cells: null,
        generation: -1,
        hit: false,
      });
    }
    return rows;
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
  function arrange() {
    shown = frozen ?? ring;
    if (trace) shown = shown.filter((r) => r.pid === trace.pid && r.fd === trace.fd);
    if (sort) {
      const { key } = COLUMNS[sort.column],
        d = sort.direction;
      shown = shown.slice().sort((a, b) => {
        const x = key(a),
          y = key(b);
        return x < y ? -d : x > y ? d : 0;
      });
    }
    paint();
  }
  function pause(wanted) {
    if (wanted === !!frozen) return;
    frozen = wanted ? ring.slice() : null; // rows are never changed: the copy is of references
    waiting = 0;
    place(null);
    arrange();
  }
  function order(index, reverse = false) {
    const natural = COLUMNS[index].natural ?? 1;
    if (reverse) sort = { column: index, direction: sort?.column === index ? -sort.direction : -natural };
    else if (sort?.column !== index) sort = { column: index, direction: natural };
    else sort = sort.direction === natural ? { column: index, direction: -natural } : null;
    place(null);
    arrange();
    if (sort) grid.scrollTop = 0;
  }
  function descriptor() {
    // the rows of one descriptor, or all again
    const row = current();
    if (trace) trace = null;
    else if (row && row.kind !== WARNING && row.fd >= 0) trace = { pid: row.pid, fd: row.fd, comm: row.comm.shown };
    else
      return view.complain(
        "Select a row with a descriptor first: then all rows of that process and descriptor are shown.",
      );
    view.complain("");
    place(null);
    arrange();
    if (cursor !== null) reveal(shown.findIndex((r) => r.key === cursor));
  }
  function current() {
    return cursor === null ? null : (shown.find((r) => r.key === cursor) ?? null);
  }

  // ---- selection
  function go(index, { extend = false, toggle = false } = {}) {
    if (!shown.length) return;
    const row = shown[Math.max(0, Math.min(shown.length - 1, index))];
    pause(true); // a row that flies away cannot be looked at
    view.complain("");
    if (toggle) {
      if (!selected.delete(row.key)) selected.add(row.key);
      from = row.key;
    } else if (extend && from !== null) {
      const a = shown.findIndex((r) => r.key === from),
        b = shown.indexOf(row);
      selected = new Set(shown.slice(Math.max(0, Math.min(a, b)), Math.max(a, b) + 1).map((r) => r.key));
    } else {
      selected = new Set([row.key]);
      from = row.key;
    }
    cursor = row.key;
    reveal(shown.indexOf(row));
    paint();
  }
  function reveal(index) {
    if (index < 0) return;
    const room = grid.clientHeight - head.offsetHeight;
    if (index * H < grid.scrollTop) grid.scrollTop = index * H;
    else if ((index + 1) * H > grid.scrollTop + room) grid.scrollTop = (index + 1) * H - room;
  }
  const narrowable = (row, at) =>
    row &&
    row.kind !== WARNING &&
    COLUMNS[at].dim &&
    textOf(row)[at] !== "" &&
    textOf(row)[at] !== "–" &&
    textOf(row)[at] !== "in flight" &&
    !(at === COLUMNS.length - 1 && !row.file.raw);
  function narrow(row, at) {
    if (!narrowable(row, at)) return view.complain("This cell has nothing to narrow by.");
    const value = row[COLUMNS[at].name];
    view.act("narrow", { dimension: COLUMNS[at].dim, value: value.raw ?? value });
    place(null);
  }
  function enter() {
    const row = current();
    if (row?.kind === WARNING) {
      write(whole, row.file.shown);
      whole.hidden = false;
      whole.focus();
    } else if (row) narrow(row, column);
  }
  /** Put the funnel into a cell: of the row at `index`, in the column `at`. */
  function place(index, at = 0) {
    const row = index === null || !frozen ? null : shown[index],
      cell = row && pool[index % pool.length]?._cells[at];
    funnel.hidden = !cell || !narrowable(row, at);
    if (funnel.hidden) return;
    Object.assign(funnel, { _row: row, _column: at });
    const what = `only ${COLUMNS[at].dim} ${COLUMNS[at].dim === "latency" || COLUMNS[at].dim === "gap" ? "≥ " : ""}${textOf(row)[at]}`;
    funnel.title = what;
    funnel.setAttribute("aria-label", what);
    funnel.style.transform = `translate(${COLUMNS[at].num ? cell.offsetLeft : cell.offsetLeft + cell.offsetWidth - 18}px, ${index * H + 1}px)`;
  }
  function copy() {
    const rows = shown.filter((r) => selected.has(r.key));
    if (!rows.length) return view.complain("Select rows first: click one, shift-click or shift-arrows for more.");
    const raw = (row, { name }) =>
      row.kind === WARNING ? (name === "file" ? row.file.shown : "") : (row[name].shown ?? row[name]);
    const unit = { time: "since_first_ns", gap: "gap_ns", latency: "latency_ns" };
    const text = [COLUMNS.map((c) => unit[c.name] ?? c.name), ...rows.map((row) => COLUMNS.map((c) => raw(row, c)))]
      .map((line) => line.join("\t"))
      .join("\n");
    copyText(text).then((done) =>
      done
        ? tell(`copied ${showCount(rows.length)} row${rows.length > 1 ? "s" : ""}`)
        : view.complain("This browser does not let the page copy."),
    );
  }

  // ---- search
  function search() {
    pattern = null;
    generation++;
    write(found, "");
    query.setCustomValidity("");
    if (query.value) {
      try {
        pattern = new RegExp(query.value, /\p{Lu}/u.test(query.value.replace(/\\./g, "")) ? "" : "i");
      } catch (problem) {
        write(found, `invalid: ${problem.message.replace(/^Invalid regular expression: /, "").slice(-60)}`);
        query.setCustomValidity("invalid");
      }
    }
    paint();
  }
  function hits(row) {
    if (row.generation !== generation) {
      row.generation = generation;
      const texts = textOf(row);
      row.hit = columns.some((at) => pattern.test(texts[at]));
    }
    return row.hit;
  }
  function count() {
    // a few milliseconds at a time
    clearTimeout(counting);
    if (!pattern) return;
    const until = performance.now() + 6;
    let total = 0,
      at = 0,
      more = false;
    for (const row of shown) {
      if (row.generation !== generation && performance.now() > until) {
        more = true;
        break;
      }
      if (hits(row)) {
        total++;
        if (row.key === cursor) at = total;
      }
    }
    write(
      found,
      total || more ? `${at ? `${showCount(at)} of ` : ""}${showCount(total)}${more ? "+" : ""}` : "no match",
    );
    if (more) counting = setTimeout(count, 10);
  }
  function jump(step) {
    if (!pattern || !shown.length) return;
    let at = cursor === null ? (step > 0 ? -1 : shown.length) : shown.findIndex((r) => r.key === cursor);
    for (let i = 0; i < shown.length; i++) {
      at = (at + step + shown.length) % shown.length;
      if (hits(shown[at])) return go(at);
    }
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
    const key = `${pattern ? generation : ""}\0${text}`;
    if (cell._key === key) return;
    cell._key = key;
    const spans = [];
    if (pattern)
      for (const match of text.matchAll(new RegExp(pattern, `${pattern.flags}g`)))
        if (match[0]) spans.push([match.index, match.index + match[0].length]);
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
    const wanted = new Set(COLUMNS.keys());
    let sum = COLUMNS.reduce((total, c) => total + c.width, 14);
    for (const [at, { width: w }] of [...COLUMNS.entries()]
      .filter(([, c]) => c.drop)
      .sort((a, b) => a[1].drop - b[1].drop)) {
      if (sum <= width) break;
      wanted.delete(at);
      sum -= w;
    }
    tail = Math.max(10, Math.floor((COLUMNS[COLUMNS.length - 1].width + Math.min(0, width - sum)) / 10)); // of its characters, 7.2 px each
    if (columns.join() === [...wanted].join()) return;
    columns = [...wanted];
    generation++;
    grid.style.setProperty(
      "--st-columns",
      columns.map((at) => (at === COLUMNS.length - 1 ? "minmax(0, 1fr)" : `${COLUMNS[at].width}px`)).join(" "),
    );
    pool.splice(0).forEach((row) => row.remove());
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
      const cell = (cells[at] = node("div", { role: "gridcell", class: COLUMNS[at].num ? "st-num" : "" }));
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
    const total = shown.length,
      sight = Math.ceil(grid.clientHeight / H) + 1;
    layer.style.height = `${total * H}px`;
    grid.setAttribute("aria-rowcount", total);
    if (!frozen && !sort) grid.scrollTop = total * H;
    const first = Math.max(0, Math.min(Math.floor(grid.scrollTop / H), total - sight));
    while (pool.length < sight) element();
    let active = "";
    for (let i = first; i < first + pool.length; i++) {
      const element = pool[i % pool.length],
        row = shown[i];
      element.hidden = !row;
      if (!row) continue;
      if (element._i !== i) {
        element._i = i;
        element.style.transform = `translateY(${i * H}px)`;
        element.setAttribute("aria-rowindex", i + 1);
      }
      const here = row.key === cursor,
        on = selected.has(row.key);
      const kind = `st-row${row.kind === 1 ? " st-error" : row.kind === WARNING ? " st-warning" : ""}${on ? " st-selected" : ""}${here ? " st-here" : ""}`;
      if (element.className !== kind) {
        element.className = kind;
        element.setAttribute("aria-selected", on);
      }
      const failed = row.error ?? "";
      if (element.title !== failed) element.title = failed; // where the column is too narrow, or gone
      if (here) active = element.id;
      const texts = textOf(row);
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
    write(hold, frozen ? "Follow" : "Pause");
    hold.title = frozen ? "show what comes (space)" : "freeze the view; rows go on arriving (space)";
    hold.classList.toggle("st-go", !!frozen);
    const rows = `${showCount(total)} row${total === 1 ? "" : "s"}`,
      which = trace ? ` of descriptor ${trace.fd} of ${trace.comm} (${trace.pid})` : "";
    const few = cut && !frozen ? `; ${showCount(cut)} more came too fast to show. Narrow the filter to see them` : "";
    write(
      status,
      notice ||
        (frozen
          ? `paused: ${rows}${which}, ${showCount(waiting)} waiting`
          : total
            ? `${state.running ? "following" : "the last"} ${rows}${which}${few}`
            : ""),
    );
    status.title = status.textContent;
    tracing.setAttribute("aria-pressed", String(!!trace));
    write(tracing, trace ? "All rows" : "Trace fd");
    copying.disabled = !selected.size;
    back.disabled = on.disabled = !pattern;
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
              : "Nothing has been traced yet. Start with the button above, or with %ior start in a cell.",
      );
    for (const cell of head.children) {
      const direction =
        sort?.column === Number(cell.dataset.at) ? (sort.direction > 0 ? "ascending" : "descending") : "none";
      if (cell.getAttribute("aria-sort") !== direction) cell.setAttribute("aria-sort", direction);
    }
  }

  // ---- the user
  // Only a gesture leaves the tail: our own scrolling and growing content make scroll events too.
  grid.addEventListener(
    "wheel",
    (e) => {
      if (e.deltaY < 0 && !sort && shown.length) pause(true);
    },
    { passive: true },
  );
  grid.addEventListener(
    "touchmove",
    () => {
      if (!sort) pause(true);
    },
    { passive: true },
  );
  grid.addEventListener("pointerdown", (e) => {
    if (e.target === grid && !sort && shown.length && e.offsetX > grid.clientWidth) pause(true);
  });
  grid.addEventListener("scroll", paint, { passive: true });
  const hit = (e) => {
    const cell = e.target.closest?.("[role=gridcell]");
    return cell && cell.parentElement._i !== undefined ? { index: cell.parentElement._i, at: cell._at } : null;
  };
  layer.addEventListener("pointerover", (e) => {
    const cell = hit(e);
    if (cell) place(cell.index, cell.at);
  });
  layer.addEventListener("pointerleave", () => place(null));
  layer.addEventListener("click", (e) => {
    const cell = hit(e);
    if (!cell) return;
    column = cell.at;
    go(cell.index, { extend: e.shiftKey, toggle: e.ctrlKey || e.metaKey });
    place(cell.index, cell.at);
  });
  layer.addEventListener("dblclick", () => {
    if (current()?.kind === WARNING) enter();
  });
  grid.addEventListener("copy", (e) => {
    if (selected.size) {
      e.preventDefault();
      copy();
    }
  });
  const KEYS = {
    " ": () => pause(!frozen),
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
    j: (e, at) => go(at + 1),
    k: (e, at) => go(at - 1),
    PageDown: (e, at, page) => go(at + page, { extend: e.shiftKey }),
    PageUp: (e, at, page) => go(at - page, { extend: e.shiftKey }),
    Home: (e) => go(0, { extend: e.shiftKey }),
    End: (e) => go(shown.length - 1, { extend: e.shiftKey }),
    g: () => go(0),
    G: () => go(shown.length - 1),
    ArrowRight: () => side(1),
    ArrowLeft: () => side(-1),
    l: () => side(1),
    h: () => side(-1),
    Escape: () => {
      if (trace) descriptor();
      else {
        selected.clear();
        cursor = null;
        place(null);
        paint();
      }
    },
  };
  function side(step) {
    column = columns[Math.max(0, Math.min(columns.length - 1, columns.indexOf(column) + step))];
    if (cursor === null) go(shown.length - 1);
    else paint();
  }
  grid.addEventListener("keydown", (e) => {
    if (e.altKey || e.target !== grid) return;
    if (e.ctrlKey || e.metaKey) {
      if (e.key === "c" && selected.size) {
        e.preventDefault();
        copy();
      }
      return;
    }
    const act = KEYS[e.key];
    if (!act) return;
    e.preventDefault();
    e.stopPropagation();
    const at = cursor === null ? -1 : shown.findIndex((r) => r.key === cursor);
    act(
      e,
      at < 0 ? (e.key === "ArrowDown" || e.key === "j" ? shown.length - 2 : shown.length) : at,
      Math.floor(grid.clientHeight / H) - 2,
    );
  });

  layout(view.root.clientWidth || 900);
  return {
    message,
    draw(data) {
      if (data.part >= part) {
        state = data;
        told();
      }
      if (part >= 0 && data.part > part) missed();
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
