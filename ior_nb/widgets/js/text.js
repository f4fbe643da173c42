// How numbers and traced text are shown: the twins of runtime/text.py.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
/**
 * Traced text with every character that is invisible, or acts on its surroundings, as an escape.
 *
 * @param {string} text
 */
export function printable(text) {
  return text.replace(HIDDEN, (c) => {
    const code = /** @type {number} */ (c.codePointAt(0)),
      hex = code.toString(16);
    if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
    return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
}

/**
 * A number with so many decimals, thousands grouped. Rounded as Python does: exactly, and a tie to the even digit.
 *
 * @param {number} value
 */
export function grouped(value, digits = 0) {
  let text = value.toFixed(digits); // exact as well, but a tie goes away from zero
  const tie = (Math.abs(value) * 2 ** (digits + 1)) % 2 === 1;
  if (tie && Number(text.at(-1)) % 2) text = (value - (Math.sign(value) * 10 ** -digits) / 4).toFixed(digits);
  return text.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}
/** @param {number} value */
export function showCount(value) {
  return grouped(value);
}
/** @param {number} value */
export function showBytes(value) {
  if (Math.abs(value) < 1023.5) return `${grouped(value)} B`;
  for (const unit of ["KiB", "MiB", "GiB"]) {
    value /= 1024;
    if (Math.abs(value) < 1023.95) return `${grouped(value, 1)} ${unit}`;
  }
  return `${grouped(value / 1024, 1)} TiB`;
}
/** @param {number} value */
export function showNs(value) {
  if (Math.abs(value) < 999.5) return `${grouped(value)} ns`;
  for (const unit of ["µs", "ms", "s"]) {
    value /= 1000;
    const size = Math.abs(value);
    if (size < 999.5) return `${Number(grouped(value, size < 10 ? 2 : size < 100 ? 1 : 0))} ${unit}`; // three digits
  }
  return `${grouped(value)} s`;
}
/** @param {number} value */
export function showRate(value) {
  return value === 0 ? "0/s" : value < 10 ? `${value.toFixed(1)}/s` : `${grouped(value)}/s`;
}
/** @param {number} value */
export function showShare(value) {
  return `${(100 * value).toFixed(value < 0.1 ? 2 : 1)} %`;
}
export const SHOW = {
  count: showCount,
  bytes: showBytes,
  ns: showNs,
  rate: showRate,
  share: showShare,
  /** @param {number} v */
  byterate: (v) => `${showBytes(v)}/s`,
  number: (v) => String(v),
  text: (v) => printable(String(v)),
};
