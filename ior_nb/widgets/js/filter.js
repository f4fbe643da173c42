import { node, term, write } from "./dom.js";
import { panel } from "./panel.js";
import { printable } from "./text.js";

const FT_EXAMPLES = { ns: "5ms", bytes: "64KiB" };
const FT_WHEN = 300; // ms of quiet before the draft is judged

/** The input with its list of completions. `changed(now)` after every change by the user, `enter()` on that key. */
function completing(changed, enter) {
  const list = node("ul", {
    class: "ft-list",
    role: "listbox",
    id: `ft-${Math.random().toString(36).slice(2)}`,
    "aria-label": "what may follow",
    hidden: true,
  });
  const input = node("input", {
    class: "ft-text",
    type: "text",
    role: "combobox",
    "aria-label": "filter as text",
    "aria-autocomplete": "list",
    "aria-controls": list.id,
    "aria-expanded": "false",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: "all rows. For example: file~/data latency>=1ms",
    maxlength: "10000",
    oninput: () => changed(false),
    onkeydown: key,
    onblur: close,
  });
  let items = [],
    active = -1,
    cursor = 0;
  // The kernel counts characters, not UTF-16 units.
  const cursorNow = () => Array.from(input.value.slice(0, input.selectionStart ?? undefined)).length;
  function mark(index) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = index;
    const now = list.children[active];
    now?.setAttribute("aria-selected", "true");
    now?.scrollIntoView({ block: "nearest" });
    if (now) input.setAttribute("aria-activedescendant", now.id);
    else input.removeAttribute("aria-activedescendant");
  }
  function close() {
    items = [];
    active = -1;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  function open(suggestions) {
    close();
    if (document.activeElement !== input) return;
    cursor = cursorNow();
    const typed = Array.from(input.value);
    items = suggestions.filter(([text, start]) => text !== typed.slice(start, cursor).join(""));
    if (!items.length) return;
    list.replaceChildren(
      ...items.map(([text, , kind, doc], i) =>
        node(
          "li",
          {
            role: "option",
            id: `${list.id}-${i}`,
            "aria-selected": "false",
            title: printable(text),
            onmousedown: (event) => {
              event.preventDefault();
              accept(i);
            },
          },
          node("span", { class: "ft-kind" }, kind),
          node("span", { class: "ft-word" }, printable(text)),
          node("span", { class: "ior-dim ft-doc" }, doc),
        ),
      ),
    );
    list.hidden = false;
    list.scrollTop = 0;
    input.setAttribute("aria-expanded", "true");
  }
  function accept(index) {
    const [text, start, kind] = items[index],
      typed = Array.from(input.value);
    const head = typed.slice(0, start).join("") + text,
      tail = typed.slice(cursor).join("");
    const space = ["value", "unit", "keyword"].includes(kind) && text !== "(" && !/^[\s)]/.test(tail) ? " " : "";
    input.value = head + space + tail;
    input.setSelectionRange((head + space).length, (head + space).length);
    close();
    changed(true);
  }
  function key(event) {
    const { key: name } = event,
      last = items.length - 1;
    if (event.isComposing) return;
    if (name === "ArrowDown" || name === "ArrowUp" || (name === " " && event.ctrlKey)) {
      if (!items.length) changed(true);
      else if (name !== " ")
        mark(name === "ArrowDown" ? (active >= last ? 0 : active + 1) : active <= 0 ? last : active - 1);
    } else if (name === "Enter") {
      if (active >= 0) accept(active);
      else {
        close();
        enter();
      }
    } else if (name === "Tab" && items.length && !event.shiftKey && (active >= 0 || items[0][1] < cursor))
      accept(Math.max(active, 0));
    else if (name === "Escape") close();
    else return;
    event.preventDefault();
  }
  return { input, list, open, close, cursorNow };
}

