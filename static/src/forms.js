import { ownAddress } from "./addresses.js";
import { isHtml, isRefusal, nativeFetch, problemFrom, problemOf, promptOf, Refused, refusedOf } from "./answers.js";
import { authorize, showProblem } from "./dialog.js";
import { announce, parse, working } from "./elements.js";
import { markSent, tellOnReturn } from "./sent.js";
import { NO_CONNECTION, TEXTS } from "./texts.js";

const PROBE = { Accept: "application/json" };
const busy = new WeakSet();
const released = new WeakSet(); // on their second, native pass: nobody's handler runs twice

/** @param {Element | null | undefined} element */
const hasHtmx = (element) => [...(element?.attributes ?? [])].some(({ name }) => /^(data-)?hx-/.test(name));

/** Line ends as a form sends them (HTML, "constructing the entry list" and its encodings). @param {string} text */
const crlf = (text) => text.replace(/\r\n?|\n/g, "\r\n");

/**
 * Whether the browser would send this form in UTF-8: what this script can send likewise.
 * @param {HTMLFormElement} form
 */
function inUtf8(form) {
  const accepted = form.getAttribute("accept-charset")?.trim().split(/[\s,]+/)[0] || document.characterSet;
  try {
    return /^utf-/.test(new TextDecoder(accepted).encoding);
  } catch {
    return false;
  }
}

/**
 * Build the request that the browser would send for this form, byte for byte, or null if fetch cannot.
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} submitter
 */
function requestOf(form, submitter) {
  // By attribute: form.action and form.method are shadowed by fields of those names.
  const setting = (/** @type {string} */ name) => submitter?.getAttribute(`form${name}`) ?? form.getAttribute(name);
  const address = ownAddress(setting("action") || document.URL);
  const method = (setting("method") || "get").toLowerCase();
  const encoding = (setting("enctype") || "").toLowerCase();
  if (address === null || method === "dialog" || !inUtf8(form)) return null;
  const data = new FormData(form, submitter);
  const text = new URLSearchParams(
    [...data].map(([name, value]) => [crlf(name), crlf(typeof value === "string" ? value : value.name)]),
  ).toString();
  if (method !== "post") {
    const url = new URL(address);
    url.search = text;
    return new Request(url, { headers: PROBE });
  }
  if (encoding === "text/plain") return null; // no app reads it; the server's page will ask
  if (encoding === "multipart/form-data") return new Request(address, { headers: PROBE, method: "POST", body: data });
  const headers = { ...PROBE, "Content-Type": "application/x-www-form-urlencoded" }; // as it is bound: without a charset
  return new Request(address, { headers, method: "POST", body: text });
}

/**
 * Probe with `request`, which the guard refuses before anything runs; have the proof put into a one-time cookie;
 * then `go()` natively, so that files, redirects and downloads behave as ever. Where a redirect has made a GET of it, what
 * led there has acted: then only that GET is sent.
 * @param {HTMLElement} element
 * @param {HTMLElement} opener
 * @param {Request} request
 * @param {() => void} go
 */
async function beforeNavigation(element, opener, request, go) {
  if (busy.has(element)) return;
  busy.add(element);
  const done = working(opener);
  opener.setAttribute("aria-disabled", "true"); // really disabled, a submitter would not send its name and value
  let refused = request;
  try {
    const probe = async () => {
      const answer = await nativeFetch(refused.clone()).catch(() => {
        throw new Refused(0, NO_CONNECTION);
      });
      refused = await refusedOf(refused, answer);
      return answer;
    };
    /** @type {import("./answers.js").Answer | undefined} */
    let response = await probe();
    if (promptOf(response)) {
      const outcome = await authorize(response, { renew: probe, cookie: true, opener });
      if (outcome?.problem) showProblem(outcome.problem, opener);
      if (!outcome || outcome.problem) return;
      response = outcome.response;
    }
    if (response && isRefusal(response)) showProblem(await problemOf(response), opener);
    else if (response && request.method !== "GET") {
      // an unguarded action has run, so it must not be sent again: what it answered is shown, and of 204 the page stays
      const { redirected, url } = /** @type {Response} */ (response);
      if (redirected) location.assign(url);
      else if (isHtml(response)) {
        const page = parse(await response.text());
        document.documentElement.replaceWith(document.adoptNode(page.documentElement));
        window.htmx?.process(document.body);
      } else if (response.status !== 204) location.assign(URL.createObjectURL(await /** @type {Response} */ (response).blob()));
    }
    else {
      announce(TEXTS.onItsWay);
      markSent();
      released.add(element);
      if (refused.method === request.method) go();
      else location.assign(refused.url);
      released.delete(element);
      // the page may stay, for the answer is a download, say: it is on its way, and a second click changes nothing
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  } catch (error) {
    showProblem(problemFrom(error), opener);
  } finally {
    busy.delete(element);
    done();
    opener.removeAttribute("aria-disabled");
  }
}

/** Plain forms and links that carry a purpose: prove first, then let the browser do it natively. */
export function installForms() {
  tellOnReturn();
  for (const type of ["submit", "click"]) {
    window.addEventListener(type, (event) => {
      const target = /** @type {Element | null} */ (event.target);
      const element = type === "submit" ? target : target?.closest?.("a");
      if (element && released.has(element)) event.stopImmediatePropagation();
    }, true);
  }

  document.addEventListener("submit", (event) => {
    const { target: form, submitter } = event;
    if (!(form instanceof HTMLFormElement)) return;
    const tagged = form.hasAttribute("data-stepup-purpose") || submitter?.hasAttribute("data-stepup-purpose");
    if (!tagged || event.defaultPrevented || hasHtmx(form) || hasHtmx(submitter)) return;
    const request = requestOf(form, submitter);
    if (!request) return;
    event.preventDefault();
    beforeNavigation(form, submitter ?? form, request, () => {
      const still = submitter && /** @type {HTMLButtonElement} */ (submitter).form === form; // the page may have changed
      HTMLFormElement.prototype.requestSubmit.call(form, still ? submitter : null);
    });
  });

  document.addEventListener("click", (event) => {
    /** @type {HTMLAnchorElement | null | undefined} */
    const link = /** @type {Element | null} */ (event.target)?.closest?.("a[href][data-stepup-purpose]");
    const plain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!link || !plain || event.defaultPrevented || hasHtmx(link) || !ownAddress(link.href)) return;
    event.preventDefault();
    beforeNavigation(link, link, new Request(link.href, { headers: PROBE }), () => link.click());
  });
}
