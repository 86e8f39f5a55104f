/*
 * page.js: the library's own page that a navigation meets. No page of an app loads it.
 *
 * Even so the page is not believed: the prompt is fetched anew from the library, and every address must be this
 * origin's. What the page alone tells is the form to repeat, and that is bound to what was proved.
 */
import { ownAddress } from "./addresses.js";
import { fetchFragment, problemFrom } from "./answers.js";
import { finder, keeperInView, make } from "./elements.js";
import { _ } from "./language.js";
import { wirePrompt, withdraw } from "./prompt.js";
import { markSent } from "./sent.js";
import { TEXTS } from "./texts.js";

/** @param {HTMLElement} page */
async function bindPage(page) {
  const find = finder(page);
  const shown = find("prompt");
  const url = ownAddress(shown?.dataset.stepupPrompt);
  if (!shown || url === null) return;
  const repeat = repetitionOf(page);
  /** @type {import("./answers.js").Fragment} */
  let fragment;
  try {
    fragment = await fetchFragment(url);
  } catch (error) {
    const place = find("error");
    const again = find("renew");
    if (place) place.textContent = problemFrom(error).detail ?? TEXTS.answer;
    if (again) {
      again.hidden = false;
      again.addEventListener("click", () => bindPage(page), { once: true });
    }
    return;
  }
  const { root } = fragment;
  const heading = root.querySelector("h2.stepup-title");
  heading?.replaceWith(make("h1", { id: "stepup-title", className: "stepup-title" }, heading.textContent ?? ""));
  const typed = codeIn(shown);
  const typing = typed !== null && typed === document.activeElement;
  const why = find("why"); // it must be sent again by hand: only this page was told
  if (why) root.querySelector("#stepup-description")?.prepend(why);
  shown.replaceWith(root);
  const code = codeIn(root);
  if (code && typed) code.value = typed.value; // it could be typed into before the prompt was here
  const inside = finder(root);
  const say = (/** @type {string} */ text) => {
    const status = inside("status");
    if (status) status.textContent = text;
  };
  const back = () => (history.length > 1 ? history.back() : say(_("Cancelled. Nothing has happened, and you can close this page.")));
  wirePrompt(fragment, {
    cookie: true,
    cancel: () => {
      withdraw(fragment);
      back();
    },
    proved: () => {
      window.addEventListener("pageshow", ({ persisted }) => persisted && location.reload()); // come back to: spent
      if (repeat) {
        markSent();
        return repeat();
      }
      const button = make("button", { type: "button", className: "stepup-button stepup-primary" }, _("Go back"));
      for (const name of ["factors", "cancel", "other"]) inside(name)?.remove();
      root.append(button);
      say(_("Authorized. Now go back and send it again straight away."));
      button.addEventListener("click", back);
      button.focus();
      return undefined;
    },
    gone: () => (repeat ? repeat() : back()),
  });
  if (page.dataset.stepupAsked !== undefined) inside("cancel")?.remove(); // one way to say no: the page's own
  if (typing) code?.focus({ preventScroll: true });
}

/** @param {Element} prompt @returns {HTMLInputElement | null} */
const codeIn = (prompt) => prompt.querySelector("input[name=code]");

/**
 * Return what repeats the request that the page was the answer to, or null where it must be sent again by hand.
 * @param {HTMLElement} page
 */
function repetitionOf(page) {
  const form = page.querySelector("form[data-stepup-repeat]");
  if (form instanceof HTMLFormElement) {
    // By attribute and prototype: fields of the form may be called action or submit.
    return ownAddress(form.getAttribute("action")) ? () => HTMLFormElement.prototype.submit.call(form) : null;
  }
  const target = page.dataset.stepupMethod === "GET" ? ownAddress(page.dataset.stepupUrl) : null;
  return target ? () => location.replace(target) : null;
}

const LOOK_AGAIN = 5000; // milliseconds, where nobody waits for us

/**
 * Keep the list of what waits for approval as it is now: load it anew once the library tells another. A hidden page does
 * so, too: its title has the number.
 * @param {HTMLElement} list
 */
async function keepWaiting(list) {
  const shown = [...list.querySelectorAll("[data-stepup-asks]")].map((link) => link.getAttribute("href")).join();
  const headers = { Accept: "application/json", Prefer: "wait=25", "If-None-Match": list.dataset.stepupWaiting ?? "" };
  for (;;) {
    let waited = false;
    try {
      const answer = await fetch(location.href, { cache: "no-store", headers });
      if (answer.status === 401) return location.reload(); // signed out: to the sign-in, and back
      waited = answer.headers.has("preference-applied");
      if (answer.status !== 304) {
        /** @type {{ approvals: { url: string }[] }} */
        const { approvals } = await answer.json();
        if (approvals.map(({ url }) => url).join() !== shown) return location.reload();
      }
    } catch {
      // not reached, or no list: look again
    }
    if (!waited) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
  }
}

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/**
 * Keep saying how long ago something was asked, by the age that the library gave and the time since: the device's clock
 * may be wrong, and its other one stand still while it sleeps.
 * @param {Iterable<HTMLElement>} ages
 */
function keepAges(ages) {
  const [opened, began] = [Date.now(), performance.now()];
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang || undefined);
  const say = () => {
    const since = Math.max(performance.now() - began, Date.now() - opened) / 1000;
    for (const each of ages) {
      const age = Math.max(1, Math.floor(Number(each.dataset.stepupAge) + since));
      const [unit, seconds] = UNITS.find(([, size]) => age >= size) ?? UNITS[3];
      const said = words.format(-Math.floor(age / seconds), unit);
      if (each.textContent !== said) each.textContent = said;
    }
  };
  say();
  setInterval(say, 1000);
}

function onReady() {
  /** @type {NodeListOf<HTMLElement>} */
  const ages = document.querySelectorAll("[data-stepup-age]");
  if (ages.length) keepAges(ages);
  const waiting = document.querySelector("[data-stepup-waiting]");
  if (waiting instanceof HTMLElement) keepWaiting(waiting);
  const page = document.querySelector("[data-stepup-page]");
  const card = document.querySelector(".stepup-card");
  if (page instanceof HTMLElement) bindPage(page);
  else if (card instanceof HTMLElement) requestAnimationFrame(() => keeperInView(card)); // the focus is set by then
  for (const button of document.querySelectorAll("[data-stepup-back]")) {
    if (button instanceof HTMLElement) button.hidden = history.length < 2;
    button.addEventListener("click", () => history.back());
  }
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", onReady);
else onReady();
