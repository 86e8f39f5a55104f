import { ownAddress } from "./addresses.js";
import { isHtml, isRefusal, nativeFetch, problemFrom, problemOf, promptOf, Refused, refusedOf } from "./answers.js";
import { authorize, showProblem } from "./dialog.js";
import { announce, make, parse, working } from "./elements.js";
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
 * Do something while an attribute has another value.
 * @param {Element} element
 * @param {string} name
 * @param {string} value
 * @param {() => void} task
 */
function meanwhile(element, name, value, task) {
  const before = element.getAttribute(name);
  element.setAttribute(name, value);
  task();
  if (before === null) element.removeAttribute(name);
  else element.setAttribute(name, before);
}

/**
 * Probe with `request`, which the guard refuses before anything runs; have the proof put into a one-time cookie;
 * then `go()` natively, so that files, redirects and downloads behave as ever. It is given the request to which redirects
 * led, if they did: the hops before may have acted already.
 * @param {HTMLElement} element
 * @param {HTMLElement} opener
 * @param {Request} request
 * @param {(led: Request | null) => void} go
 */
async function beforeNavigation(element, opener, request, go) {
  if (busy.has(element)) return;
  busy.add(element);
  const done = working(opener);
  opener.setAttribute("aria-disabled", "true"); // really disabled, a submitter would not send its name and value
  let refused = request;
  try {
    const probe = async () => {
      try {
        const answer = await nativeFetch(refused.clone());
        if (promptOf(answer)) refused = await refusedOf(refused, answer);
        return answer;
      } catch {
        throw new Refused(0, NO_CONNECTION);
      }
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
    else if (response && request.method !== "GET") await showAnswer(/** @type {Response} */ (response));
    else await sendNatively(element, () => go(refused === request ? null : refused));
  } catch (error) {
    showProblem(problemFrom(error), opener);
  } finally {
    busy.delete(element);
    done();
    opener.removeAttribute("aria-disabled");
  }
}

/**
 * Let the browser send what was proved. The page may stay: the answer is a download, say.
 * @param {Element} element
 * @param {() => void} go
 */
async function sendNatively(element, go) {
  announce(TEXTS.onItsWay);
  markSent();
  released.add(element);
  go();
  released.delete(element);
  await new Promise((resolve) => setTimeout(resolve, 1000)); // the answer is on its way: a second click changes nothing
}

/**
 * Under which name an answer is to be saved, null where it is to be shown (RFC 6266 §4).
 * @param {Response} response
 */
function attached(response) {
  const said = response.headers.get("Content-Disposition") ?? "";
  if (!/^attachment/i.test(said)) return null;
  try {
    const [, coded] = /filename[*]=utf-8\x27[^\x27]*\x27([^;,]+)/i.exec(said) ?? [];
    if (coded) return decodeURIComponent(coded.trim());
  } catch {
    // not coded as it says
  }
  const [, quoted, plain] = /filename=(?:\x22([^\x22]*)\x22|([^;]+))/i.exec(said) ?? [];
  return quoted ?? plain?.trim() ?? "";
}

/**
 * Show what an unguarded action answered to the probe: it has run, so it must not be sent again.
 * @param {Response} response
 */
async function showAnswer(response) {
  if (response.redirected) {
    location.assign(response.url);
    return;
  }
  if (/^20[45]$/.test(`${response.status}`)) return; // nothing to show: the page stays
  const name = attached(response);
  if (name !== null) {
    const href = URL.createObjectURL(await response.blob());
    make("a", { href, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
    return;
  }
  const text = await response.text();
  const page = parse(isHtml(response) ? text : "");
  if (!isHtml(response)) page.body.append(make("pre", {}, text));
  document.documentElement.replaceWith(document.adoptNode(page.documentElement));
  window.htmx?.process(document.body);
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
    beforeNavigation(form, submitter ?? form, request, (led) => {
      const still = submitter && /** @type {HTMLButtonElement} */ (submitter).form === form; // the page may have changed
      const submit = () => HTMLFormElement.prototype.requestSubmit.call(form, still ? submitter : null);
      if (led?.method === "GET") make("a", { href: led.url, target: form.getAttribute("target") ?? "" }).click();
      else if (led) meanwhile(still ? submitter : form, still ? "formaction" : "action", led.url, submit);
      else submit();
    });
  });

  document.addEventListener("click", (event) => {
    /** @type {HTMLAnchorElement | null | undefined} */
    const link = /** @type {Element | null} */ (event.target)?.closest?.("a[href][data-stepup-purpose]");
    const plain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!link || !plain || event.defaultPrevented || hasHtmx(link) || !ownAddress(link.href)) return;
    event.preventDefault();
    beforeNavigation(link, link, new Request(link.href, { headers: PROBE }), (led) => {
      meanwhile(link, "href", led?.url ?? link.href, () => link.click());
    });
  });
}
