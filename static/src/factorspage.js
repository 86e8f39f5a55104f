/*
 * factorspage.js: what enrols factors, loaded by the library's own page, or by stepup.mountFactors. It comes after stepup.js.
 *
 * Only the library's own page names the markup to work on; mounted, it is handed over.
 */
import { ownAddress, script } from "./addresses.js";
import { parse } from "./elements.js";
import { bindFactors } from "./factors.js";
import { mount } from "./mounting.js";

const page = document.querySelector("[data-stepup-factors-url]");
if (script?.hasAttribute("data-stepup-own") && page instanceof HTMLElement && window.stepup) {
  const base = ownAddress(page.dataset.stepupFactorsUrl);
  const { fetch, StepUpCancelled, StepUpUnknown } = window.stepup;
  if (base !== null) bindFactors(page, { parse, StepUpCancelled, StepUpUnknown, request: (path, init) => fetch(base + path, init) });
} else {
  document.dispatchEvent(new CustomEvent("stepup:factors", { detail: mount }));
}
