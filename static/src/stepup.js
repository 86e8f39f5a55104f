/*
 * stepup.js: when the server wants a fresh proof for a request, ask the person and repeat the request.
 *
 * What it covers: fetch(), XMLHttpRequest, htmx 4 and htmx 2, and every form, submit button or link that carries
 * data-stepup-purpose. It needs no other library. A page of the app is never read for prompts: what is shown and where
 * a proof is sent comes out of answers of the library alone.
 *
 *   stepup.fetch(input, init)   like fetch; resolves with the final response, rejects with StepUpCancelled
 *   stepup.prove(problem)       for a refusal that came by another way: resolves with the token
 *   stepup:open, stepup:close   events on document, for apps that want to know
 *
 * A token lives in a variable between two requests and nowhere else: not in storage, URL or document.
 */
import { installFetch } from "./fetch.js";
import { installForms } from "./forms.js";
import { installHtmx2, installHtmx4 } from "./htmx.js";
import { installXHR } from "./xhr.js";

if (globalThis.window && !window.stepup) {
  installFetch();
  installXHR();
  installHtmx4();
  installHtmx2();
  installForms();
}
