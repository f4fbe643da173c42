// What every panel has in common. A panel's own file ends with `export default panel(build)`, where `build(view)` draws
// into `view.body` and returns what is done when something happens.

import { node, write } from "./dom.js";
import { printable } from "./text.js";

/**
 * @typedef {object} Model what anywidget gives: the synced traits, and messages to and from the kernel
 * @property {(trait: string) => any} get
 * @property {(content: object) => void} send
 * @property {(event: string, callback: (...args: any[]) => void) => void} on
 * @property {(event: string, callback: (...args: any[]) => void) => void} off
 * @property {{ get_model(id: string): Promise<Model> }} widget_manager
 */
/**
 * @typedef {object} View what a panel is given
 * @property {Model} model
 * @property {HTMLElement} root
 * @property {HTMLElement} body
 * @property {string} id
 * @property {(what: string, payload?: object) => void} act ask the kernel for something; the answer comes as data, a
 *   failure in the strip
 * @property {(text: string) => void} complain say something above the panel; empty to be silent
 * @property {any} data
 * @property {() => void} redraw
 * @property {boolean} visible
 */
/**
 * @typedef {object} Parts what a panel does
 * @property {(data: any) => void} [draw] there is a new state
 * @property {(content: any, buffers: DataView[]) => void} [message]
 * @property {(width: number) => void} [resize]
 * @property {() => void} [close]
 */

export const NOTHING_YET = "Nothing has been traced yet. Start with the button above, or with %ior start in a cell.";

/** @type {Record<string, any>} */
const TYPES = { u1: Uint8Array, i1: Int8Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };
const UTF8 = new TextDecoder();
/**
 * Columns made by `packed` in page.py: name -> typed array or array of strings.
 *
 * @param {Record<string, any>} columns
 */
export function unpacked(columns) {
  /** @type {Record<string, any>} */
  const result = {};
  for (const [name, { t, n, b }] of Object.entries(columns)) {
    const bytes =
      b instanceof DataView ? new Uint8Array(b.buffer, b.byteOffset, b.byteLength) : new Uint8Array(b.buffer ?? b);
    if (t === "s") result[name] = n === 0 ? [] : UTF8.decode(bytes).split("\0");
    else {
      // the server does not align buffers
      const copy = bytes.slice();
      result[name] = new TYPES[t](copy.buffer, 0, copy.byteLength / TYPES[t].BYTES_PER_ELEMENT);
    }
  }
  return result;
}

// Families keep their colour everywhere. Hues of Okabe and Ito, told apart with all common kinds of colour blindness,
// and two lightnesses of each; text on them is dark.
/** @type {Record<string, string>} */
const FAMILY_COLORS = {
  FS: "#56b4e9",
  Network: "#e69f00",
  AIO: "#009e73",
  Polling: "#f0e442",
  Memory: "#cc79a7",
  Process: "#d55e00",
  IPC: "#8fd0b8",
  Signals: "#f2c48d",
  Sched: "#b3b3e6",
  Security: "#e8b5d0",
  Time: "#bcdff5",
  Misc: "#b8bcc4",
};
/** @param {string} family */
export function familyColor(family) {
  return FAMILY_COLORS[family] ?? "#c4c9d0";
}

let _views = 0;

/**
 * Wrap `build` into what anywidget renders: strip of errors, visibility, heart beat, acts.
 *
 * @param {(view: View) => Parts} build
 */
