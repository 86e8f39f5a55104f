/*
 * The parts of the page of factors for people who lost theirs: a pass, a recovery code, and a new list of codes.
 */
import { Refused } from "./answers.js";
import { finder, make, waysOn } from "./elements.js";
import { _ } from "./language.js";
import { NO_CONNECTION, UNKNOWN } from "./texts.js";

/**
 * Send a change of the library's own. Rejects with what is known of it: where no answer of the library came, it may have
 * been done.
 * @param {() => Promise<Response>} send
 * @param {Function} Unknown the error of a change that a token had left with, of which the person has been told
 * @param {boolean} [begins] nothing is done yet by it
 * @returns {Promise<any>} the answer's JSON, or null
 */
export async function changed(send, Unknown, begins = false) {
  let response;
  try {
    response = await send();
  } catch (error) {
    if (!(error instanceof TypeError) || error instanceof Unknown) throw error;
    throw new Refused(0, begins || !navigator.onLine ? NO_CONNECTION : UNKNOWN);
  }
  const said = await response.json().catch(() => null);
  if (response.ok) return said;
  throw new Refused(response.status, said?.code ? said : response.status >= 500 && !begins ? UNKNOWN : {});
}

/**
 * Say what went wrong, with the ways on from it: to the sign-in, and back to this place.
 * @param {HTMLElement} place
 * @param {string} sentence
 * @param {unknown} [error]
 */
export function tell(place, sentence, error) {
  const ways = error instanceof Refused ? waysOn(error.problem, "stepup-link") : [];
  place.replaceChildren(...(sentence ? [sentence] : []), ...ways.flatMap((way) => [" ", way]));
}

/**
 * Copy a text, or select it where that is not allowed. Resolves with what to say.
 * @param {string} text
 * @param {HTMLElement} shown
 */
export async function copyText(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return _("Copied.");
  } catch {
    window.getSelection()?.selectAllChildren(shown); // no permission: the person can copy the selection
    return _("Selected. Copy it with your keyboard.");
  }
}

/**
 * @typedef {{
 *   change: (path: string, method: string, body?: unknown) => Promise<any>,
 *   refresh: () => Promise<void>,
 *   run: (button: HTMLElement, waiting: string, work: () => Promise<string>) => Promise<void>,
 *   sentenceFor: (error: unknown) => string,
 * }} Page what the page of factors does for its parts
 */

/**
 * Make the forms of a pass and of a code send without leaving the page, and the button of new codes work.
 * @param {HTMLElement} page
 * @param {Page} doing
 */
export function wireRecovery(page, doing) {
  /** @type {NodeListOf<HTMLFormElement>} */
  const forms = page.querySelectorAll("form[data-stepup-opening]");
  for (const form of forms) form.addEventListener("submit", (event) => open(event, form, doing));
  const renew = finder(page)("renew");
  if (!renew) return;
  renew.hidden = false;
  renew.addEventListener("click", () => {
    doing.run(renew, "", async () => {
      const { codes } = await doing.change("/recovery-codes", "POST", {});
      await showCodes(page, codes);
      await doing.refresh();
      return _("Your new codes are valid, and the ones before are not.");
    });
  });
}

/** @param {SubmitEvent} event @param {HTMLFormElement} form @param {Page} doing */
function open(event, form, doing) {
  event.preventDefault();
  const isPass = form.dataset.stepupOpening === "pass";
  const field = /** @type {HTMLInputElement} */ (form.elements.namedItem(isPass ? "pass" : "code"));
  const failure = /** @type {HTMLElement} */ (finder(form)("opening-error"));
  failure.textContent = "";
  field.removeAttribute("aria-invalid");
  doing.run(event.submitter ?? form, "", async () => {
    try {
      await doing.change(isPass ? "/pass" : "/recovery", "POST", isPass ? { pass: field.value } : { code: field.value });
    } catch (error) {
      tell(failure, doing.sentenceFor(error), error);
      field.setAttribute("aria-invalid", "true");
      field.focus();
      return "";
    }
    await doing.refresh();
    return _("Add your factor now, below.");
  });
}

/** Show a list of codes until the person has it. @param {HTMLElement} page @param {string[]} codes */
function showCodes(page, codes) {
  const dialog = /** @type {HTMLDialogElement} */ (finder(page)("codes-dialog"));
  const part = finder(dialog);
  const list = /** @type {HTMLElement} */ (part("codes-list"));
  const status = /** @type {HTMLElement} */ (part("codes-status"));
  list.replaceChildren(...codes.map((code) => make("li", { className: "stepup-secret" }, code)));
  status.textContent = "";
  return new Promise((resolve) => {
    const listening = new AbortController();
    const { signal } = listening;
    part("copy")?.addEventListener("click", async () => {
      status.textContent = await copyText(codes.join(String.fromCharCode(10)), list);
    }, { signal });
    part("print")?.addEventListener("click", () => window.print(), { signal });
    part("close")?.addEventListener("click", () => dialog.close(), { signal });
    dialog.addEventListener("close", () => {
      listening.abort();
      list.replaceChildren(); // they stay no longer than they are needed
      resolve(undefined);
    }, { signal });
    dialog.showModal();
  });
}
