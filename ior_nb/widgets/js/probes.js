import { node, write } from "./dom.js";
import { familyColor, panel, unpacked } from "./panel.js";
import { grouped, printable, showCount } from "./text.js";

const RATES = [
  [1, "all calls"],
  [10, "1 in 10"],
  [100, "1 in 100"],
  [1000, "1 in 1,000"],
  [0, "count only"],
];
function showSampling(rate) {
  return rate === 1 ? "all" : rate === 0 ? "count" : `1/${grouped(rate)}`;
}
function sayRate(rate) {
  return rate === 1
    ? "every call is recorded"
    : rate === 0
      ? "calls are counted, none is recorded"
      : `one in ${grouped(rate)} calls is recorded`;
}

export default panel((view) => {
  const empty = node("div", { class: "ior-empty" });
  const search = node("input", {
    type: "search",
    placeholder: "search system calls",
    "aria-label": "search system calls",
    class: "pb-search",
    oninput: () => find(),
  });
  const active = node("span", { class: "pb-active" });
  const on = node("button", { onclick: () => several(true) }),
    off = node("button", { onclick: () => several(false) });
  const list = node("div", { class: "pb-list" });
  const nothing = node("div", { class: "ior-empty", hidden: true });
  const full = node(
    "div",
    {},
    node("div", { class: "ior-row pb-head" }, search, on, off, node("span", { class: "ior-grow" }), active),
    list,
    nothing,
  );
  view.body.append(empty, full);

  let probes = [],
    families = [],
    known = "",
    changes = 0,
    wasEmpty = true;
  const matches = (probe) => probe.name.includes(search.value.trim().toLowerCase());
  const shown = () => probes.filter(matches);

  // ---- changes: shown at once, and taken back when the kernel did not do them
  function change(what, body, about, set) {
    const number = ++changes;
    for (const probe of about) Object.assign(probe, set, { change: number });
    view.act(what, { ...body, page: view.id, change: number });
    update();
  }
  function several(to) {
    const about = shown().filter((probe) => probe.now() !== to);
    if (about.length) change("set", { names: about.map((probe) => probe.name), on: to }, about, { asked: to });
  }

  // ---- how densely a probe, or a family, is sampled: one small form that goes where it is needed
  const choice = node(
    "select",
    {
      "aria-label": "which calls are recorded",
      onchange: () => {
        many.hidden = choice.value !== "n";
        if (!many.hidden) many.focus();
      },
    },
    ...RATES.map(([rate, text]) => node("option", { value: String(rate) }, String(text))),
    node("option", { value: "n" }, "1 in …"),
  );
  const many = node("input", {
    type: "number",
    min: "2",
    max: "2147483647",
    step: "1",
    "aria-label": "one in how many",
    hidden: true,
    class: "pb-many",
  });
  const form = node(
    "form",
    {
      class: "pb-form",
      onsubmit: (event) => {
        event.preventDefault();
        sample();
      },
    },
    choice,
    many,
    node("button", { type: "submit" }, "Set"),
    node("button", { type: "button", "aria-label": "close", onclick: () => close() }, "×"),
  );
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter" && event.target === choice) {
      event.preventDefault();
      form.requestSubmit();
    } // else it opens the list
  });
  form.addEventListener("focusout", (event) => {
    if (event.relatedTarget instanceof Node && !form.contains(event.relatedTarget)) close(false);
  });
  /** @type {{ name: string, about: any[], button: HTMLElement } | null} */
  let sampled = null;
  function open(target) {
    const rate = target.about[0].rate,
      same = target.about.every((probe) => probe.rate === rate) ? rate : 1;
    sampled = target;
    choice.value = RATES.some(([known]) => known === same) ? String(same) : "n";
    many.value = String(Math.max(same, 2));
    many.hidden = choice.value !== "n";
    target.button.after(form);
    choice.focus();
  }
  function close(back = true) {
    const button = sampled?.button;
    sampled = null;
    form.remove();
    if (back) button?.focus();
  }
  function sample() {
    if (!sampled) return;
    const rate = Number(choice.value === "n" ? many.value : choice.value),
      { name, about } = sampled;
    close();
    change("rate", { name, rate }, about, { askedRate: rate });
  }
  const sampler = (name, about) => {
    const button = node("button", {
      class: "pb-rate",
      type: "button",
      onclick: () => (sampled?.button === button ? close() : open({ name, about: about(), button })),
    });
    return button;
  };

  // ---- made once
  function makeProbe(name) {
    const box = node("input", {
      type: "checkbox",
      tabindex: "-1",
      onchange: () => change("set", { names: [name], on: box.checked }, [probe], { asked: box.checked }),
    });
    const calls = node("span", { class: "ior-num pb-calls" }),
      mark = node("span", { class: "pb-mark" });
    const probe = {
      name,
      box,
      calls,
      mark,
      on: false,
      rate: 1,
      count: 0,
      error: "",
      asked: null,
      askedRate: null,
      change: 0,
      now() {
        return this.asked ?? this.on;
      },
    };
    probe.sampler = sampler(name, () => [probe]);
    probe.sampler.tabIndex = -1;
    probe.cell = node(
      "div",
      { class: "pb-probe" },
      node("label", {}, box, node("span", { class: "pb-name", title: printable(name) }, printable(name))),
      mark,
      calls,
      probe.sampler,
    );
    probe.cell._probe = probe;
    return probe;
  }
  function makeFamily(name, members) {
    const box = node("input", {
      type: "checkbox",
      "aria-label": `all ${members.length} of ${name}`,
      onchange: () => change("family", { family: name, on: box.checked }, members, { asked: box.checked }),
    });
    const toggle = node("button", {
      class: "pb-toggle",
      type: "button",
      onclick: () => {
        family.touched = true;
        family.open = !family.open;
        fold(family);
      },
    });
    const count = node("span"),
      calls = node("span", { class: "ior-dim" }),
      rate = sampler(name, () => members),
      errors = node("div", { class: "pb-errors", role: "alert" });
    rate.classList.add("pb-always");
    const grid = node(
      "div",
      {
        class: "pb-grid",
        role: "group",
        "aria-label": `${name}: arrow keys move, Space switches, R sets the sampling`,
      },
      ...members.map((probe) => probe.cell),
    );
    const dot = node("span", { class: "ior-dot" });
    dot.style.background = familyColor(name);
    const family = { name, members, box, toggle, count, calls, rate, errors, grid, open: false, touched: false };
    family.set = node(
      "fieldset",
      { class: "pb-family" },
      node("legend", {}, node("span", { class: "pb-legend" }, box, dot, toggle, count, calls, rate)),
      errors,
      grid,
    );
    grid.addEventListener("keydown", (event) => walk(family, event));
    grid.addEventListener("focusin", (event) => stop(family, probeOf(event.target)));
    return family;
  }
  const probeOf = (place) => place.closest(".pb-probe")?._probe;
  /** One probe of a family is reached by Tab, the others by the arrow keys. */
  function stop(family, probe) {
    if (!probe || family.stop === probe) return;
    for (const [one, index] of [
      [family.stop, -1],
      [probe, 0],
    ])
      if (one) one.box.tabIndex = one.sampler.tabIndex = index;
    family.stop = probe;
  }
  function walk(family, event) {
    const probe = probeOf(event.target);
    if (!probe || form.contains(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const seen = family.members.filter((one) => !one.cell.hidden),
      across = getComputedStyle(family.grid).gridTemplateColumns.split(" ").length;
    const step = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -across,
      ArrowDown: across,
      Home: -seen.length,
      End: seen.length,
    }[event.key];
    if (step) {
      event.preventDefault();
      const at = seen.indexOf(probe) + step,
        next =
          Math.abs(step) === across && seen[at] === undefined && Math.abs(step) < seen.length
            ? seen.indexOf(probe)
            : Math.min(Math.max(at, 0), seen.length - 1);
      seen[next].box.focus();
    } else if (event.key.toLowerCase() === "r") {
      event.preventDefault();
      open({ name: probe.name, about: [probe], button: probe.sampler });
    }
  }
  function make(names, sizes) {
    close(false);
    probes = names.map(makeProbe);
    let at = 0;
    families = sizes.map(([name, size]) => {
      at += size;
      return makeFamily(name, probes.slice(at - size, at));
    });
    list.replaceChildren(...families.map((family) => family.set));
  }

  // ---- kept up to date in place
  function fold(family) {
    const seen = family.members.filter((probe) => !probe.cell.hidden),
      opened = search.value.trim() ? true : family.open;
    family.set.hidden = !seen.length;
    family.grid.hidden = !opened;
    family.set.classList.toggle("pb-closed", !opened);
    family.toggle.setAttribute("aria-expanded", String(opened));
    write(family.toggle, `${opened ? "▾" : "▸"} ${family.name}`);
    if (!family.stop || family.stop.cell.hidden) stop(family, seen[0]);
  }
  function find() {
    for (const probe of probes) probe.cell.hidden = !matches(probe);
    families.forEach(fold);
    buttons();
  }
  function buttons() {
    const searching = search.value.trim() !== "",
      some = shown(),
      turned = some.filter((probe) => probe.now()).length;
    write(on, searching ? `Switch ${some.length} shown on` : "All on");
    write(off, searching ? `Switch ${some.length} shown off` : "All off");
    on.disabled = turned === some.length;
    off.disabled = turned === 0;
    nothing.hidden = some.length > 0;
    write(nothing, `No system call has “${printable(search.value.trim())}” in its name.`);
  }
  function update() {
    const most = Math.log1p(Math.max(...probes.map((probe) => probe.count), 1));
    for (const probe of probes) {
      const now = probe.now(),
        rate = probe.askedRate ?? probe.rate;
      if (probe.box.checked !== now) probe.box.checked = now;
      write(probe.calls, probe.count ? showCount(probe.count) : "");
      const width = probe.count ? `${((100 * Math.log1p(probe.count)) / most).toFixed(1)}%` : "0";
      if (probe._width !== width) {
        probe._width = width;
        probe.cell.style.setProperty("--calls", width);
      }
      if (probe._rate !== rate) {
        probe._rate = rate;
        write(probe.sampler, showSampling(rate));
        probe.sampler.title = `${sayRate(rate)}; click or press R to change`;
        probe.sampler.setAttribute("aria-label", `${showSampling(rate)}: sampling of ${probe.name}, ${sayRate(rate)}`);
        probe.sampler.classList.toggle("pb-always", rate !== 1);
      }
      if (probe._error !== probe.error) {
        probe._error = probe.error;
        write(probe.mark, probe.error ? "⚠" : "");
        probe.cell.classList.toggle("pb-bad", probe.error !== "");
        probe.cell.title = probe.error ? printable(probe.error) : "";
        probe.box.setAttribute("aria-invalid", String(probe.error !== ""));
      }
    }
    for (const family of families) {
      const count = family.members.filter((probe) => probe.now()).length,
        size = family.members.length;
      family.box.checked = count === size;
      family.box.indeterminate = count > 0 && count < size;
      write(family.count, `${count} of ${size} on`);
      const calls = family.members.reduce((sum, probe) => sum + probe.count, 0);
      write(family.calls, calls ? `${showCount(calls)} calls` : "");
      const rates = new Set(family.members.map((probe) => probe.askedRate ?? probe.rate)),
        [rate] = rates;
      write(
        family.rate,
        rates.size > 1 ? "sampled differently" : rate === 0 ? "counted only" : `record ${showSampling(rate)}`,
      );
      const how = rates.size > 1 ? "members are sampled differently" : sayRate(rate);
      family.rate.title = `${how}; click to change for the whole family`;
      family.rate.setAttribute(
        "aria-label",
        `${family.rate.textContent}: sampling of all ${family.name}, ${rates.size > 1 ? "mixed" : sayRate(rate)}`,
      );
      const reasons = new Map();
      for (const probe of family.members)
        if (probe.error) reasons.set(probe.error, [...(reasons.get(probe.error) ?? []), probe.name]);
      const key = JSON.stringify([...reasons]);
      if (family._reasons !== key) {
        family._reasons = key;
        family.errors.replaceChildren(
          ...[...reasons].map(([reason, names]) => {
            const more = names.length > 4 ? ` and ${names.length - 4} more` : "";
            return node("div", {}, `⚠ ${printable(names.slice(0, 4).join(", "))}${more}: ${printable(reason)}`);
          }),
        );
      }
    }
    const turned = probes.filter((probe) => probe.now()).length;
    write(active, `${turned} of ${probes.length} on`);
    buttons();
  }

  return {
    draw(data) {
      empty.hidden = !data.empty;
      full.hidden = data.empty;
      if (data.empty) {
        const how = data.fixed
          ? "This trace has ended. %ior start begins one, and %ior show probes is then its switchboard."
          : "Start one with the button above, or with %ior start in a cell.";
        write(empty, `Probes can be switched while a trace runs. ${how}`);
        wasEmpty = true;
        close(false);
        return;
      }
      const { name: names, on: states } = unpacked(data.probes),
        called = unpacked(data.called),
        key = names.join();
      if (known !== key) {
        known = key;
        make(names, data.families);
      }
      const rates = new Map(data.rates),
        errors = new Map(data.errors),
        handled = data.handled[view.id] ?? 0;
      probes.forEach((probe, i) => {
        probe.on = states[i] === 1;
        probe.rate = rates.get(i) ?? 1;
        probe.error = errors.get(i) ?? "";
        probe.count = 0;
        if (probe.change <= handled) probe.asked = probe.askedRate = null;
      });
      called.at.forEach((i, k) => {
        probes[i].count = called.calls[k];
      });
      if (wasEmpty) {
        wasEmpty = false;
        for (const family of families) if (!family.touched) family.open = family.members.some((probe) => probe.on);
        find();
      }
      update();
    },
  };
});
