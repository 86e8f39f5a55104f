/*
 * factors.js: enrol, rename and remove factors on the library's factors page.
 *
 * Adding or removing a factor may need a proof with one that is there already: stepup.fetch asks for it.
 * The server renders the list; after a change the list is taken from the page again.
 */
(() => {
  "use strict";
  const page = document.querySelector("[data-stepup-factors-url]");
  if (!page) return;
  const base = page.dataset.stepupFactorsUrl;
  const one = (name, root = page) => root.querySelector(`[data-stepup-${name}]`);
  const WAITING = { passkey: "Waiting for your passkey…", hardware_key: "Waiting for your hardware key…", totp: "" };

  /** A refusal with its RFC 9457 problem. */
  class Refused extends Error {
    constructor(problem) {
      super(problem.detail ?? problem.title ?? "The server gave an answer that this page does not understand. Reload the page and try again.");
      this.name = "Refused";
    }
  }

  async function call(path, method, body) {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    let response;
    try {
      response = await window.stepup.fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
    } catch (error) {
      if (error instanceof window.stepup.StepUpCancelled) throw error;
      throw new Refused({ detail: "The server could not be reached. Check your connection and try again." });
    }
    if (!response.ok) throw new Refused(await response.json().catch(() => ({})));
    return response.status === 204 ? null : response.json().catch(() => null);
  }

  /** Say what went wrong in a ceremony, and what to do next. */
  function sentenceFor(error) {
    if (error instanceof window.stepup.StepUpCancelled) return "Cancelled. Nothing has changed.";
    switch (error.name) {
      case "Refused":
        return error.message;
      case "InvalidStateError":
        return "This device or key is already among your factors. Use it as it is, or add a different one.";
      case "NotAllowedError":
        return "Nothing was added. Try again, and confirm when your browser asks.";
      case "NotSupportedError":
        return "This browser or key cannot be used here. Update the browser, or try a different one.";
      case "ConstraintError":
        return "This key has no PIN or fingerprint set up. Set one in your system's settings, then try again.";
      case "SecurityError":
        return "Passkeys do not work at this address. Open the site at its usual address and try again.";
      default:
        return "That did not work and nothing has changed. Reload the page and try again.";
    }
  }

  const say = (text) => (one("page-status").textContent = text);
  const complain = (text) => (one("page-error").textContent = text);

  let busy = false;

  /** Run one change at a time, and tell how it ended. */
  async function change(button, waiting, work) {
    if (busy) return;
    busy = true;
    button.setAttribute("aria-disabled", "true");
    complain("");
    say(waiting);
    try {
      say((await work()) ?? "");
    } catch (error) {
      say("");
      complain(sentenceFor(error));
    } finally {
      busy = false;
      button.removeAttribute("aria-disabled");
    }
  }

  // ---- The list ----------------------------------------------------------------------------------

  async function refresh() {
    const response = await window.stepup.fetch(base, { headers: { Accept: "text/html", "HX-Request": "true" } });
    const next = one("list", new DOMParser().parseFromString(await response.text(), "text/html"));
    if (!response.ok || !next) return location.reload();
    one("list").replaceWith(document.adoptNode(next));
    wireList();
    document.getElementById("stepup-yours").focus();
  }

  function wireList() {
    const list = one("list");
    const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium" });
    for (const time of list.querySelectorAll("time")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.valueOf())) time.textContent = format.format(at);
    }
    for (const item of list.querySelectorAll("[data-stepup-factor]")) wireItem(item);
  }

  function wireItem(item) {
    const path = `/${encodeURIComponent(item.dataset.stepupFactor)}`;
    const name = item.dataset.stepupName;
    const form = one("rename-form", item);
    const rename = one("rename", item);
    const remove = one("remove", item);
    const open = (yes) => {
      form.hidden = !yes;
      rename.setAttribute("aria-expanded", String(yes));
      (yes ? form.elements.name : rename).focus();
    };
    rename.hidden = remove.hidden = false;
    rename.addEventListener("click", () => open(form.hidden));
    one("rename-cancel", form).addEventListener("click", () => {
      form.reset();
      open(false);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      change(event.submitter ?? rename, "Saving…", async () => {
        const to = form.elements.name.value.trim();
        await call(path, "PATCH", { name: to });
        await refresh();
        return `Renamed to ${to}.`;
      });
    });
    remove.addEventListener("click", async () => {
      if (busy || !(await confirmRemoval(name))) return;
      change(remove, "Removing…", async () => {
        await call(path, "DELETE");
        await refresh();
        return `${name} is removed and cannot be used any more.`;
      });
    });
  }

  function confirmRemoval(name) {
    const dialog = one("remove-dialog");
    document.getElementById("stepup-remove-text").textContent =
      `${name} will no longer confirm your actions. You can add it again later.`;
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

  // ---- Enrolment ---------------------------------------------------------------------------------

  async function enrolKey(kind, name) {
    if (!window.PublicKeyCredential?.parseCreationOptionsFromJSON) throw new DOMException("", "NotSupportedError");
    const options = await call("/webauthn/options", "POST", { kind });
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    const credential = await navigator.credentials.create({ publicKey });
    await call("/webauthn", "POST", { name, credential: credential.toJSON() });
    await refresh();
    return `${name} is added. You can use it from your next action on.`;
  }

  async function enrolTotp(name) {
    const { id, secret, qr_svg: picture } = await call("/totp", "POST", {});
    const dialog = one("totp-dialog");
    const form = one("confirm", dialog);
    const key = one("secret", dialog);
    // As HTML, for an inline SVG may come without its XML namespace. Scripts in it stay inert.
    const svg = new DOMParser().parseFromString(picture, "text/html").querySelector("svg");
    const status = one("totp-status", dialog);
    const failure = one("totp-error", dialog);
    svg?.setAttribute("role", "img");
    svg?.setAttribute("aria-label", "QR code with the key below");
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
        try {
          await navigator.clipboard.writeText(secret);
          status.textContent = "Copied.";
        } catch {
          window.getSelection().selectAllChildren(key); // no permission: the person can copy the selection
          status.textContent = "Selected. Copy it with your keyboard.";
        }
      }, { signal });
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        if (checking) return;
        checking = true;
        const code = form.elements.code;
        failure.textContent = "";
        code.removeAttribute("aria-invalid");
        status.textContent = "Checking…";
        try {
          const digits = code.value.replace(/\s/g, "");
          if (!/^[0-9]{6}$/.test(digits)) throw new Refused({ detail: "Type the six digits that the app shows now." });
          await call(`/totp/${encodeURIComponent(id)}/confirm`, "POST", { code: digits, name });
          confirmed = true;
          dialog.close();
        } catch (error) {
          status.textContent = "";
          failure.textContent = sentenceFor(error);
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
      form.elements.code.focus();
    });
    if (!done) return "Cancelled. No authenticator app was added.";
    await refresh();
    return `${name} is added. You can use it from your next action on.`;
  }

  for (const form of page.querySelectorAll("[data-stepup-enrol]")) {
    const kind = form.dataset.stepupEnrol;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const button = event.submitter ?? form.querySelector("button");
      const name = form.elements.name.value.trim();
      change(button, WAITING[kind], async () => {
        const sentence = await (kind === "totp" ? enrolTotp(name) : enrolKey(kind, name));
        form.reset();
        return sentence;
      });
    });
  }
  one("add").hidden = false;
  wireList();
})();
