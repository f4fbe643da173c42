// Reads profiles with speedscope's own importer, which its package only ships inside the bundle of its page.
// node speedscope.mjs BUNDLE FILE... prints, for every file, its profiles: name, unit, total, stacks with weights.
import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";

const [bundle, ...files] = process.argv.slice(2);
const source = fs.readFileSync(bundle, "utf8");
// Minified names change with every release; the call that hands a file to the importer does not.
const name = /loadFileFromBase64:\(\w+,\w+\)=>\{this\.loadProfile\(\(\)=>(\w+)\(/.exec(source)[1];
const start = source.indexOf("(()=>{") + "(()=>{".length;
const nothing = new Proxy(function () {}, {
  get: (_, key) => (key === Symbol.toPrimitive ? () => "" : key === "length" ? 0 : nothing),
  apply: () => nothing,
  construct: () => nothing,
  set: () => true,
  has: () => true,
});
const context = vm.createContext({
  window: nothing, document: nothing, navigator: nothing, self: nothing, location: nothing, fetch: nothing,
  FileReader: nothing, Image: nothing, getComputedStyle: nothing, requestAnimationFrame() {},
  console: { ...console, log() {}, assert() {} },
  TextDecoder, TextEncoder, atob, btoa, setTimeout, clearTimeout, URL, Blob, performance,
});
try {
  vm.runInContext(`${source.slice(0, start)}globalThis.read=${name};${source.slice(start)}`, context);
} catch {
  // The page cannot be drawn here; the importer stands before it and is ready.
}

function described(profile) {
  const stacks = [];
  const walk = (node, above) => {
    const names = node.frame.name === "(speedscope root)" ? above : [...above, node.frame.name];
    if (node.getSelfWeight()) stacks.push([names, node.getSelfWeight()]);
    node.children.forEach((child) => walk(child, names));
  };
  walk(profile.getGroupedCalltreeRoot(), []);
  return { name: profile.getName(), unit: profile.getWeightUnit(), total: profile.getTotalWeight(), stacks };
}

const result = [];
for (const file of files) {
  const group = await context.read(path.basename(file), fs.readFileSync(file).toString("base64"));
  result.push(group === null ? [] : group.profiles.map(described));
}
process.stdout.write(JSON.stringify(result));
