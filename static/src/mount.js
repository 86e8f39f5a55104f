import { knownAddress, libraryBase, originOf } from "./addresses.js";
import { call } from "./answers.js";
import { asCaller } from "./caller.js";
import { load, make, parse } from "./elements.js";
import { StepUpCancelled, stepupFetch, StepUpUnknown } from "./send.js";

/**
 * @typedef {{ base: string, request: (path: string, init: RequestInit) => Promise<Response>,
 *   StepUpCancelled: typeof StepUpCancelled, StepUpUnknown: typeof StepUpUnknown }} Enrolling what the page of factors works with
 * @typedef {(page: HTMLElement, enrolling: Enrolling) => void} Binder
 */

/** @type {Binder | Promise<Binder> | undefined} */
let binder;

/** Give what enrols, where it need not be loaded. @param {Binder} bind */
export const setBinder = (bind) => void (binder = bind);

/**
 * Make the library's page of factors work.
 * @param {HTMLElement} page as the library sent it
 * @param {string} from where it came from
 */
export async function bindFactorsPage(page, from = document.baseURI) {
  const url = (/** @type {string | undefined} */ path) => knownAddress(new URL(path ?? "", from));
  const base = url(page.dataset.stepupFactorsUrl);
  const src = url(page.dataset.stepupFactorsScript);
  if (base === null || src === null) return;
  binder ??= load(src, "stepup:factors");
  (await binder)(page, {
    base,
    StepUpCancelled,
    StepUpUnknown,
    request: async (path, init) => stepupFetch(base + path, await asCaller(base, init)),
  });
}

/**
 * Show the person's factors in an element, where they are added, renamed and removed as on the library's page. Resolves
 * with what takes them out again.
 * @param {HTMLElement} element
 * @param {{ url?: string }} [options] the address of the factors, if the library is elsewhere
 */
export async function mountFactors(element, { url = `${libraryBase()}/factors` } = {}) {
  const address = knownAddress(url);
  if (address === null) throw new TypeError("Factors are shown of this origin, or of an api that is configured.");
  const answer = await call(address, { headers: { "HX-Request": "true", Accept: "text/html" } });
  /** @type {HTMLElement | null} */
  const page = parse(await answer.text()).querySelector("[data-stepup-factors-url]");
  if (!page || originOf(answer.url) !== originOf(address)) throw new TypeError("There are no factors at this address.");
  const style = knownAddress(new URL(page.dataset.stepupFactorsStyle ?? "", answer.url));
  if (style !== null) document.head.append(make("link", { rel: "stylesheet", href: style }));
  page.classList.add("stepup-mounted");
  element.replaceChildren(page);
  await bindFactorsPage(page, address);
  return () => page.remove();
}
