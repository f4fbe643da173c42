// Elements, made so that text never becomes markup.

import { printable } from "./text.js";

/** @typedef {Node | string | null | undefined} Child Left out where it is nothing. */

/**
 * Make an element. Text is always text: traced names never become markup.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} options attributes, some properties, and listeners as `onclick`
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function node(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (["value", "checked", "disabled", "selected"].includes(key)) Object.assign(made, { [key]: value });
    else if (value !== undefined && value !== null && value !== false)
      made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/**
 * The same for SVG.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} options
 * @param {...(Node | string)} children
 */
export function svg(tag, options = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(options)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/**
 * A term of the filter in force, with a button that takes it out.
 *
 * @param {string} text
 * @param {[string, string]} classes of the whole, and of the text
 * @param {(text: string) => void} drop
 */
export function term(text, classes, drop) {
  return node(
    "span",
    { class: classes[0], title: printable(text) },
    node("span", { class: classes[1] }, printable(text)),
    node("button", { "aria-label": `remove ${printable(text)}`, onclick: () => drop(text) }, "×"),
  );
}

/**
 * Set the text of a node only where it differs: no layout without a change.
 *
 * @param {Element} target
 * @param {string} text
 */
export function write(target, text) {
  if (target._text !== text) {
    target._text = text;
    target.textContent = text;
  }
}

/**
 * A long text cut in the middle by the layout: the head gives way, the tail stays. The whole is in the tooltip.
 *
 * @param {string} text
 */
export function middle(text, tail = 28) {
  const shown = printable(text);
  const slash = shown.lastIndexOf("/");
  const at = slash > 0 && shown.length - slash <= tail ? slash : Math.max(0, shown.length - tail);
  return node(
    "span",
    { class: "ior-mid", title: shown },
    node("span", {}, shown.slice(0, at)),
    node("span", {}, shown.slice(at)),
  );
}
