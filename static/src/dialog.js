import { ofDocument } from "./addresses.js";
import { fragmentOf, problemFrom, promptOf, Refused } from "./answers.js";
import { allOf, announce, focusKeeper, make, waysOn, withWayBack } from "./elements.js";
import { _, languageKnown, spoken } from "./language.js";
import { isWithdrawn, markChanges, wirePrompt, withdraw } from "./prompt.js";
import { OTHER_ACCOUNT, TEXTS } from "./texts.js";

/**
 * @typedef {import("./answers.js").Answer} Answer
 * @typedef {import("./caller.js").Caller} Caller
 * @typedef {{ token?: string, tokens?: { prompt: string, token: string }[], response?: Answer,
 *   problem?: import("./texts.js").Problem, asked?: HTMLElement }} Outcome `tokens`: of a question about several requests
 * @typedef {{ renew: () => Promise<Answer>, caller?: Caller, cookie?: boolean, opener?: Element | null, signal?: AbortSignal | null,
 *   note?: string, asked?: HTMLElement, leave?: (id: string) => Promise<Answer> }} Options `caller`: as whom it was sent; `asked`: the
 *   fragment that was proved before; `leave`: leaves one of several requests out
 * @typedef {(refused: Answer, options: Options) => Promise<Outcome | null>} Asker
 */

/** @type {Promise<unknown>} */
let queue = Promise.resolve();

/**
 * Run tasks one after another: one dialog at a time, however many requests wait.
 * @template Result
 * @param {() => Promise<Result>} task
 */
export function inTurn(task) {
  const turn = queue.then(task);
  queue = turn.catch(() => {});
  return turn;
}

/**
 * Open a modal dialog with `content`, at its title. `closed` is called once, whoever closes it.
 * @param {HTMLElement} content
 * @param {Element | null | undefined} opener
 * @param {() => void} closed
 */
function openDialog(content, opener, closed) {
  const dialog = make("dialog", { className: "stepup-dialog" }, content);
  const giveFocusBack = focusKeeper(opener);
  const page = ofDocument("documentElement");
  dialog.setAttribute("aria-labelledby", "stepup-title");
  dialog.setAttribute("aria-describedby", "stepup-description");
  ofDocument("body").append(dialog);
  // The page behind stands still, and keeps the room of its scroll bar.
  page.classList.toggle("stepup-gutter", window.innerWidth > page.clientWidth);
  page.classList.add("stepup-behind");
  dialog.addEventListener("close", () => {
    dialog.remove();
    page.classList.remove("stepup-behind", "stepup-gutter");
    closed();
    giveFocusBack();
  });
  dialog.showModal();
  focusTitle(dialog);
  return dialog;
}

/**
 * Put the focus on the title: it is read first, and Enter on it authorizes nothing.
 * @param {HTMLElement} dialog
 */
function focusTitle(dialog) {
  /** @type {HTMLElement | null} */
  const title = dialog.querySelector(".stepup-title");
  if (title) title.tabIndex = -1;
  title?.focus({ preventScroll: true });
  dialog.scrollTop = 0;
}

/** @param {string} name @param {unknown} detail */
const emit = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));

/**
 * Get the fragment of a refused request, or null where its question is over.
 * @param {Answer} refused
 * @param {Caller} [caller]
 */
