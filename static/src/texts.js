import { _ } from "./language.js";

/** Every sentence that the scripts say. One that tells what has happened is used only where it is known. */
export const TEXTS = {
  get network() {
    return _("The server could not be reached, so nothing has happened. Check your connection and try again.");
  },
  get answer() {
    return _("The server gave an answer that this page does not understand. Reload the page and try again.");
  },
  get renewed() {
    return _("The earlier question is no longer open, so here it is again. Please check it and confirm.");
  },
  get expired() {
    return _("This question has expired and nothing has happened. Ask again when you are ready.");
  },
  get tooLate() {
    return _("Too much time passed after you confirmed, so nothing has happened. Please confirm once more.");
  },
  get unmet() {
    return _("The confirmation was not accepted for this action. Please check it and confirm once more.");
  },
  get changed() {
    return _("What you are asked for has changed, and the changes are marked. Please read it again before you confirm.");
  },
  get notAllowed() {
    return _("Your browser or key did not confirm, and nothing was authorized. Try again, or use another method.");
  },
  get onlyOne() {
    return _("Your browser or key did not confirm, and nothing was authorized. Try again.");
  },
  get noWebAuthn() {
    return _("This browser cannot use passkeys or hardware keys here. Update it, or use another browser.");
  },
  get cancelled() {
    return _("Cancelled. Nothing has happened.");
  },
  get working() {
    return _("Authorized. Working on it…");
  },
  get onItsWay() {
    return _("Authorized. The answer is on its way.");
  },
  get waiting() {
    return { passkey: _("Waiting for your passkey…"), hardware_key: _("Waiting for your hardware key…") };
  },
  get checking() {
    return _("Checking…");
  },
  get retry() {
    return _("You can try again now.");
  },
  get otherWorks() {
    return _("Another method works meanwhile.");
  },
};

/** @typedef {{ code?: string, title?: string, detail?: string, enroll_url?: string, sign_in_url?: string, help_url?: string, reload?: boolean }} Problem RFC 9457, and what to offer. */

/**
 * A problem that reloading the page leads on from.
 * @param {() => string} title
 * @param {() => string} detail
 * @param {boolean} [reload]
 * @returns {Readonly<Problem>}
 */
const problem = (title, detail, reload = true) => ({
  get title() {
    return title();
  },
  get detail() {
    return detail();
  },
  reload,
});

/** No answer came, and no token had left. */
export const NO_CONNECTION = problem(() => _("No connection"), () => TEXTS.network, false);

/** A token had left, and what came back does not tell what became of it. */
export const UNKNOWN = problem(
  () => _("The answer got lost"),
  () => _("It may have been done. Look before you try again: reload the page and see whether it is."),
);

export const LOOP = problem(
  () => _("This could not be authorized"),
  () => _("You confirmed twice and it was still not accepted, so nothing has happened. Reload the page and start again; if it stays so, tell the people who run this site."),
);

export const OTHER_ACCOUNT = problem(
  () => _("Another account is signed in now"),
  () => _("Since this page was opened, somebody signed in to another account in this browser. Nothing has happened. Reload the page to go on with that account, or sign in again."),
);

/** The action ran; its answer has no place any more. */
export const MOVED_ON = problem(
  () => _("It was sent"),
  () => _("The page changed while you confirmed, so that the answer cannot be shown in its place. Reload the page to see what was done."),
);
