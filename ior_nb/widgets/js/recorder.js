import { copyText } from "./copy.js";
import { middle, node, write } from "./dom.js";
import { panel } from "./panel.js";
import { grouped, printable, showBytes, showCount, showRate } from "./text.js";

export default panel((view) => {
  const name = node("input", {
    type: "text",
    class: "rc-name",
    "aria-label": "file name",
    placeholder: "ior-recording-DATE-TIME.parquet",
    spellcheck: "false",
    autocomplete: "off",
    maxlength: "4096",
    oninput: target,
    onkeydown: (event) => {
      if (event.key === "Enter" && !name.disabled) start();
    },
  });
  const replace = node("input", { type: "checkbox" });
  const go = node("button", { class: "rc-go", onclick: () => (view.data.active ? view.act("stop") : start()) });
  const where = node("div", { class: "rc-where" });
  const form = node(
    "div",
    { class: "ior-row rc-form" },
    name,
    node("label", { class: "rc-replace", title: "a file that has this name is replaced" }, replace, " replace"),
  );
  const notes = node("div", { class: "rc-notes", role: "status" });
  const cells = {};
  const figures = node("div", { class: "rc-boxes" });
  for (const [key, title] of [
    ["rows", "rows safely written"],
    ["size", "size"],
    ["rate", "rate"],
    ["dropped", "rows missing"],
  ]) {
    cells[key] = { value: node("div", { class: "rc-value" }), extra: node("div", { class: "ior-dim rc-extra" }) };
    figures.append(
      node("div", { class: "rc-box" }, node("div", { class: "rc-title" }, title), cells[key].value, cells[key].extra),
    );
  }
  const failure = node("div", { class: "rc-failure", role: "alert" });
  const last = node("div", { class: "rc-last", hidden: true });
  view.body.append(
    node("div", { class: "ior-row rc-line" }, go, node("div", { class: "ior-grow" }, form, where)),
    notes,
    figures,
    failure,
    last,
  );

  function start() {
    view.act("start", { path: name.value, replace: replace.checked });
  }
  /** Say where it will be. */
  function target() {
    const { active, path, folder = "" } = view.data;
    if (active) {
      shown("writing to", path);
      return;
    }
    let wanted = name.value.trim() || name.placeholder;
    if (!wanted.endsWith(".parquet")) wanted += ".parquet";
    shown("writes to", /^[/~]/.test(wanted) ? wanted : `${folder.replace(/\/$/, "")}/${wanted}`);
  }
  function shown(word, path) {
    if (where._key === word + path) return;
    where._key = word + path;
    where.replaceChildren(node("span", { class: "ior-dim" }, `${word} `), middle(path, 60));
  }
  function copier(text, what) {
    const button = node(
      "button",
      {
        title: `copy the ${what}`,
        "aria-label": `copy the ${what}`,
        onclick: async () => {
          const done = await copyText(text);
          if (!done) getSelection()?.selectAllChildren(/** @type {Node} */ (button.previousSibling));
          button.textContent = done ? "copied" : "press Ctrl+C";
          setTimeout(() => {
            button.textContent = "copy";
          }, 1500);
        },
      },
      "copy",
    );
    return button;
  }
  function finished(file) {
    const line = (label, text, what) =>
      node(
        "div",
        { class: "rc-copy" },
        node("span", { class: "ior-dim" }, label),
        node("code", { title: printable(text) }, printable(text)),
        copier(text, what),
      );
    const each = file.rows ? `, ${grouped(file.size / file.rows, 1)} bytes a row` : "",
      missing = file.dropped ? `; ${showCount(file.dropped)} rows are missing` : "";
    return [
      node("div", { class: "rc-title" }, "last recording"),
      line("file", file.path, "path"),
      line("open it", file.code, "line of code"),
      node(
        "div",
        { class: "ior-dim rc-extra" },
        `${showCount(file.rows)} rows, ${showBytes(file.size)}${each}${missing}`,
      ),
    ];
  }

  return {
    draw(data) {
      write(go, data.active ? "Stop recording" : "Start recording");
      go.dataset.on = data.active;
      name.disabled = replace.disabled = data.active;
      form.hidden = data.active;
      target();
      const words = [];
      if (!data.running)
        words.push(
          data.active
            ? "No trace is running: rows come when one starts."
            : "No trace is running. A recording may begin all the same: rows come when one starts.",
        );
      else if (data.active && !data.rows) words.push("Rows are written in groups, every 10 seconds at the latest.");
      if (data.filter) words.push(`Only rows the filter lets through are recorded: ${data.filter}`);
      write(notes, words.map(printable).join("  "));
      figures.hidden = !data.active;
      if (data.active) {
        write(cells.rows.value, showCount(data.rows));
        write(cells.size.value, showBytes(data.size));
        write(cells.size.extra, data.rows ? `${grouped(data.size / data.rows, 1)} bytes a row` : "");
        write(cells.rate.value, data.rate ? showRate(Math.round(data.rate)) : "–");
        write(cells.rate.extra, data.rate && data.rows ? `${showBytes((data.rate * data.size) / data.rows)}/s` : "");
        write(cells.dropped.value, showCount(data.dropped));
        write(cells.dropped.extra, data.dropped ? "writing was too slow, or failed" : "");
        cells.dropped.value.classList.toggle("rc-bad", data.dropped > 0);
      }
      write(failure, data.failure ? `The recording ended early: ${printable(data.failure)}` : "");
      const key = JSON.stringify(data.last);
      if (last._key !== key) {
        last._key = key;
        last.hidden = !data.last;
        last.replaceChildren(...(data.last ? finished(data.last) : []));
      }
    },
  };
});