async function openFragment(refused, caller) {
  if (isWithdrawn(promptOf(refused))) return null;
  try {
    return await fragmentOf(refused, caller);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

/** Requests of the last second that have no answer yet: a question about several waits for these. @type {Set<object>} */
export const underway = new Set();

/** Note that a request is sent. @param {object} request */
export function sending(request) {
  underway.add(request);
  setTimeout(() => underway.delete(request), 1000);
}

/** @type {Asker | undefined} */
let together;

/** Let requests that wait at the same time be asked about together, or (undefined) each by itself. @param {Asker} [asker] */
export const askBy = (asker) => void (together = asker);

/**
 * Ask the person about one refused request, when it is its turn. `renew()` sends the request again without a token.
 * Resolves with a token when proved, a response when a renewed request was answered otherwise, null when cancelled.
 * @type {Asker}
 */
export const authorize = (refused, options) =>
  together && !options.cookie ? together(refused, options) : inTurn(() => ask(refused, options));

/** @type {Asker} */
export async function ask(refused, { renew, leave, caller, cookie = false, opener, signal, note = "", asked }) {
  await languageKnown();
  if (signal?.aborted) return null;
  let open = await openFragment(refused, caller);
  if (open === null) {
    const response = await renew(); // it expired while others were being answered, or the person has refused it
    if (!promptOf(response)) return { response };
    open = await fragmentOf(response, caller);
  }
  let fragment = open;
  if (signal?.aborted) return null;
  return new Promise((resolve) => {
    /** @type {Outcome | null} */
    let outcome = null;
    let stop = () => {};
    const cancel = () => dialog.close();
    /** @param {Outcome} result */
    const settle = (result) => {
      outcome = result;
      dialog.close();
    };
    /** @param {import("./answers.js").Fragment} next @param {string} words @param {HTMLElement} [before] */
    const show = (next, words, before) => {
      stop();
      fragment = next;
      if (before && before.dataset.stepupAccount !== next.root.dataset.stepupAccount) {
        settle({ problem: OTHER_ACCOUNT });
        return;
      }
      const changed = before !== undefined && markChanges(before, next.root);
      dialog.replaceChildren(next.root);
      stop = wirePrompt(next, {
        cookie,
        note: changed ? TEXTS.changed : words,
        cancel,
        proved: (token, tokens) => settle({ token, tokens, asked: next.root }),
        gone: replace,
        leave: leave && ((id) => replace("", () => leave(id))),
      });
      focusTitle(dialog);
    };
    /** @param {string} why @param {() => Promise<Answer>} [how] */
    const replace = async (why, how = renew) => {
      try {
        const response = await how();
        const next = promptOf(response) ? await fragmentOf(response, caller) : null;
        if (next === null) settle({ response });
        else if (dialog.open) show(next, why, how === renew ? fragment.root : undefined);
      } catch (error) {
        for (const place of allOf(fragment.root, "error")) place.textContent = problemFrom(error).detail ?? TEXTS.answer;
        for (const button of allOf(fragment.root, "renew")) button.hidden = false;
      }
    };
    const dialog = openDialog(fragment.root, opener, () => {
      stop();
      signal?.removeEventListener("abort", cancel);
      if (!outcome) {
        withdraw(fragment);
        announce(TEXTS.cancelled);
      }
      emit("stepup:close", { prompt: fragment.url, outcome: outcome ? "answered" : "cancelled" });
      resolve(outcome);
    });
    signal?.addEventListener("abort", cancel);
    show(fragment, note, asked);
    emit("stepup:open", { prompt: fragment.url, purpose: fragment.root.dataset.stepupFor });
  });
}

/**
 * Show a refusal that no proof can answer. `problem` is RFC 9457, or the library's own fragment.
 * @param {import("./texts.js").Problem | HTMLElement} problem
 * @param {Element | null | undefined} opener
 */
export function showProblem(problem, opener) {
  const theirs = problem instanceof HTMLElement; // a fragment that came with the refusal
  const content = theirs ? problem : make("section", { className: "stepup-problem", ...spoken() },
    make("h2", { id: "stepup-title", className: "stepup-title" }, problem.title ?? _("That did not work")),
    make("p", { id: "stepup-description" }, problem.detail ?? TEXTS.answer),
    ...waysOn(problem, "stepup-button stepup-primary"));
  for (const way of theirs ? allOf(problem, "way") : []) {
    const link = /** @type {HTMLAnchorElement} */ (way);
    link.href = withWayBack(link.href);
  }
  return inTurn(() => new Promise((/** @type {(_: void) => void} */ resolve) => {
    const dialog = openDialog(content, opener, resolve);
    const button = (/** @type {string} */ text, /** @type {string} */ look, /** @type {() => void} */ onclick) =>
      dialog.append(make("button", { type: "button", className: `stepup-button ${look}`, onclick }, text));
    if (!theirs && problem.reload) button(_("Reload the page"), "stepup-primary", () => location.reload());
    button(_("Close"), "stepup-quiet", () => dialog.close());
  }));
}
