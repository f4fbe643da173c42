import { node, term, write } from "./dom.js";
import { panel } from "./panel.js";
import { printable, showCount, showNs } from "./text.js";

export default panel((view) => {
  const dot = node("span", { class: "bar-dot", role: "img" });
  const title = node("span", { class: "bar-title" });
  const figures = node("span", { class: "ior-dim bar-figures" });
  const badge = node("span", { class: "bar-badge", hidden: true });
  const recording = node("span", { class: "bar-badge bar-rec", hidden: true });
  const go = node("button", { onclick: () => view.act(view.data.running ? "stop" : "start") });
  const reset = node(
    "button",
    { title: "count from now: statistics and flame graph begin anew", onclick: () => view.act("reset") },
    "Reset",
  );
  const auto = node("select", {
    title: "reset by itself",
    "aria-label": "automatic reset",
    onchange: () => view.act("auto_reset", { seconds: Number(auto.value) }),
  });
  const progress = node("progress", { class: "ior-grow", "aria-label": "rows counted" });
  const counted = node("span", { class: "ior-dim bar-figures" });
  const halt = node("button", { onclick: () => view.act(view.data.counting?.paused ? "reset" : "stop") });
  const counting = node("div", { class: "ior-row bar-part bar-counting", hidden: true }, counted, progress, halt);
  const host = node("select", {
    class: "bar-host",
    title: "whose calls the panels show",
    "aria-label": "host",
    hidden: true,
    onchange: () => view.act("host", { host: host.value }),
  });
  const chips = node("span", { class: "bar-chips" });
  const undo = node("button", { onclick: () => view.act("undo") }, "Undo");
  const mine = node(
    "button",
    {
      title: "only calls on files of your own: no libraries, system, pipes, imports",
      onclick: () => view.act("mine"),
    },
    "Mine",
  );
  const clear = node("button", { title: "show all rows", onclick: () => view.act("clear") }, "Clear");
  view.body.append(
    node(
      "div",
      { class: "ior-row" },
      dot,
      title,
      figures,
      host,
      node("span", { class: "ior-grow" }),
      badge,
      recording,
      go,
      reset,
      auto,
    ),
    counting,
    node(
      "div",
      { class: "ior-row bar-part bar-filter" },
      node("span", { class: "ior-dim" }, "Filter"),
      chips,
      node("span", { class: "ior-grow" }),
      mine,
      undo,
      clear,
    ),
  );

  // The static picture of the saved notebook is for pages where this view cannot live.
  const still = view.model.get("still_id");
  const hide = still
    ? node(
        "style",
        {},
        `#${CSS.escape(still)}, .jp-OutputArea-child:has(#${CSS.escape(still)}) { display: none !important; }`,
      )
    : null;
  if (hide) document.head.append(hide);

  return {
    draw(data) {
      dot.dataset.on = data.running;
      dot.setAttribute("aria-label", data.running ? "tracing" : "not tracing");
      write(
        title,
        data.title ? `${data.running ? "tracing" : "traced"} ${printable(data.title)}` : "nothing has been traced yet",
      );
      title.title = title.textContent;
      const few = data.counted_s ? `; the panels count the last ${data.counted_s} s` : "";
      const said = `${showCount(data.rows)} rows in ${showNs(data.elapsed_s * 1e9)}, ${data.engine}${few}`;
      write(figures, data.title ? said : "");
      host.hidden = !data.hosts.length;
      if (host._hosts !== data.hosts.join("\0")) {
        host._hosts = data.hosts.join("\0");
        host.replaceChildren(
          node("option", { value: "" }, `all ${data.hosts.length} hosts`),
          ...data.hosts.map((name) => node("option", { value: name }, printable(name))),
        );
      }
      if (host !== document.activeElement) host.value = data.host;
      const complaints = [
        ...data.notes,
        data.complete ? "" : data.accounting,
        data.warnings ? `${data.warnings} warnings in the stream` : "",
      ]
        .filter(Boolean)
        .map(printable);
      badge.hidden = !complaints.length;
      write(badge, data.complete ? (complaints[0] ?? "") : "incomplete");
      badge.title = complaints.join("\n");
      badge.classList.toggle("bar-bad", !data.complete);
      counting.hidden = !data.counting;
      if (data.counting) {
        progress.max = data.counting.whole;
        progress.value = data.counting.done;
        write(counted, data.counting.text);
        write(halt, data.counting.paused ? "Count on" : "Stop counting");
      }
      recording.hidden = !data.recording;
      write(recording, "recording");
      recording.title = printable(data.recording);
      for (const control of [go, reset, auto]) control.hidden = data.fixed;
      write(go, data.running ? "Stop" : "Start");
      go.title = data.running
        ? "end the trace; what was seen stays"
        : "trace this kernel, its threads and its children";
      go.classList.toggle("bar-go", !data.running);
      reset.disabled = !data.running;
      if (auto.options.length === 0)
        for (const s of data.auto_choices)
          auto.append(
            node("option", { value: String(s) }, s ? `every ${s < 60 ? `${s} s` : `${s / 60} min`}` : "reset by hand"),
          );
      if (auto !== document.activeElement) auto.value = String(data.auto_reset);
      const key = JSON.stringify(data.chips);
      if (chips._key !== key) {
        chips._key = key;
        chips.replaceChildren(
          ...(data.chips.length
            ? data.chips.map((chip) => term(chip, ["bar-chip", "bar-chip-text"], (text) => view.act("drop", { text })))
            : [
                node("span", { class: "ior-dim" }, "all rows. Rows, cells, bars and shift-clicked frames narrow them."),
              ]),
        );
      }
      mine.setAttribute("aria-pressed", String(data.chips.includes("mine")));
      undo.disabled = !data.undo;
      undo.title = data.undo ? `take back: ${printable(data.undo)}` : "nothing to take back";
      clear.disabled = !data.filter;
    },
    close() {
      hide?.remove();
    },
  };
});
