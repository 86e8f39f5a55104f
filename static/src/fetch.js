import { knownAddress } from "./addresses.js";
import { nativeFetch } from "./answers.js";
import { configure } from "./configure.js";
import { mountFactors } from "./mount.js";
import { prove } from "./prove.js";
import { send, StepUpCancelled, stepupFetch, StepUpUnknown } from "./send.js";

/** Whether a request goes where the library may be. @param {RequestInfo | URL} input */
const isKnown = (input) => knownAddress(input instanceof Request ? input.url : input) !== null;

/** Make `fetch` step up, and offer `window.stepup`. */
export function installFetch() {
  window.fetch = async function fetch(input, init) {
    return isKnown(input) ? (await send(input, init)).response : nativeFetch(input, init);
  };
  window.stepup = Object.freeze({
    StepUpCancelled,
    StepUpUnknown,
    configure,
    mountFactors,
    prove,
    /** @param {RequestInfo | URL} input @param {RequestInit} [init] */
    async fetch(input, init) {
      return isKnown(input) ? stepupFetch(input, init) : nativeFetch(input, init);
    },
  });
}
