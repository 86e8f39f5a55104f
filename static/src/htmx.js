import { knownAddress } from "./addresses.js";
import { isRefusal, isUnknown, nativeFetch, problemOf, promptOf } from "./answers.js";
import { showProblem } from "./dialog.js";
import { focusKeeper } from "./elements.js";
import { send, StepUpUnknown } from "./send.js";
import { MOVED_ON, NO_CONNECTION } from "./texts.js";
import { answerOf, openerOf, sentToken } from "./xhr.js";

/** @param {Element | null | undefined} element */
const isTagged = (element) => element instanceof Element && element.closest("[data-stepup-purpose]") !== null;

/** htmx 4: its requests go through fetch, which an extension may set. */
export function installHtmx4() {
  const focusAfter = new WeakMap(); // by context: the swap may replace the opener
  const stepped = new WeakSet(); // contexts that a token has left with
  const unknown = new WeakSet();

  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    const through = ctx.fetch ?? nativeFetch;
    const opener = ctx.request.submitter ?? ctx.sourceElement;
    ctx.fetch = async (url, init) => {
      if (!knownAddress(url instanceof Request ? url.url : url)) return through(url, init);
      const onPrompt = () => {
        clearTimeout(ctx.requestTimeout); // htmx gives up after a minute; a person may take longer
        focusAfter.set(ctx, focusKeeper(opener));
        stepped.add(ctx);
      };
      try {
        const result = await send(url, init, { through, opener, onPrompt });
        const { response } = result;
        if (result.cancelled) stepped.delete(ctx);
        if (result.unknown) unknown.add(ctx);
        if (isRefusal(response) && !promptOf(response)) showProblem(await problemOf(response), opener);
        return response;
      } catch (error) {
        stepped.delete(ctx);
        if (error instanceof TypeError && !(error instanceof StepUpUnknown) && isTagged(opener)) showProblem(NO_CONNECTION, opener);
        throw error;
      }
    };
  });

  // It would swap a 401, a 403 or an error's page into the page.
  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = event.detail;
    if (unknown.has(ctx) || (ctx.response && isRefusal(ctx.response.raw))) event.preventDefault();
  });

  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    if (stepped.has(ctx) && ctx.response && ctx.response.status < 400 && ctx.target?.isConnected === false && ctx.status !== "swapped") {
      showProblem(MOVED_ON, null);
    }
    setTimeout(() => focusAfter.get(ctx)?.()); // htmx enables again what hx-disable disabled only after this event
  });
}

/** htmx 2: its requests are XMLHttpRequests, which step up by themselves. An element that is gone sends no events here. */
export function installHtmx2() {
  document.addEventListener("htmx:beforeSend", ({ detail }) => {
    const { xhr, elt, requestConfig } = detail;
    const event = requestConfig.triggeringEvent;
    const opener = (event instanceof SubmitEvent && event.submitter) || elt;
    const giveFocusBack = focusKeeper(opener);
    openerOf.set(xhr, opener);
    xhr.addEventListener("readystatechange", () => {
      const done = xhr.readyState === 4 && xhr.status >= 200 && xhr.status < 400;
      if (done && sentToken.has(xhr) && detail.target?.isConnected === false) showProblem(MOVED_ON, null);
    });
    xhr.addEventListener("load", async () => {
      const answer = answerOf(xhr);
      if (isRefusal(answer) && !promptOf(answer)) showProblem(await problemOf(answer), opener);
    });
    xhr.addEventListener("error", () => {
      if (!sentToken.has(xhr) && isTagged(opener)) showProblem(NO_CONNECTION, opener);
    });
    xhr.addEventListener("loadend", () => setTimeout(giveFocusBack));
  });

  document.addEventListener("htmx:beforeOnLoad", (event) => {
    const { xhr } = event.detail;
    const answer = answerOf(xhr);
    if (isRefusal(answer) || (sentToken.has(xhr) && isUnknown(answer))) event.preventDefault();
  });
}
