/**
 * Return where `text` leads, absolute, if that is this origin over http or https; null for anything else.
 * No other address is ever used: not to ask, not to repeat, not to lead to (`javascript:` and `blob:` included).
 * @param {string | URL | null | undefined} text
 * @param {string} [base]
 * @param {string} [origin]
 * @returns {string | null}
 */
export function ownAddress(text, base = document.baseURI, origin = location.origin) {
  if (text === null || text === undefined) return null;
  try {
    const url = new URL(text, base);
    const own = /^https?:$/.test(url.protocol) && url.origin === origin && !url.username && !url.password;
    return own ? url.href : null;
  } catch {
    return null;
  }
}
