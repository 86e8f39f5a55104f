import { libraryBase, loadedFrom, pageBase, script } from "./addresses.js";

/*
 * Every sentence of the scripts, in the person's language. They are written in English where they are said, as _("..."),
 * and the server has the others: one small answer of JSON, asked for once a page. Until it is there English is said.
 */
/** @type {Record<string, string>} */
let known = {};
let language = "en";
let direction = "ltr";
/** What the app says instead, by the English. @type {Record<string, string>} */
let own = {};

/** @param {Record<string, string>} texts */
export const setTexts = (texts) => void (own = texts);

/**
 * Return a sentence in the person's language, with values in the places of `%(name)s`.
 * @param {string} english
 * @param {Record<string, string | number>} [values]
 */
export const _ = (english, values = {}) =>
  (own[english] ?? known[english] ?? english).replace(/%\((\w+)\)s/g, (place, name) => String(values[name] ?? place));

/** The language of what the scripts say, and its direction, for an element of theirs. */
export const spoken = () => ({ lang: language, dir: direction });

/**
 * Take over a language. What is missing in it stays English.
 * @param {{ language?: string, direction?: string, texts?: Record<string, string> }} told
 */
export function speak(told) {
  language = told.language ?? language;
  direction = told.direction ?? direction;
  known = told.texts ?? known;
}

/**
 * Say how far off something is: "in 30 seconds".
 * @param {number} seconds
 */
export function inTime(seconds) {
  const format = new Intl.RelativeTimeFormat(language);
  return seconds < 90 ? format.format(seconds, "second") : format.format(Math.ceil(seconds / 60), "minute");
}

const told = script?.dataset.stepupTexts;
const place = told ? new URL(told, pageBase()) : loadedFrom && `${loadedFrom}/texts`;
/** @type {Promise<void> | undefined} */
let asked;

/** Settles once the language is known, or cannot be. A module asks when it needs it: the app has named its api by then. */
export const languageKnown = () => (asked ??= fetch(place || `${libraryBase()}/texts`, { headers: { Accept: "application/json" } })
  .then((answer) => (answer.ok ? answer.json() : {})).then(speak).catch(() => {}));

if (place) languageKnown();