export function panel(build) {
  /** @param {{ model: Model, el: HTMLElement }} given */
  function render({ model, el }) {
    const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}-${_views++}`;
    const strip = node("div", { class: "ior-strip", role: "status", "aria-live": "polite" });
    const body = node("div", { class: "ior-body" });
    const root = node("div", { class: "ior", "data-view": id }, strip, body);
    el.append(root);
    // Keys meant for a control are not shortcuts of the notebook: `a` would insert a cell.
    root.addEventListener("keydown", (event) => {
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
    });

    let visible = true,
      seen = -1,
      dirty = true,
      queued = false,
      closed = false;
    const waiting = new Map(); // act -> when it was sent
    let complaint = "",
      beatSent = 0,
      beatAnswered = Date.now(),
      actions = 0;

    let gone = false; // the kernel ended: the view stays as it is
    const send = (content) => {
      try {
        model.send({ view: id, ...content });
        gone = false;
      } catch {
        gone = true;
      }
    };
    /** @type {View} */
    const view = {
      model,
      root,
      body,
      id,
      act(what, payload = {}) {
        const number = `${id}-${actions++}`;
        waiting.set(number, Date.now());
        complaint = "";
        send({ kind: "act", id: number, what, body: payload });
        say();
      },
      complain(text) {
        complaint = text;
        say();
      },
      get data() {
        return model.get("data") ?? {};
      },
      redraw() {
        dirty = true;
        schedule();
      },
      get visible() {
        return visible;
      },
    };
    const parts = build(view);

    function say() {
      const data = view.data,
        now = Date.now();
      const oldest = Math.min(...waiting.values(), Infinity);
      const deaf = now - oldest > 600 || (beatSent > beatAnswered && now - beatSent > 4000);
      const lines = [];
      if (complaint) lines.push(complaint);
      if (data.error) lines.push(data.error);
      if (data.told) lines.push(data.told);
      if (gone) lines.push("The kernel has ended: this is the last state.");
      else if (deaf)
        lines.push(
          waiting.size
            ? "The kernel is busy: your click is handled as soon as it listens."
            : "The kernel is busy: clicks wait until it listens.",
        );
      write(strip, lines.map((line) => line.split("\n").map(printable).join("\n")).join("  ·  "));
      strip.dataset.kind = complaint || data.error ? "error" : gone || deaf ? "busy" : "";
      root.classList.toggle("ior-waiting", waiting.size > 0);
    }
    function draw() {
      queued = false;
      if (closed || !dirty || !visible) return;
      dirty = false;
      const data = view.data;
      try {
        if (data.n !== undefined) parts.draw?.(data);
      } catch (problem) {
        console.error("ior-nb", problem);
        complaint = `This view could not be drawn: ${problem.message}`;
      }
      say();
    }
    function schedule() {
      if (!queued) {
        queued = true;
        requestAnimationFrame(draw);
      }
    }
    function changed() {
      seen = view.data.n;
      dirty = true;
      schedule();
    }
    function beat(kind = "beat") {
      const now = Date.now();
      if (kind === "beat" && beatSent > beatAnswered && now - beatSent < 30000) {
        say();
        return;
      } // one at a time
      beatSent = now;
      send({ kind, visible, n: seen });
    }
    function received(content, buffers) {
      if (content.kind === "beat") {
        if (content.view === id) {
          beatAnswered = Date.now();
          say();
        }
      } else if (content.kind === "done") {
        if (waiting.delete(content.id)) {
          if (content.error) complaint = content.error;
          say();
        }
      } else parts.message?.(content, buffers);
    }

    let onScreen = true;
    function lookedAt() {
      const now = onScreen && !document.hidden;
      if (now === visible) return;
      visible = now;
      beatSent = 0;
      beat();
      if (visible) {
        dirty = true;
        schedule();
      }
    }
    const watcher = new IntersectionObserver((entries) => {
      onScreen = entries[entries.length - 1].isIntersecting;
      lookedAt();
    });
    watcher.observe(root);
    const sizes = new ResizeObserver(() => {
      if (root.clientWidth) {
        parts.resize?.(root.clientWidth);
      }
    });
    sizes.observe(root);
    document.addEventListener("visibilitychange", lookedAt);
    const heart = setInterval(() => {
      if (visible) beat();
      else say();
    }, 2000);
    const glance = setInterval(() => {
      if (waiting.size) say();
    }, 300);

    model.on("change:data", changed);
    model.on("msg:custom", received);
    seen = view.data.n ?? -1;
    schedule();
    beat("hello");
    return () => {
      closed = true;
      clearInterval(heart);
      clearInterval(glance);
      watcher.disconnect();
      sizes.disconnect();
      document.removeEventListener("visibilitychange", lookedAt);
      model.off("change:data", changed);
      model.off("msg:custom", received);
      parts.close?.();
      send({ kind: "bye" });
    };
  }
  return { render };
}
