/*
 * A native form or link leaves the page with its token in a cookie, and nobody here hears its answer. A mark that this was
 * so outlives the page, nothing else: who comes back before any page has followed is told that it may have been done.
 */
import { showProblem } from "./dialog.js";
import { UNKNOWN } from "./texts.js";

const MARK = "stepup-sent";

/** Remember that something was sent natively. */
export function markSent() {
  try {
    sessionStorage.setItem(MARK, "1");
  } catch {
    // a browser that keeps nothing: then the page itself has to tell
  }
}

/** Tell who has come back whether something may have been done. Any other page that is shown is its answer. */
export function tellOnReturn() {
  window.addEventListener("pageshow", ({ persisted }) => {
    const [entry] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
    let sent;
    try {
      sent = sessionStorage.getItem(MARK);
      sessionStorage.removeItem(MARK);
    } catch {
      // as above
    }
    if (sent && (persisted || entry?.type === "back_forward")) showProblem(UNKNOWN, null);
  });
}
