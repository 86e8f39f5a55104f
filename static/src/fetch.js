import { ownAddress } from "./addresses.js";
import { nativeFetch } from "./answers.js";
import { prove } from "./prove.js";
import { send, StepUpCancelled, stepupFetch, StepUpUnknown } from "./send.js";

/** @param {RequestInfo | URL} input */
const isOwn = (input) => ownAddress(input instanceof Request ? input.url : input) !== null;

/** Make `fetch` step up, and offer `stepup.fetch` and `stepup.prove`. */
export function installFetch() {
  window.fetch = async function fetch(input, init) {
    return isOwn(input) ? (await send(input, init)).response : nativeFetch(input, init);
  };
  window.stepup = Object.freeze({
    StepUpCancelled,
    StepUpUnknown,
    prove,
    /** @param {RequestInfo | URL} input @param {RequestInit} [init] */
    async fetch(input, init) {
      return isOwn(input) ? stepupFetch(input, init) : nativeFetch(input, init);
    },
  });
}
