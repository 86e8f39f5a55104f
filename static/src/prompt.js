import { call, Refused } from "./answers.js";
import { allOf, finder, keeperInView, make, waysOn } from "./elements.js";
import { _, inTime } from "./language.js";
import { TEXTS } from "./texts.js";
import { getCredential } from "./webauthn.js";

/**
 * @typedef {object} Listeners what becomes of a prompt
 * @property {boolean} [cookie] whether the token goes into the one-time cookie, for a native form or link
 * @property {(token: string, tokens?: { prompt: string, token: string }[]) => void} proved called once after a passed ceremony
 *   ("" when the token is in the cookie; `tokens` of a question about several requests)
 * @property {(id: string) => void} [leave] the person leaves one of several requests out
 * @property {(why: string) => void} gone the prompt is no longer there, or the person wants it renewed
 * @property {() => void} cancel
 * @property {string} [note] why it is asked again: seen under the title, and said
 */

/**
 * Say what a failed ceremony means to the person, and what to do next.
 * @param {unknown} error
 * @param {boolean} others whether there is another method
 */
function sentenceFor(error, others) {
  if (error instanceof Refused) return error.message;
  const { name } = /** @type {Error} */ (error); // one of the browser's
  // cancelled, timed out, no such key: browsers do not tell them apart
  if (/^(NotAllowed|Abort)Error$/.test(name)) return others ? TEXTS.notAllowed : TEXTS.onlyOne;
  return /^(NotSupported|Security)Error$/.test(name) ? TEXTS.noWebAuthn : TEXTS.answer;
}

/**
 * The prompts that a fragment about several requests lists; none in that of a single one.
 * @param {HTMLElement} root
 */
const listed = (root) => allOf(root, "item").map((each) => each.dataset.stepupItem);

/**
 * Wire a prompt's fragment, in a dialog or in a page. Returns a function that ends it.
 * @param {import("./answers.js").Fragment} fragment
 * @param {Listeners} on
 * @returns {() => void}
 */
