/** Every sentence that the scripts say. One that tells what has happened is used only where it is known. */
export const TEXTS = Object.freeze({
  network: "The server could not be reached, so nothing has happened. Check your connection and try again.",
  answer: "The server gave an answer that this page does not understand. Reload the page and try again.",
  renewed: "The earlier question is no longer open, so here it is again. Please check it and confirm.",
  expired: "This question has expired and nothing has happened. Ask again when you are ready.",
  tooLate: "Too much time passed after you confirmed, so nothing has happened. Please confirm once more.",
  unmet: "The confirmation was not accepted for this action. Please check it and confirm once more.",
  changed: "What you are asked for has changed, and the changes are marked. Please read it again before you confirm.",
  noCode: "Type the six digits that your authenticator app shows now. This did not count as an attempt.",
  notAllowed: "Your browser or key did not confirm, and nothing was authorized. Try again, or use another method.",
  onlyOne: "Your browser or key did not confirm, and nothing was authorized. Try again.",
  noWebAuthn: "This browser cannot use passkeys or hardware keys here. Update it, or use another browser.",
  cancelled: "Cancelled. Nothing has happened.",
  cancelledPage: "Cancelled. Nothing has happened, and you can close this page.",
  working: "Authorized. Working on it…",
  onItsWay: "Authorized. The answer is on its way.",
  waiting: { passkey: "Waiting for your passkey…", hardware_key: "Waiting for your hardware key…" },
  checking: "Checking…",
  retry: "You can try again now.",
  otherWorks: "Another method works meanwhile.",
});

/** @typedef {{ title?: string, detail?: string, enroll_url?: string, reload?: boolean }} Problem RFC 9457, and what to offer. */

/** @type {Readonly<Problem>} No answer came, and no token had left. */
export const NO_CONNECTION = Object.freeze({ title: "No connection", detail: TEXTS.network });

/** @type {Readonly<Problem>} A token had left, and what came back does not tell what became of it. */
export const UNKNOWN = Object.freeze({
  title: "The answer got lost",
  detail: "It may have been done. Look before you try again: reload the page and see whether it is.",
  reload: true,
});

/** @type {Readonly<Problem>} */
export const LOOP = Object.freeze({
  title: "This could not be authorized",
  detail:
    "You confirmed twice and it was still not accepted, so nothing has happened. Reload the page and start again; if it stays so, tell the people who run this site.",
  reload: true,
});

/** @type {Readonly<Problem>} */
export const OTHER_ACCOUNT = Object.freeze({
  title: "Another account is signed in now",
  detail:
    "Since this page was opened, somebody signed in to another account in this browser. Nothing has happened. Reload the page to go on with that account, or sign in again.",
  reload: true,
});

/** @type {Readonly<Problem>} The action ran; its answer has no place any more. */
export const MOVED_ON = Object.freeze({
  title: "It was sent",
  detail: "The page changed while you confirmed, so that the answer cannot be shown in its place. Reload the page to see what was done.",
  reload: true,
});

/**
 * Say how long a pause lasts.
 * @param {number} seconds
 */
export const pauseOf = (seconds) => (seconds < 90 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`);
