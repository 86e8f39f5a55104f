import { knownAddress, libraryBase } from "./addresses.js";
import { call } from "./answers.js";
import { asCaller } from "./caller.js";
import { load, parse } from "./elements.js";
import { StepUpCancelled, stepupFetch, StepUpUnknown } from "./send.js";

/** @typedef {typeof import("./mounting.js").mount} Mounter */

/** @type {Mounter | Promise<Mounter> | undefined} */
let mounter;

/** Give what shows and enrols factors, where it need not be loaded. @param {Mounter} given */
export const setMounter = (given) => void (mounter = given);

/**
 * Show the person's factors in an element, where they are added, renamed and removed as on the library's page. Resolves
 * with what takes them out again.
 * @param {HTMLElement} element
 * @param {{ url?: string }} [options] the address of the factors, if the library is elsewhere
 */
export async function mountFactors(element, { url = `${libraryBase()}/factors` } = {}) {
  mounter ??= load(`${libraryBase()}/factorspage.js`, "stepup:factors");
  return (await mounter)(element, url, { knownAddress, call, asCaller, parse, stepupFetch, StepUpCancelled, StepUpUnknown });
}