export function wirePrompt({ url, root, lifetime }, on) {
  const find = finder(root);
  const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (find(name));
  const keys = allOf(root, "kind");
  const form = /** @type {HTMLFormElement | null} */ (find("totp"));
  const code = /** @type {HTMLInputElement | null} */ (form?.querySelector("input[name=code]") ?? null);
  const submit = form?.querySelector("button") ?? null;
  const other = find("other");
  const several = keys.length + (form ? 1 : 0) > 1;
  const wired = new AbortController(); // of every listener
  const show = keeperInView(root, wired.signal);
  const timers = new Set();
  const paused = new Set(); // what takes no attempt for a while: "webauthn", "totp"
  /** @type {AbortController | null} */
  let current = null; // of the attempt under way
  /** @type {Promise<unknown>} */
  let ended = Promise.resolve(); // once the attempt before has let go of the authenticator
  let judging = false; // a proof is at the server: nothing else begins until it is judged
  let over = false;

  /** @param {number} milliseconds @param {() => void} task */
  const later = (milliseconds, task) => {
    if (milliseconds < 2 ** 31) timers.add(setTimeout(task, Math.max(0, milliseconds)));
  };
  /** @param {Element | null} button @param {() => void} act */
  const onClick = (button, act) => button?.addEventListener("click", act, { signal: wired.signal });
  /** @param {string} text */
  const say = (text) => void (part("status").textContent = text);
  /**
   * Say what went wrong, beside what it is about: `near` stays in view with it.
   * @param {string} text
   * @param {import("./texts.js").Problem} [problem]
   * @param {Element | null} [near]
   */
  const complain = (text, problem = {}, near = null) => {
    const error = part("error");
    if (near === submit) form?.before(error);
    else near?.after(error);
    error.replaceChildren(text, " ", ...waysOn(problem, "stepup-link"));
    show(error, near);
  };
  /** @param {string} path @param {unknown} body @param {AbortSignal} signal */
  const post = async (path, body, signal) => {
    /** @type {Record<string, string>} */
    const headers = { "Content-Type": "application/json", Accept: "application/json" };
    if (on.cookie) headers["StepUp-Deliver"] = "cookie";
    const prompts = listed(root);
    const sent = prompts.length ? { prompts, ...(path === "/webauthn" ? { credential: body } : Object(body)) } : body;
    return (await call(url + path, { method: "POST", headers, body: JSON.stringify(sent), signal })).json();
  };
  // aria-disabled and not disabled: a disabled button would lose the keyboard's focus.
  const enable = () => {
    root.setAttribute("aria-busy", String(current !== null));
    for (const key of keys) key.setAttribute("aria-disabled", String(judging || paused.has("webauthn")));
    submit?.setAttribute("aria-disabled", String(judging || paused.has("totp")));
    other?.classList.toggle("stepup-absent", !current || judging);
  };
  const judge = () => {
    judging = true;
    say(TEXTS.checking);
    enable();
  };

  /**
   * Make an attempt, in the place of one that still waits for a key.
   * @param {"webauthn" | "totp"} bucket
   * @param {Element | null} control
   * @param {string} waiting
   * @param {(signal: AbortSignal) => Promise<{ token?: string, tokens?: { prompt: string, token: string }[] }>} prove
   * @param {() => void} [wrong] what else to do where the server did not take it
   */
  async function attempt(bucket, control, waiting, prove, wrong) {
    if (over || judging || paused.has(bucket)) return;
    current?.abort();
    const mine = new AbortController();
    current = mine;
    part("error").replaceChildren();
    code?.removeAttribute("aria-invalid");
    say(waiting);
    enable();
    await ended;
    if (current !== mine) return;
    const proof = prove(mine.signal);
    ended = proof.catch(() => {});
    try {
      const { token = "", tokens } = await proof;
      if (current !== mine || over) return;
      stop();
      say(TEXTS.working);
      on.proved(token, tokens);
    } catch (error) {
      if (current !== mine || over) return;
      current = null;
      judging = false;
      say("");
      if (error instanceof Refused && error.status === 404) {
        on.gone(TEXTS.renewed);
        return;
      }
      if (error instanceof Refused && error.status === 429) pause(bucket, error.retryAfter);
      complain(sentenceFor(error, several), error instanceof Refused ? error.problem : {}, control);
      enable();
      if (error instanceof Refused && error.status === 400) wrong?.();
    }
  }

  /** @param {"webauthn" | "totp"} bucket @param {number} seconds */
  function pause(bucket, seconds) {
    paused.add(bucket);
    const free = form && keys.length && paused.size < 2 ? TEXTS.otherWorks : "";
    say(`${_("You can try again %(when)s.", { when: inTime(seconds) })} ${free}`);
    later(seconds * 1000, () => {
      paused.delete(bucket);
      enable();
      if (!current) say(TEXTS.retry);
    });
  }

  for (const key of keys) {
    const kind = key.dataset.stepupKind === "hardware_key" ? "hardware_key" : "passkey";
    key.hidden = false;
    onClick(key, () => {
      attempt("webauthn", key, TEXTS.waiting[kind], async (signal) => {
        const credential = await getCredential(await post("/webauthn/options", { kind }, signal), signal);
        judge();
        return post("/webauthn", credential, signal);
      });
    });
  }
  if (form && code) {
    form.noValidate = true; // its own sentence is said
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      const typed = code.value; // as people have it: the server reads it, and counts nothing that is no code
      attempt("totp", submit, TEXTS.checking, (signal) => {
        judge();
        return post("/totp", { code: typed }, signal);
      }, () => {
        code.setAttribute("aria-invalid", "true");
        code.focus({ preventScroll: true });
        code.select();
      });
    }, { signal: wired.signal });
  }
  onClick(other, () => {
    current?.abort();
    current = null;
    say("");
    enable();
    (code ?? part("factors")).focus();
  });
  for (const name of ["or", "cancel", "other"]) if (find(name)) part(name).hidden = name === "other" && !several;
  onClick(part("cancel"), on.cancel);
  onClick(part("renew"), () => on.gone(""));
  for (const button of on.leave ? allOf(root, "leave") : []) {
    button.hidden = false;
    onClick(button, () => judging || on.leave?.(button.dataset.stepupLeave ?? ""));
  }
  // long values of the details are opened and closed; closed, they scroll in a box of their own
  for (const button of allOf(root, "unfold")) {
    const value = button.parentElement?.previousElementSibling;
    button.hidden = false;
    onClick(button, () => button.setAttribute("aria-expanded", String(value?.classList.toggle("stepup-unfolded"))));
  }

  // WCAG 2.2.1: the end is announced, and the question can be renewed. Nothing renews itself unattended.
  later(lifetime, () => {
    if (judging) return; // the server's word on the proof comes first
    over = true;
    current?.abort();
    say("");
    complain(TEXTS.expired);
    part("factors").classList.add("stepup-lapsed");
    part("renew").hidden = false;
    part("renew").focus();
  });
  // a live region speaks only of what changes after it is there
  if (on.note) {
    const note = make("p", { className: "stepup-note", role: "status" }, on.note);
    root.querySelector("#stepup-description")?.before(note);
    later(100, () => note.replaceChildren(on.note ?? ""));
  } else later(100, () => current || say(find("count")?.textContent ?? ""));
  enable();

  function stop() {
    over = true;
    for (const timer of timers) clearTimeout(timer);
    current?.abort();
    wired.abort();
  }
  return stop;
}

/**
 * Mark what has changed between two fragments' details. Returns whether anything has.
 * @param {HTMLElement} before
 * @param {HTMLElement} after
 */
export function markChanges(before, after) {
  const rows = (/** @type {HTMLElement} */ root) => [...root.querySelectorAll("dt")].map((term) => term.parentElement);
  const said = (/** @type {HTMLElement | null} */ row) => JSON.stringify([...(row?.querySelectorAll("dt, dd") ?? [])].map((each) => each.textContent));
  const old = new Set(rows(before).map(said));
  let changed = rows(before).length !== rows(after).length;
  for (const row of rows(after)) {
    if (old.has(said(row))) continue;
    changed = true;
    row?.classList.add("stepup-changed");
  }
  return changed;
}

/** Prompts that the person has refused on this page. @type {Set<string>} */
const withdrawn = new Set();

/**
 * Whether the person has refused a prompt here: it is over at once, however long the server takes to hear of it.
 * @param {string | null} url
 */
export const isWithdrawn = (url) => url !== null && withdrawn.has(url);

/**
 * Tell the server that the person will not answer. Best effort: the prompt expires anyway.
 * @param {import("./answers.js").Fragment} fragment
 */
export function withdraw({ url, root, caller }) {
  const prompts = listed(root);
  const headers = { "Content-Type": "application/json" };
  if (!prompts.length) withdrawn.add(url);
  const [method, path, body] = prompts.length ? ["POST", "/cancel", JSON.stringify({ prompts })] : ["DELETE", ""];
  call(url + path, { method, body, keepalive: true, headers }, caller).catch(() => {});
}
