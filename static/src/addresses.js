/**
 * A property of the document itself. Asked for by its name, an element of the page may answer in its place, such as
 * `<img name="currentScript">` (HTML §3.1.7, named properties).
 * @template {keyof Document} Name
 * @param {Name} name
 * @returns {Document[Name]}
 */
export const ofDocument = (name) => Reflect.get(Document.prototype, name, document);

/**
 * Return where `text` leads, absolute, if that is this origin over http or https; null for anything else.
 * No other address is ever used: not to ask, not to repeat, not to lead to (`javascript:` and `blob:` included).
 * @param {string | URL | null | undefined} text
 * @param {string} [base]
 * @param {string} [origin]
 * @returns {string | null}
 */
export function ownAddress(text, base = ofDocument("baseURI"), origin = location.origin) {
  if (text === null || text === undefined) return null;
  try {
    const url = new URL(text, base);
    const own = /^https?:$/.test(url.protocol) && url.origin === origin && !url.username && !url.password;
    return own ? url.href : null;
  } catch {
    return null;
  }
}

/** Where relative addresses of ours lead: to this origin, whatever `<base>` somebody has written into the page. */
export const pageBase = () => ownAddress("") ?? location.href;

/** Where the library is served besides this origin: the APIs of the app, absolute. @type {string[]} */
const apis = [];

/**
 * Name the APIs whose refusals are answered too, instead of those named before. An address without a path is one whose
 * library is at `/stepup`.
 * @param {string | string[]} addresses
 */
export function setApis(addresses) {
  const urls = [addresses].flat().map((each) => new URL(each, pageBase()));
  if (urls.some((url) => !/^https?:$/.test(url.protocol))) throw new TypeError("An api is an address of https.");
  apis.splice(0, apis.length, ...urls.map((url) => url.origin + (url.pathname.replace(/\/$/, "") || "/stepup")));
}

/** @param {string} url */
export const originOf = (url) => new URL(url, pageBase()).origin;

/**
 * Like `ownAddress`, of this origin or of an API that the app has named. Nobody else's word counts.
 * @param {string | URL | null | undefined} text
 * @param {string} [base]
 */
export function knownAddress(text, base) {
  return [location.origin, ...apis.map(originOf)].map((origin) => ownAddress(text, base, origin)).find(Boolean) ?? null;
}

/** The script in hand. An ES module has none, and a server that renders a component has no document. */
export const script = /** @type {HTMLScriptElement | null | undefined} */ (globalThis.document && ofDocument("currentScript"));

/** By its attribute: a `<base>` that came later would change `src`. */
const source = script?.getAttribute("src");

/** Where the library is that this script came from, if it is one that stands at its own address. */
export const loadedFrom = source && /^(.*)\/(?:static\/stepup\.\w+|stepup|factorspage)\.js$/.exec(new URL(source, pageBase()).href)?.[1];

/** Where the library is: at the API that the app has named, else where this script came from. */
export const libraryBase = () => apis[0] ?? (loadedFrom || `${location.origin}/stepup`);
