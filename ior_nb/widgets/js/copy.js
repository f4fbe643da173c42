/**
 * Put a text on the clipboard; a promise of whether it is there. The old way comes first: it works without https, but
 * only in the click or key itself.
 *
 * @param {string} text
 */
export async function copyText(text) {
  let given = false;
  const give = (event) => {
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
    given = true;
  };
  document.addEventListener("copy", give, true);
  try {
    if (document.execCommand("copy") && given) return true;
  } finally {
    document.removeEventListener("copy", give, true);
  }
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
