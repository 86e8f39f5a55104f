import { ofDocument, ownAddress } from "./addresses.js";
import { _, spoken } from "./language.js";

/**
 * Make an element with properties and children; text is never taken for markup.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Partial<HTMLElementTagNameMap[Tag]>} properties
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** @type {any} */
let policy;

/**
 * Vouch for what the library itself has sent, where a page takes no bare strings for markup or scripts (Trusted Types). A
 * page that does not know our policy either judges the string as it judges any.
 * @param {"createHTML" | "createScriptURL"} how
 * @param {string} text
 */
function trusted(how, text) {
  try {
    policy ??= /** @type {any} */ (window).trustedTypes?.createPolicy("stepup", { createHTML: String, createScriptURL: String });
  } catch {
    // it says so on the console
  }
  return policy?.[how](text) ?? text;
}

/**
 * Load a script that hands over what it has by an event. Rejects where it cannot be loaded.
 * @template {"stepup:factors" | "stepup:batch"} Name
 * @param {string} src
 * @param {Name} event
 */
export const load = (src, event) => new Promise((/** @type {(given: DocumentEventMap[Name]["detail"]) => void} */ resolve, reject) => {
  document.addEventListener(event, ({ detail }) => resolve(detail), { once: true });
  const url = /** @type {string} */ (trusted("createScriptURL", src));
  ofDocument("body").append(make("script", { src: url, onerror: () => reject(new TypeError(src)) }));
});

/**
 * Return a finder of the elements that the library's templates mark with `data-stepup-NAME`.
 * @param {ParentNode} root
 */
export const finder = (root) => (/** @type {string} */ name) => /** @type {HTMLElement | null} */ (root.querySelector(`[data-stepup-${name}]`));

/**
 * All elements that the library's templates mark with `data-stepup-NAME`.
 * @param {ParentNode} root
 * @param {string} name
 */
export const allOf = (root, name) => /** @type {HTMLElement[]} */ ([...root.querySelectorAll(`[data-stepup-${name}]`)]);

/**
 * An address that leads back to the page in hand, by the parameter `next`.
 * @param {string} address
 */
export function withWayBack(address) {
  const url = new URL(address, location.href);
  // a page that answers a form is not there again: it leads to the page of the form
  const here = (document.querySelector("[data-stepup-method=POST]") && ownAddress(document.referrer)) || location.href;
  url.searchParams.set("next", here.slice(location.origin.length));
  return url.href;
}

/** Where the app signs people in, if not where the library says. @type {string | undefined} */
let signInAt;

/** @param {string} address */
export function setSignIn(address) {
  if (!LEADS.test(address)) throw new TypeError("signIn is an address of https, or a path.");
  signInAt = address;
}

const LEADS = /^(https?:[/]{2}|[/](?![/]))/; // where the app itself leads people, of any origin

/**
 * The ways on that a problem carries: to enrol, to sign in, to ask for help. They lead back to this page.
 * @param {import("./texts.js").Problem} problem
 * @param {string} className
 */
export function waysOn({ enroll_url: enrol, sign_in_url: signIn, help_url: help, code }, className) {
  const way = (/** @type {string | undefined} */ address, /** @type {string} */ label, look = className, href = withWayBack) =>
    address && LEADS.test(address) ? [make("a", { href: href(address), className: look }, label)] : [];
  return [
    ...way(enrol, _("Add a factor")),
    ...way(code === "STEPUP_NOT_SIGNED_IN" ? signInAt ?? signIn : undefined, _("Sign in")),
    ...way(help, _("I need help"), "stepup-link", String),
  ];
}

/** @param {string} html */
export const parse = (html) => new DOMParser().parseFromString(/** @type {string} */ (trusted("createHTML", html)), "text/html");

/**
 * Keep in view what has the focus and what is wrong about it, below the title that stays at the top, when the window is
 * turned or enlarged, too. Returns what shows elements so.
 * @param {HTMLElement} root
 * @param {AbortSignal} [signal]
 */
export function keeperInView(root, signal) {
  const show = (/** @type {(Element | null)[]} */ ...elements) => {
    const title = /** @type {HTMLElement | null} */ (root.querySelector(".stepup-title"));
    (root.closest("dialog") ?? ofDocument("documentElement")).style.scrollPaddingBlock = `${title?.offsetHeight}px 0.375rem`;
    for (const element of elements) element?.scrollIntoView({ block: "nearest" });
  };
  const again = () => show(...root.querySelectorAll("[role=alert], :focus"));
  window.addEventListener("resize", again, { signal });
  again();
  return show;
}

/** @type {HTMLElement | undefined} */
let announcer;

/**
 * Have a sentence read out, outside any dialog.
 * @param {string} text
 */
export function announce(text) {
  announcer ??= make("div", { className: "stepup-announcer" });
  const region = Object.assign(announcer, spoken());
  region.setAttribute("role", "status");
  if (!region.isConnected) ofDocument("body").append(region);
  region.textContent = "";
  setTimeout(() => (region.textContent = text), 100); // a live region speaks only of what changes while it is there
}

/**
 * Show on an element that its action is under way. Returns what ends it.
 * @param {Element | null | undefined} opener
 */
export function working(opener) {
  opener?.classList.add("stepup-working");
  opener?.setAttribute("aria-busy", "true");
  return () => {
    opener?.classList.remove("stepup-working");
    opener?.removeAttribute("aria-busy");
  };
}

/**
 * Return what gives the focus back to the opener or, when an answer has replaced it, to what took its place.
 * @param {Element | null | undefined} opener
 */
export function focusKeeper(opener) {
  /** @type {HTMLElement[]} */
  const trail = [];
  for (let node = opener; node && node !== document.body; node = node.parentElement) {
    if (node instanceof HTMLElement) trail.push(node);
  }
  return () => {
    if (document.activeElement && document.activeElement !== document.body) return;
    const again = opener?.id && !opener.isConnected ? document.getElementById(opener.id) : null;
    const place = again ?? trail.find((node) => node.isConnected);
    if (!place) return;
    if (place !== opener && place !== again && !place.hasAttribute("tabindex")) place.tabIndex = -1;
    place.focus({ preventScroll: true });
  };
}
