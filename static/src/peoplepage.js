/*
 * peoplepage.js: what admins do on the library's page of people. It comes after stepup.js, and works on that page alone.
 */
import { ownAddress, script } from "./addresses.js";
import { Refused } from "./answers.js";
import { finder, parse } from "./elements.js";
import { _ } from "./language.js";
import { changed, copyText, tell } from "./recovery.js";
import { TEXTS } from "./texts.js";

const people = document.querySelector("[data-stepup-people-url]");
if (script?.hasAttribute("data-stepup-own") && people instanceof HTMLElement && window.stepup) {
  const base = ownAddress(people.dataset.stepupPeopleUrl);
  if (base !== null) bindPeople(people, base, window.stepup);
}

/**
 * @param {HTMLElement} page
 * @param {string} base
 * @param {NonNullable<Window["stepup"]>} stepup
 */
function bindPeople(page, base, { fetch: send, StepUpCancelled: Cancelled, StepUpUnknown: Unknown }) {
  /** @param {string} name @param {ParentNode} [root] */
  const one = (name, root = page) => /** @type {HTMLElement} */ (finder(root)(name));
  const dialogs = {
    act: /** @type {HTMLDialogElement} */ (one("act")),
    issued: /** @type {HTMLDialogElement} */ (one("issued")),
  };
  let busy = false;

  /** @param {string} path @param {unknown} body */
  async function post(path, body) {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    return changed(() => send(base + path, { method: "POST", headers, body: JSON.stringify(body) }), Unknown);
  }

  /** @param {unknown} error */
  function sentenceFor(error) {
    if (error instanceof Cancelled) return _("Cancelled. Nothing has changed.");
    if (error instanceof Refused || error instanceof Unknown) return error.message;
    if (error instanceof TypeError) return TEXTS.network;
    return _("That did not work. Reload the page to see how things are, then try again.");
  }

  /** @param {HTMLElement} button @param {() => Promise<void>} work */
  async function run(button, work) {
    if (busy) return;
    busy = true;
    button.setAttribute("aria-disabled", "true");
    one("page-error").textContent = one("page-status").textContent = "";
    try {
      await work();
    } catch (error) {
      tell(one("page-error"), sentenceFor(error), error);
      button.focus();
    } finally {
      busy = false;
      button.removeAttribute("aria-disabled");
    }
  }

  /**
   * Ask for the reason. Resolves with what was typed, or null.
   * @param {string} title
   * @param {string} text
   * @param {boolean} resets
   * @returns {Promise<{ reason: string, pass: boolean } | null>}
   */
  function ask(title, text, resets) {
    const dialog = dialogs.act;
    const form = /** @type {HTMLFormElement} */ (one("act-form", dialog));
    const reason = /** @type {HTMLInputElement} */ (form.elements.namedItem("reason"));
    const pass = /** @type {HTMLInputElement | null} */ (form.elements.namedItem("pass"));
    const choice = finder(dialog)("with-pass");
    one("act-title", dialog).textContent = title;
    one("act-text", dialog).textContent = text;
    form.reset();
    if (choice) choice.hidden = !resets;
    return new Promise((resolve) => {
      const listening = new AbortController();
      const { signal } = listening;
      /** @type {{ reason: string, pass: boolean } | null} */
      let answer = null;
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        answer = { reason: reason.value, pass: resets && pass !== null && pass.checked };
        dialog.close();
      }, { signal });
      one("close", dialog).addEventListener("click", () => dialog.close(), { signal });
      dialog.addEventListener("close", () => {
        listening.abort();
        resolve(answer);
      }, { signal });
      dialog.showModal();
      reason.focus();
    });
  }

  /** Show a pass, this once. @param {{ secret: string, valid: string, qr_svg: string }} issued */
  function show({ secret, valid, qr_svg: picture }) {
    const dialog = dialogs.issued;
    const text = one("secret", dialog);
    const svg = parse(picture).querySelector("svg");
    svg?.setAttribute("aria-hidden", "true"); // it says what stands below
    one("qr", dialog).replaceChildren(...(svg ? [svg] : []));
    text.textContent = secret;
    one("valid", dialog).textContent = valid;
    one("issued-status", dialog).textContent = "";
    return new Promise((resolve) => {
      const listening = new AbortController();
      const { signal } = listening;
      one("copy", dialog).addEventListener("click", async () => {
        one("issued-status", dialog).textContent = await copyText(secret, text);
      }, { signal });
      one("close", dialog).addEventListener("click", () => dialog.close(), { signal });
      dialog.addEventListener("close", () => {
        listening.abort();
        text.textContent = "";
        one("qr", dialog).replaceChildren();
        resolve(undefined);
      }, { signal });
      dialog.showModal();
    });
  }

  /** @param {{ pass?: { secret: string, valid: string, qr_svg: string } | null }} done */
  async function shown(done) {
    if (done.pass) await show(done.pass);
    location.reload();
  }

  for (const item of page.querySelectorAll("[data-stepup-person]")) {
    if (!(item instanceof HTMLElement)) continue;
    const person = item.dataset.stepupPerson ?? "";
    const name = item.dataset.stepupName ?? "";
    const pass = finder(item)("pass");
    const reset = finder(item)("reset");
    if (pass) pass.hidden = false;
    if (reset) reset.hidden = false;
    pass?.addEventListener("click", async () => {
      const text = _("With it, %(name)s enrols a first factor.", { name });
      const asked = busy ? null : await ask(_("Issue a pass"), text, false);
      if (asked) run(pass, async () => shown({ pass: await post("/pass", { person, reason: asked.reason }) }));
    });
    reset?.addEventListener("click", async () => {
      const text = _("All factors and recovery codes of %(name)s go, and what they have open ends.", { name });
      const asked = busy ? null : await ask(_("Reset factors"), text, true);
      if (asked) run(reset, async () => shown(await post("/reset", { person, ...asked })));
    });
  }
  for (const item of page.querySelectorAll("[data-stepup-request]")) {
    if (!(item instanceof HTMLElement)) continue;
    const request = item.dataset.stepupRequest ?? "";
    const confirm = finder(item)("confirm-reset");
    const withdraw = one("withdraw", item);
    if (confirm) confirm.hidden = false;
    withdraw.hidden = false;
    confirm?.addEventListener("click", () => run(confirm, async () => shown(await post("/reset/confirm", { request }))));
    withdraw.addEventListener("click", () => run(withdraw, async () => shown(await post("/reset/withdraw", { request }))));
  }
}
