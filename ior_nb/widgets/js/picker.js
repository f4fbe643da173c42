import { middle, node, write } from "./dom.js";
import { familyColor, panel, unpacked } from "./panel.js";
import { printable, showCount } from "./text.js";

const PK_SHOWN = 300; // rows drawn at most; the search finds the others

export default panel((view) => {
  const prefix = `pk-${Math.random().toString(36).slice(2)}`;
  let tasks = [],
    threads = [],
    opened = 0,
    list = [],
    held = false,
    scan = -1;
  /** @type {{ pid: number, tid: number } | null} */
  let chosen = null; // tid is 0 for the process
  const families = new Set();

  const search = node("input", {
    type: "search",
    class: "pk-search ior-grow",
    "aria-label": "search processes",
    placeholder: "search pid, name or command line",
    spellcheck: "false",
    oninput: () => render(true),
    onkeydown: (event) => {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        tree.focus();
      }
    },
  });
  const rescan = node(
    "button",
    {
      title: "read the list of processes again (it is read every 5 s while no trace runs)",
      onclick: () => {
        held = false;
        view.act("rescan");
      },
    },
    "Rescan",
  );
  const count = node("span", { class: "ior-dim", role: "status" });
  const tree = node("div", {
    class: "pk-tree",
    role: "tree",
    tabindex: "0",
    "aria-label": "processes",
    onkeydown: key,
    onmouseleave: () => {
      if (held) render();
    },
  });
  const more = node("div", { class: "ior-dim" }),
    failure = node("div", { class: "pk-failure", role: "alert" });
  const boxes = node("div", { class: "pk-families", role: "group", "aria-label": "families of system calls" });
  const process = node("button", { class: "pk-go", onclick: () => start({ ...chosen, tid: 0 }) });
  const thread = node("button", { onclick: () => start({ ...chosen }) });
  const system = node("button", { onclick: () => start({ system: true }) }, "Trace the whole system");
  const toggle = node("button", { onclick: () => expand(opened !== chosen?.pid) });
  const stop = node("button", { class: "pk-stop", onclick: () => view.act("stop") }, "Stop");
  const busy = node("span"),
    running = node("div", { class: "ior-row pk-running", role: "status", hidden: true }, busy, stop);
  view.body.append(
    node("div", { class: "ior-row pk-line" }, search, rescan),
    node(
      "div",
      { class: "pk-head", "aria-hidden": "true" },
      ...["pid", "name", "command line", "user"].map((h) => node("span", {}, h)),
    ),
    tree,
    node("div", { class: "ior-row pk-under" }, count, more),
    failure,
    node("div", { class: "ior-row pk-what" }, node("span", { class: "ior-dim" }, "Calls"), boxes),
    running,
    node("div", { class: "ior-row pk-buttons" }, process, thread, toggle, node("span", { class: "ior-grow" }), system),
  );

  const rows = (columns) => {
    const c = unpacked(columns);
    return Array.from(c.pid, (pid, i) => ({
      pid,
      tid: c.tid[i],
      uid: c.uid[i],
      own: Boolean(c.own[i]),
      comm: c.comm[i],
      command: c.command[i],
    }));
  };
  const name = (task) => `${task.pid} ${printable(task.comm)}`;
  const keyOf = (pid, tid) => `${prefix}-${pid}-${tid}`;
  const chosenTask = () => tasks.find((task) => task.pid === chosen?.pid);

  function start(body) {
    view.act("start", { pid: 0, tid: 0, ...body, families: [...families] });
  }
  function choose(pid, tid = 0, into = true) {
    chosen = { pid, tid };
    if (opened && opened !== pid) expand(false);
    marks();
    if (into) document.getElementById(keyOf(pid, tid))?.scrollIntoView({ block: "nearest" });
  }
  function expand(on) {
    opened = on && chosen ? chosen.pid : 0;
    if (!on && chosen) chosen.tid = 0;
    view.act("threads", { pid: opened });
    render(true);
  }
  function key(event) {
    const at = list.findIndex((row) => row.pid === chosen?.pid && row.tid === chosen?.tid),
      last = list.length - 1;
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at < 0 ? 0 : at - 1,
      Home: 0,
      End: last,
      PageDown: at + 10,
      PageUp: at - 10,
    }[event.key];
    if (to !== undefined) {
      const row = list[Math.max(0, Math.min(last, to))];
      if (row) choose(row.pid, row.tid);
    } else if (event.key === "ArrowRight" && chosenTask()) {
      if (opened !== chosen?.pid) expand(true);
    } else if (event.key === "ArrowLeft" && chosen) {
      if (opened === chosen.pid) {
        expand(false);
        choose(chosen.pid);
      }
    } else if (event.key === "Enter") {
      const button = chosen?.tid ? thread : process;
      if (!button.disabled) button.click();
    } else return;
    event.preventDefault();
  }

  /** A row; depth 1 for a thread. `_fill` writes what may have changed. */
  function made(task, depth) {
    const pid = task.pid,
      tid = depth ? task.tid : 0;
    const arrow = node("span", {
      class: "pk-arrow",
      title: "threads",
      onclick: (event) => {
        event.stopPropagation();
        const on = opened !== pid;
        choose(pid, 0, false);
        expand(on);
      },
    });
    const label = node("span", { class: "pk-comm" }),
      badge = node("span", { class: "pk-own" }),
      command = node("span", { class: "pk-command" }),
      user = node("span", { class: "ior-num ior-dim" });
    const at = node(
      "div",
      {
        class: depth ? "pk-row pk-thread" : "pk-row",
        role: "treeitem",
        id: keyOf(pid, tid),
        "aria-level": String(depth + 1),
        onclick: () => choose(pid, tid, false),
        ondblclick: () => {
          if (!process.disabled) (tid ? thread : process).click();
        },
      },
      node("span", { class: "ior-num" }, depth ? null : arrow, String(depth ? task.tid : pid)),
      node("span", { class: "pk-name" }, label, badge),
      command,
      user,
    );
    at._fill = (now) => {
      write(label, printable(now.comm));
      label.title = label.textContent;
      write(badge, now.own && !depth ? "this kernel" : "");
      if (command._raw !== now.command) {
        command._raw = now.command;
        command.replaceChildren(...(now.command ? [middle(now.command, 40)] : []));
      }
      write(user, now.uid < 0 ? "" : String(now.uid));
    };
    return at;
  }
  function render(asked = false) {
    held = !asked && tree.childElementCount > 0 && tree.matches(":hover"); // nothing jumps under the pointer
    if (held) {
      counted();
      marks();
      return;
    }
    const wanted = search.value.trim().toLowerCase();
    const found = wanted
      ? tasks.filter(
          (t) =>
            String(t.pid).includes(wanted) ||
            t.comm.toLowerCase().includes(wanted) ||
            t.command.toLowerCase().includes(wanted),
        )
      : tasks;
    /** @type {Map<string, any>} */
    const old = new Map(Array.from(tree.children, (at) => [at.id, at])),
      top = old.get(keyOf(chosen?.pid, chosen?.tid))?.offsetTop;
    list = [];
    const nodes = [];
    const put = (task, depth) => {
      const id = keyOf(task.pid, depth ? task.tid : 0),
        at = old.get(id) ?? made(task, depth);
      at._fill(task);
      list.push({ pid: task.pid, tid: depth ? task.tid : 0 });
      nodes.push(at);
    };
    for (const task of found.slice(0, PK_SHOWN)) {
      put(task, 0);
      if (task.pid === opened && view.data.opened === opened) for (const t of threads) put(t, 1);
    }
    if (nodes.length !== tree.childElementCount || nodes.some((at, i) => tree.children[i] !== at)) {
      const scrolled = tree.scrollTop;
      tree.replaceChildren(
        ...(nodes.length
          ? nodes
          : [
              node(
                "div",
                { class: "ior-empty" },
                tasks.length ? "Nothing here has that in its name." : "No process is visible here.",
              ),
            ]),
      );
      const now = document.getElementById(keyOf(chosen?.pid, chosen?.tid))?.offsetTop;
      const seen = top !== undefined && top >= scrolled && top <= scrolled + tree.clientHeight;
      tree.scrollTop = seen && now !== undefined ? scrolled + now - top : scrolled;
    }
    const hidden = found.length - PK_SHOWN;
    write(
      more,
      hidden > 0
        ? `${showCount(hidden)} more: search`
        : view.data.unsent
          ? `${showCount(view.data.unsent)} older ones are not listed`
          : "",
    );
    counted(found.length);
    marks();
  }
  function counted(found) {
    if (found !== undefined) count._found = found;
    const all = showCount(tasks.length),
      some = showCount(count._found ?? tasks.length);
    write(
      count,
      `${some === all ? all : `${some} of ${all}`} processes${held ? ". The list waits while you point at it." : ""}`,
    );
  }
  function marks() {
    const task = chosenTask(),
      data = view.data,
      why = data.running ? "a trace is running: stop it first" : "";
    for (const at of tree.children) {
      const mine = chosen && at.id === keyOf(chosen.pid, chosen.tid);
      at.setAttribute("aria-selected", String(Boolean(mine)));
      const arrow = at.querySelector(".pk-arrow");
      if (arrow) {
        const open = at.id === keyOf(opened, 0);
        write(arrow, open ? "▾" : "▸");
        at.setAttribute("aria-expanded", String(open));
      }
    }
    const active = chosen && document.getElementById(keyOf(chosen.pid, chosen.tid));
    if (active) tree.setAttribute("aria-activedescendant", active.id);
    else tree.removeAttribute("aria-activedescendant");
    write(
      process,
      task ? `Trace ${name(task)} and its children` : chosen ? `process ${chosen.pid} has ended` : "Trace a process",
    );
    write(thread, chosen?.tid ? `Trace thread ${chosen.tid} only` : "Trace a thread");
    write(toggle, task && opened === task.pid ? "Hide threads" : "Show threads");
    const none = families.size ? "" : "choose at least one family";
    process.disabled = Boolean(why || none || !task);
    thread.disabled = Boolean(why || none || !task || !chosen?.tid);
    system.disabled = Boolean(why || none);
    toggle.disabled = !task;
    process.title = why || none;
    system.title = why || none || "all processes of this machine";
    thread.title =
      why || none || (chosen?.tid ? "without its children" : "show the threads of a process and select one");
    running.hidden = !data.running;
    write(busy, `Tracing ${printable(data.title ?? "")}. To trace something else, stop it first.`);
  }
  function family(label) {
    const box = node("input", {
      type: "checkbox",
      checked: families.has(label),
      onchange: () => {
        if (box.checked) families.add(label);
        else families.delete(label);
        marks();
      },
    });
    const dot = node("span", { class: "ior-dot" });
    dot.style.background = familyColor(label);
    return node("label", {}, box, dot, label);
  }

  return {
    draw(data) {
      if (!boxes.childElementCount) {
        for (const label of data.usual) families.add(label);
        boxes.append(...data.families.map(family));
      }
      if (scan !== data.scan) {
        scan = data.scan;
        tasks = rows(data.tasks);
        threads = rows(data.threads);
        if (chosen === null) {
          const own = tasks.find((task) => task.own) ?? tasks[0];
          if (own) chosen = { pid: own.pid, tid: 0 };
        }
        if (chosen?.tid && opened && data.opened === opened && !threads.some((t) => t.tid === chosen?.tid))
          chosen.tid = 0; // the thread has ended
        render(data.opened === opened && tree._opened !== opened);
        if (data.opened === opened) tree._opened = opened;
      } else marks();
      write(failure, data.failure ? printable(data.failure) : "");
    },
  };
});
