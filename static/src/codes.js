const DECORATION = /[\s\p{Pd}\p{Cf}\u2212\u30fb\u00b7.]/gu; // blanks, dashes, dots, and what nobody sees

/**
 * Return the six or eight digits that somebody meant, or null: as apps show codes, as people type them, as pages hand them over.
 * The server reads codes by the same rule.
 * @param {string} text
 * @returns {string | null}
 */
export function codeOf(text) {
  const bare = text.normalize("NFKC").replace(DECORATION, "");
  const digits = bare.replace(/\p{Nd}/gu, (digit) => {
    let value = 0; // digits stand in runs of ten (Unicode §4.6): count back to the zero
    while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(/** @type {number} */ (digit.codePointAt(0)) - value - 1))) value += 1;
    return String(value);
  });
  return /^(?:[0-9]{6}|[0-9]{8})$/.test(digits) ? digits : null;
}
