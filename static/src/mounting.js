/*
 * The person's factors in an element of the app's page. What it works with is handed over by stepup.js, which knows
 * where the library is and as whom it is asked.
 */
import { ofDocument } from "./addresses.js";
import { make } from "./elements.js";
import { bindFactors } from "./factors.js";

/**
 * @typedef {{ knownAddress: typeof import("./addresses.js").knownAddress, call: typeof import("./answers.js").call,
 *   asCaller: typeof import("./caller.js").asCaller, parse: typeof import("./elements.js").parse, stepupFetch: typeof import("./send.js").stepupFetch,
 *   StepUpCancelled: typeof import("./send.js").StepUpCancelled, StepUpUnknown: typeof import("./send.js").StepUpUnknown }} Tools
 */

/**
 * Show the factors of an address in an element. Resolves with what takes them out again.
 * @param {HTMLElement} element
 * @param {string} url
 * @param {Tools} tools
 */
export async function mount(element, url, { knownAddress, call, asCaller, parse, stepupFetch, StepUpCancelled, StepUpUnknown }) {
  const address = knownAddress(url);
  if (address === null) throw new TypeError("Factors are shown of this origin, or of an api that is configured.");
  const answer = await call(address, { headers: { "HX-Request": "true", Accept: "text/html" } });
  /** @type {HTMLElement | null} */
  const page = parse(await answer.text()).querySelector("[data-stepup-factors-url]");
  const known = (/** @type {string | undefined} */ path) => knownAddress(new URL(path ?? "", answer.url));
  const base = known(page?.dataset.stepupFactorsUrl);
  if (!page || base === null || new URL(answer.url).origin !== new URL(address).origin) {
    throw new TypeError("There are no factors at this address.");
  }
  const style = known(page.dataset.stepupFactorsStyle);
  if (style !== null) ofDocument("head").append(make("link", { rel: "stylesheet", href: style }));
  page.classList.add("stepup-mounted");
  element.replaceChildren(page);
  bindFactors(page, {
    parse,
    StepUpCancelled,
    StepUpUnknown,
    request: async (path, init) => stepupFetch(base + path, await asCaller(base, init)),
  });
  return () => page.remove();
}