export default panel((view) => {
  const table = view.model.get("table");
  let n = 0; // number of the draft: every change counts, so that an answer to an earlier one is stale
  let own = false; // whether the draft is the user's and not in force
  let force = null; // the text in force
  let applying = -1,
    timer = 0,
    slow = 0,
    wrongness = "";
  const rows = new Map(),
    touched = new Set(),
    wider = new Map(); // rows by "dimension#slot"; those typed in; how many a dimension shall have

  const box = completing((now) => {
    touched.clear();
    edited(now ? 0 : FT_WHEN / 2, true);
  }, apply);
  const text = box.input;
  const go = node(
    "button",
    { class: "ft-go", onclick: apply, title: "make it the filter of the whole dashboard (Enter)" },
    "Apply",
  );
  const discard = node("button", { onclick: adopt, title: "back to the filter in force" }, "Discard");
  const clear = node(
    "button",
    {
      onclick: () => {
        own = false;
        n++;
        view.act("clear");
        if (!force) adopt();
      },
      title: "show all rows",
    },
    "Clear",
  );
  // One line for all there is to say, so that nothing below moves.
  const state = node("div", { class: "ft-state", role: "status" });
  // The text once more, unseen, with the wrong place underlined.
  const under = node("div", { class: "ft-under", "aria-hidden": "true" });
  text.addEventListener("scroll", () => {
    under.scrollLeft = text.scrollLeft;
  });
  const conflict = node("div", { class: "ft-conflict", role: "alert", hidden: true });
  const chips = node("div", { class: "ft-chips" });
  const errors = node("input", {
    type: "checkbox",
    onchange: () => {
      touched.add("errors#0");
      edited(0);
    },
  });
  const fields = node("div", { class: "ft-fields" });
  const others = node("div", { class: "ft-others", hidden: true });
  const undo = node("button", { onclick: () => view.act("undo") }, "Undo");
  const history = node("ol", { class: "ft-history" });
  view.body.append(
    node(
      "div",
      { class: "ior-row ft-line" },
      node("div", { class: "ior-grow ft-box" }, text, under, box.list),
      go,
      discard,
      clear,
    ),
    state,
    conflict,
    node("div", { class: "ior-row ft-force" }, node("span", { class: "ior-dim" }, "In force"), chips),
    fields,
    node("label", { class: "ft-errors" }, errors, " errors only"),
    others,
    node("div", { class: "ior-row ft-past" }, node("span", { class: "ft-title" }, "History"), undo),
    history,
  );
  state.id = `${box.list.id}-state`;
  text.setAttribute("aria-describedby", state.id);

  const dimensions = new Map();
  for (const dimension of table) {
    const more = node(
      "button",
      {
        class: "ft-more",
        "aria-label": `another condition on ${dimension.name}`,
        title: `another condition on ${dimension.name}`,
        hidden: true,
        onclick: () => {
          wider.set(dimension.name, dimensions.get(dimension.name).terms + 1);
          widen(dimension.name);
          rows.get(`${dimension.name}#${dimensions.get(dimension.name).count - 1}`).value.focus();
        },
      },
      "+",
    );
    const stack = node("div", { class: "ft-stack" });
    fields.append(
      node(
        "div",
        { class: "ft-dim" },
        node("span", { class: "ft-name", title: dimension.doc }, dimension.name),
        stack,
        more,
      ),
    );
    dimensions.set(dimension.name, { dimension, stack, more, count: 0, terms: 0 });
    widen(dimension.name);
  }

  function row(dimension, slot) {
    const key = `${dimension.name}#${slot}`,
      name = slot ? `${dimension.name} ${slot + 1}` : dimension.name;
    const usual = dimension.text ? "~" : dimension.unit ? ">=" : "=";
    const operator = node(
      "select",
      {
        "aria-label": `${name}: operator`,
        onchange: () => {
          if (value.value) {
            touched.add(key);
            edited(0);
          }
        },
      },
      ...dimension.operators.map((o) => node("option", { value: o, selected: o === usual }, o)),
    );
    const value = node("input", {
      type: "text",
      "aria-label": name,
      title: dimension.doc,
      placeholder: name === "time" ? "boot clock" : (FT_EXAMPLES[dimension.unit] ?? ""),
      autocomplete: "off",
      spellcheck: "false",
      maxlength: "4096",
      oninput: () => {
        if (value.value) {
          touched.add(key);
          edited(FT_WHEN);
        }
      }, // an emptied field may be about to be typed anew
      onchange: () => {
        if (value.value !== made.known) {
          touched.add(key);
          edited(0);
        }
      },
      onkeydown: (event) => {
        if (event.key === "Enter") {
          if (value.value !== made.known) touched.add(key);
          apply();
        } else return;
        event.preventDefault();
      },
    });
    const hint = node("div", { class: "ft-hint", role: "status" });
    const made = {
      key,
      dimension,
      slot,
      operator,
      value,
      hint,
      usual,
      canon: null,
      known: "",
      node: node("div", { class: "ft-term" }, operator, value, hint),
    };
    return made;
  }
  /** Give a dimension as many rows as it has terms, one where it has none, and one more where the user wants it. */
  function widen(name) {
    const of = dimensions.get(name),
      wanted = Math.max(1, of.terms, wider.get(name) ?? 0);
    for (; of.count < wanted; of.count++) {
      const made = row(of.dimension, of.count);
      rows.set(made.key, made);
      of.stack.append(made.node);
    }
    for (
      ;
      of.count > wanted && !rows.get(`${name}#${of.count - 1}`).node.contains(document.activeElement);
      of.count--
    ) {
      const key = `${name}#${of.count - 1}`;
      rows.get(key).node.remove();
      rows.delete(key);
    }
    of.more.hidden = of.terms === 0 || of.count > of.terms;
  }

  /** The draft has changed: ask about it after a while. */
  function edited(after, complete = false) {
    n++;
    own = true;
    under.replaceChildren(); // the mark belongs to the text before
    clearTimeout(timer);
    timer = setTimeout(() => ask(complete), after);
    say();
  }
  const edits = () =>
    [...touched].map((key) => {
      const [dimension, slot] = key.split("#"),
        at = rows.get(key);
      return key === "errors#0"
        ? { dimension, slot: 0, operator: "", value: errors.checked ? "errors" : "" }
        : { dimension, slot: Number(slot), operator: at?.operator.value ?? "=", value: at?.value.value ?? "" };
    });
  function ask(complete) {
    clearTimeout(slow);
    slow = setTimeout(() => write(state, "The kernel is busy: the text is checked as soon as it listens."), 1000);
    view.model.send({
      view: view.id,
      kind: "ask",
      n,
      text: text.value,
      edits: edits(),
      cursor: complete ? box.cursorNow() : null,
    });
  }
  function apply() {
    clearTimeout(timer);
    applying = ++n;
    view.act("apply", { view: view.id, n, text: text.value, edits: edits() });
  }
  /** Show the filter in force; what was typed is gone. */
  function adopt() {
    clearTimeout(timer);
    n++;
    own = false;
    applying = -1;
    conflict.hidden = true;
    touched.clear();
    wider.clear();
    box.close();
    if (text.value !== force) text.value = force ?? "";
    complain("", -1, {});
    for (const at of rows.values()) if (at.value.value !== at.known) at.canon = undefined;
    show(view.data);
    say();
  }
  function say() {
    clearTimeout(slow);
    write(state, wrongness ? printable(wrongness) : own ? "Not applied yet: Enter or Apply." : "");
    go.classList.toggle("ft-ready", own);
    discard.disabled = !own;
  }

  function show({ terms, others: rest }) {
    const count = {};
    for (const [name, operator, shown] of terms) {
      if (name === "errors") {
        count.errors = 1;
        continue;
      }
      const slot = count[name] ?? 0;
      count[name] = slot + 1;
      const of = dimensions.get(name);
      if (!of) continue;
      of.terms = slot + 1;
      widen(name);
      fill(rows.get(`${name}#${slot}`), operator, shown);
    }
    for (const [name, of] of dimensions) {
      of.terms = count[name] ?? 0;
      widen(name);
      for (let slot = of.terms; slot < of.count; slot++) fill(rows.get(`${name}#${slot}`), null, "");
    }
    if (!touched.has("errors#0")) errors.checked = Boolean(count.errors);
    others.hidden = !rest.length;
    others.replaceChildren(
      ...(rest.length
        ? [node("span", { class: "ior-dim" }, "edited as text: "), ...rest.map((t) => node("code", {}, printable(t)))]
        : []),
    );
  }
  function fill(at, operator, shown) {
    const canon = operator === null ? null : operator + shown,
      focused = at.node.contains(document.activeElement);
    // What they typed stays as it is, `1.5ms` for 1500us.
    const typed = touched.has(at.key) && (canon === null || at.value.value);
    if (!typed && at.canon !== canon) {
      at.value.value = shown;
      if (operator !== null) at.operator.value = operator;
    } else if (!typed && canon === null && !focused) at.value.value = "";
    at.canon = canon;
    at.known = at.value.value;
    at.node.classList.toggle("ft-set", canon !== null);
  }
  /** Say what is wrong: with a mark at the place in the text, or under a field. */
  function complain(message, at, wrong) {
    for (const [key, { hint, value, node: whole }] of rows) {
      write(hint, wrong[key] ? printable(wrong[key]) : "");
      whole.classList.toggle("ft-wrong", Boolean(wrong[key]));
      value.setAttribute("aria-invalid", String(Boolean(wrong[key])));
    }
    text.setAttribute("aria-invalid", String(Boolean(message)));
    fields.classList.toggle("ft-stale", Boolean(message));
    wrongness = message;
    under.replaceChildren();
    const all = Array.from(text.value),
      unfinished = at >= all.length;
    state.dataset.kind = message ? (unfinished ? "unfinished" : "wrong") : "";
    if (!message || at < 0) return;
    let end = at + 1;
    while (end < all.length && !/[\s()"=!<>~]/.test(all[end]) && !/[\s()"=!<>~]/.test(all[at])) end++;
    under.append(
      all.slice(0, at).join(""),
      node("span", { class: "ft-at" }, unfinished ? "\u00a0\u00a0" : all.slice(at, end).join("")),
      all.slice(end).join(""),
    );
    under.scrollLeft = text.scrollLeft;
  }

  return {
    draw(data) {
      const mine = data.applied[0] === view.id && data.applied[1] === applying;
      const changed = data.text !== force;
      force = data.text;
      if (mine) {
        applying = -1;
        if (n === data.applied[1]) adopt();
      } else if (changed && !own) adopt();
      else if (changed) {
        conflict.hidden = false;
        conflict.replaceChildren(
          node(
            "span",
            {},
            "The filter has changed while you were typing. In force now: ",
            node("code", {}, printable(force || "all")),
          ),
          node("button", { onclick: adopt }, "Take that"),
          node(
            "button",
            {
              onclick: () => {
                conflict.hidden = true;
                text.focus();
              },
            },
            "Keep mine",
          ),
        );
      }
      const key = JSON.stringify(data.chips);
      if (chips._key !== key) {
        chips._key = key;
        const had = chips.contains(document.activeElement);
        chips.replaceChildren(
          ...(data.chips.length
            ? data.chips.map((chip) => term(chip, ["ft-chip", "ft-word"], (text) => view.act("drop", { text })))
            : [node("span", { class: "ior-dim" }, "all rows")]),
        );
        if (had) (chips.querySelector("button") ?? text).focus();
      }
      const past = JSON.stringify(data.labels);
      if (history._key !== past) {
        history._key = past;
        history.replaceChildren(
          ...data.labels.map((label) => node("li", { title: printable(label) }, printable(label))),
        );
      }
      undo.disabled = !data.labels.length;
      undo.title = data.labels.length ? `take back: ${printable(data.labels[0])}` : "nothing to take back";
      clear.disabled = !force && !own;
    },
    message(content) {
      if (content.kind !== "answer" || content.view !== view.id || content.n !== n) return;
      const failed = Object.keys(content.wrong).length > 0 || content.error;
      complain(content.error, content.at, content.wrong);
      if (!failed && content.text === force && applying < 0) {
        own = false;
        conflict.hidden = true;
      }
      say();
      clear.disabled = false;
      if (!failed && touched.size) {
        if (text.value !== content.text) text.value = content.text;
        show(content); // before they are forgotten: what was typed stays
        touched.clear();
      } else if (!failed) show(content);
      if (content.n === applying) applying = -1;
      box.open(content.suggestions);
    },
    close() {
      clearTimeout(timer);
      clearTimeout(slow);
    },
  };
});
