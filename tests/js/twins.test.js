// What Python and the page do alike: test_javascript.py gives the values, and what Python makes of them.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { unpacked } from "../../ior_nb/widgets/js/panel.js";
import { HELD } from "../../ior_nb/widgets/js/rows.js";
import { SPENT } from "../../ior_nb/widgets/js/spent.js";
import { matcher } from "../../ior_nb/widgets/js/table.js";
import { printable, showBytes, showNs } from "../../ior_nb/widgets/js/text.js";

const python = JSON.parse(readFileSync(process.env.IOR_NB_TWINS, "utf8"));

for (const [name, twin] of Object.entries({ show_ns: showNs, show_bytes: showBytes, printable })) {
  test(`${name} says the same`, () => {
    for (const [value, shown] of python[name]) assert.equal(twin(value), shown, JSON.stringify(value));
  });
}

test("a search finds the same texts", () => {
  for (const [query, text, found] of python.matcher)
    assert.equal(matcher(query).matches(text), found, `${query} in ${text}`);
});

test("the stream keeps as many rows", () => {
  assert.equal(HELD, python.held);
});

test("the parts of a latency have the same words and order", () => {
  assert.deepEqual(Object.entries(SPENT), python.spent);
});

test("packed columns are unpacked as they were, wherever the server puts them", () => {
  for (const gap of [0, 1, 3]) {
    const columns = Object.entries(python.packed).map(([name, { t, n, b }]) => {
      const bytes = Uint8Array.from(Buffer.from(b, "base64")),
        buffer = new Uint8Array(gap + bytes.length + 5);
      buffer.set(bytes, gap);
      return [name, { t, n, b: new DataView(buffer.buffer, gap, bytes.length) }];
    });
    const found = unpacked(Object.fromEntries(columns));

    for (const [name, values] of Object.entries(python.unpacked))
      assert.deepEqual(Array.from(found[name]), values, name);
  }
});
