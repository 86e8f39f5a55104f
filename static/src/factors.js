/*
 * Enrol, rename and remove factors on the library's page of factors, as a page or mounted in one of the app's.
 *
 * Adding or removing a factor may need a proof with one that is there already: `request` asks for it.
 * The server renders the list; after a change the list is taken from the page again.
 */
import { Refused } from "./answers.js";
import { finder } from "./elements.js";
import { _ } from "./language.js";
import { changed, copyText, tell, wireRecovery } from "./recovery.js";
import { createCredential, signalDetails, signalUnknown } from "./registration.js";
import { TEXTS, UNKNOWN } from "./texts.js";

/**
 * Make the library's page of factors work.
 * @param {HTMLElement} page as the library sent it
 * @param {{ request: (path: string, init: RequestInit) => Promise<Response>, parse: typeof import("./elements.js").parse,
 *   StepUpCancelled: typeof import("./send.js").StepUpCancelled,
 *   StepUpUnknown: typeof import("./send.js").StepUpUnknown }} how to ask the library, below the factors' address, and to read its markup
 */
export const bindFactors = (page, { request, parse, StepUpCancelled: Cancelled, StepUpUnknown: Unknown }) => {
  /** @param {string} name @param {ParentNode} [root] */
  const one = (name, root = page) => /** @type {HTMLElement} */ (finder(root)(name));
  /** @param {string} name @param {ParentNode} [root] */
  const dialogOf = (name, root = page) => /** @type {HTMLDialogElement} */ (one(name, root));
  /** @param {string} name @param {ParentNode} root */
  const formOf = (name, root) => /** @type {HTMLFormElement} */ (one(name, root));
  /** @param {HTMLFormElement} form @param {string} name */
  const field = (form, name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));

  /**
   * @param {string} path
   * @param {string} method
   * @param {unknown} [body]
   */
  async function change(path, method, body) {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    const send = () => request(path, { method, headers, body: body ? JSON.stringify(body) : undefined });
    return changed(send, Unknown, path === "/webauthn/options" || path === "/totp");
  }

  /**
   * Say what went wrong in a ceremony, and what to do next.
   * @param {unknown} error
   */
  function sentenceFor(error) {
    if (error instanceof Cancelled) return _("Cancelled. Nothing has changed.");
    if (error instanceof Refused || error instanceof Unknown) return error.message;
    switch (error instanceof Error ? error.name : "") {
      case "InvalidStateError":
        return _("This device or key is already among your factors. Use it as it is, or add a different one.");
      case "NotAllowedError":
        return _("Nothing was added. Try again, and confirm when your browser asks.");
      case "NotSupportedError":
        return _("This browser or key cannot be used here. Update the browser, or try a different one.");
      case "ConstraintError":
        return _("This key has no PIN or fingerprint set up. Set one in your system's settings, then try again.");
      case "TypeError":
        // a lost connection
        return TEXTS.network;
      case "SecurityError":
        return _("Passkeys do not work at this address. Open the site at its usual address and try again.");
      default:
        return _("That did not work. Reload the page to see how things are, then try again.");
    }
  }

  /** @param {string} text */
  const say = (text) => void (one("page-status").textContent = text);
  /** @param {string} text @param {unknown} [error] */
  const complain = (text, error) => tell(one("page-error"), text, error);

  let busy = false;

  /**
   * Run one change at a time, and tell how it ended.
   * @param {HTMLElement} button
   * @param {string} waiting
   * @param {() => Promise<string>} work
   */
  async function run(button, waiting, work) {
    if (busy) return;
    busy = true;
    button.setAttribute("aria-disabled", "true");
    complain("");
    say(waiting);
    try {
      say((await work()) ?? "");
    } catch (error) {
      say("");
      complain(sentenceFor(error), error);
    } finally {
      busy = false;
      button.removeAttribute("aria-disabled");
    }
  }

  async function refresh() {
    let response;
    try {
      response = await request("", { headers: { Accept: "text/html", "HX-Request": "true" } });
    } catch {
      throw new Refused(0, UNKNOWN); // what was changed before is done
    }
    const next = parse(await response.text()).querySelector("[data-stepup-list]");
    if (!response.ok || !next) return location.reload();
    one("list").replaceWith(document.adoptNode(next));
    wireList();
    document.getElementById("stepup-yours")?.focus();
    return undefined;
  }

  function wireList() {
    const list = one("list");
    for (const item of list.querySelectorAll("[data-stepup-factor]")) if (item instanceof HTMLElement) wireItem(item);
    wireRecovery(page, { change, refresh, run, sentenceFor });
  }

  /** @param {HTMLElement} item */
  function wireItem(item) {
    const path = `/${encodeURIComponent(item.dataset.stepupFactor ?? "")}`;
    const name = item.dataset.stepupName ?? "";
    const form = formOf("rename-form", item);
    const rename = one("rename", item);
    const remove = one("remove", item);
    /** @param {boolean} yes */
    const open = (yes) => {
      form.hidden = !yes;
      rename.setAttribute("aria-expanded", String(yes));
      (yes ? field(form, "name") : rename).focus();
    };
    rename.hidden = remove.hidden = false;
    rename.addEventListener("click", () => open(form.hidden !== false));
    one("rename-cancel", form).addEventListener("click", () => {
      form.reset();
      open(false);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      run(event.submitter ?? rename, _("Saving…"), async () => {
        const to = field(form, "name").value.trim();
        await change(path, "PATCH", { name: to });
        const { stepupRp: rp, stepupUser: user, stepupAccount: account, stepupPerson: person } = one("list").dataset;
        if (rp && user) await signalDetails(rp, user, account ?? "", person ?? "");
        await refresh();
        return _("Renamed to %(name)s.", { name: to });
      });
    });
    remove.addEventListener("click", async () => {
      if (busy || !(await confirmRemoval(name))) return;
      run(remove, _("Removing…"), async () => {
        const { stepupRp: rp } = one("list").dataset;
        const { stepupCredential: credential } = item.dataset;
        await change(path, "DELETE");
        if (rp && credential) await signalUnknown(rp, credential);
        await refresh();
        return _("%(name)s is removed and cannot be used any more.", { name });
      });
    });
  }

  /**
   * @param {string} name
   * @returns {Promise<boolean>}
   */
  function confirmRemoval(name) {
    const dialog = dialogOf("remove-dialog");
    /** @type {HTMLElement} */ (dialog.querySelector("#stepup-remove-text")).textContent =
      _("%(name)s will no longer confirm your actions. You can add it again later.", { name });
    return new Promise((resolve) => {
      const listening = new AbortController();
      const { signal } = listening;
      let yes = false;
      one("remove-confirm", dialog).addEventListener("click", () => {
        yes = true;
        dialog.close();
      }, { signal });
      one("close", dialog).addEventListener("click", () => dialog.close(), { signal });
      dialog.addEventListener("close", () => {
        listening.abort();
        resolve(yes);
      }, { signal });
      dialog.showModal();
    });
  }

  /** @param {string} kind @param {string} name */
  async function enrolKey(kind, name) {
    const options = await change("/webauthn/options", "POST", { kind });
    await change("/webauthn", "POST", { name, credential: await createCredential(options) });
    await refresh();
    return _("%(name)s is added. You can use it from your next action on.", { name });
  }

  /** @param {string} name */
  async function enrolTotp(name) {
    const { id, secret, qr_svg: picture } = await change("/totp", "POST", {});
    const dialog = dialogOf("totp-dialog");
    const form = formOf("confirm", dialog);
    const key = one("secret", dialog);
    // As HTML, for an inline SVG may come without its XML namespace. Scripts in it stay inert.
    const svg = parse(picture).querySelector("svg");
    const status = one("totp-status", dialog);
    const failure = one("totp-error", dialog);
    svg?.setAttribute("role", "img");
    svg?.setAttribute("aria-label", _("QR code with the key below"));
    one("qr", dialog).replaceChildren(...(svg ? [svg] : []));
    key.textContent = secret.replace(/(.{4})(?=.)/g, "$1 "); // in fours, for those who type it
    status.textContent = failure.textContent = "";
    form.reset();

    const done = await new Promise((resolve) => {
      const listening = new AbortController();
      const { signal } = listening;
      let confirmed = false;
      let checking = false;
      one("copy", dialog).addEventListener("click", async () => {
        status.textContent = await copyText(secret, key);
      }, { signal });
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        if (checking) return;
        checking = true;
        const code = field(form, "code");
        failure.textContent = "";
        code.removeAttribute("aria-invalid");
        status.textContent = TEXTS.checking;
        try {
          await change(`/totp/${encodeURIComponent(id)}/confirm`, "POST", { code: code.value, name });
          confirmed = true;
          dialog.close();
        } catch (error) {
          status.textContent = "";
          tell(failure, sentenceFor(error), error);
          code.setAttribute("aria-invalid", "true");
          code.focus();
          code.select();
        } finally {
          checking = false;
        }
      }, { signal });
      one("close", dialog).addEventListener("click", () => dialog.close(), { signal });
      dialog.addEventListener("close", () => {
        listening.abort();
        key.textContent = ""; // the secret stays no longer than it is needed
        one("qr", dialog).replaceChildren();
        resolve(confirmed);
      }, { signal });
      dialog.showModal();
      field(form, "code").focus();
    });
    if (!done) return _("Cancelled. No authenticator app was added.");
    await refresh();
    return _("%(name)s is added. You can use it from your next action on.", { name });
  }

  /** @type {NodeListOf<HTMLFormElement>} */
  const choices = page.querySelectorAll("form[data-stepup-enrol]");
  for (const form of choices) {
    const kind = form.dataset.stepupEnrol ?? "";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const button = event.submitter ?? form;
      const name = field(form, "name").value.trim();
      const waiting = kind === "totp" ? "" : TEXTS.waiting[kind === "passkey" ? "passkey" : "hardware_key"];
      run(button, waiting, async () => {
        const sentence = await (kind === "totp" ? enrolTotp(name) : enrolKey(kind, name));
        form.reset();
        return sentence;
      });
    });
  }
  one("add").hidden = false;
  wireList();
};
