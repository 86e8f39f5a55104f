import { ownAddress } from "./addresses.js";
import { parse } from "./elements.js";
import { NO_CONNECTION, TEXTS } from "./texts.js";

/**
 * @typedef {Pick<Response, "url" | "status" | "headers" | "text"> & { clone(): Answer }} Answer what is read of a response
 * @typedef {import("./texts.js").Problem} Problem
 * @typedef {{ url: string, root: HTMLElement, lifetime: number }} Fragment a prompt as the library drew it; milliseconds
 */

/** The browser's own, before anybody wraps it: the library's calls never step up themselves. */
export const nativeFetch = window.fetch.bind(window);

/** A refusal to show, with its RFC 9457 problem. Status 0: no answer came. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {Problem} problem
   * @param {number} [retryAfter] seconds
   */
  constructor(status, problem, retryAfter = 30) {
    super(problem.detail ?? problem.title ?? TEXTS.answer);
    this.name = "Refused";
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/**
 * Make an answer of what did not come as a response.
 * @param {string} url
 * @param {number} status
 * @param {Headers} headers
 * @param {string} [text]
 * @returns {Answer}
 */
export function madeAnswer(url, status, headers, text = "") {
  /** @type {Answer} */
  const answer = { url, status, headers, text: async () => text, clone: () => answer };
  return answer;
}

/** @param {unknown} error */
export const problemFrom = (error) => (error instanceof Refused ? error.problem : NO_CONNECTION);

/** @param {Answer} answer */
const promptHeader = (answer) =>
  ownAddress(answer.url) && answer.headers.has("StepUp-Prompt")
    ? ownAddress(answer.headers.get("StepUp-Prompt"), answer.url)
    : null;

/**
 * The address of the prompt that a 401 of this origin carries in its header, or null.
 * @param {Answer} answer
 */
export const promptOf = (answer) => (answer.status === 401 ? promptHeader(answer) : null);

/**
 * Whether the library refused, with or without a prompt: the action has not run.
 * @param {Answer} answer
 */
export const isRefusal = (answer) =>
  promptOf(answer) !== null || (answer.headers.has("StepUp-Error") && ownAddress(answer.url) !== null);

/**
 * Whether an answer to a request with a token leaves open what became of the action: a failure of the app after it
 * began, or a page of a proxy.
 * @param {Answer} answer
 */
export const isUnknown = (answer) => answer.status >= 500 && !isRefusal(answer);

/** @param {Answer} answer */
export const isHtml = (answer) => /\bhtml\b/i.test(answer.headers.get("Content-Type") ?? "");

/**
 * Send a request of the library's own. Any failure becomes a Refused, except the caller's abort.
 * @param {string} url
 * @param {RequestInit} init
 */
export async function call(url, init) {
  let response;
  try {
    response = await nativeFetch(url, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refused(0, NO_CONNECTION);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: TEXTS.answer }));
  throw new Refused(response.status, problem, Number(response.headers.get("Retry-After")) || undefined);
}

/**
 * Fetch the fragment of a prompt. What does not name itself as this prompt in its header is not the library's.
 * @param {string} url of this origin
 * @returns {Promise<Fragment>}
 */
export async function fetchFragment(url) {
  const source = await call(url, { headers: { "HX-Request": "true", Accept: "text/html" } });
  if (promptHeader(source) !== url) throw new Refused(source.status, { detail: TEXTS.answer });
  return read(url, source);
}

/**
 * Get the modal's fragment for a refused request: from its body if it is there, else from the prompt.
 * @param {Answer} refused
 * @returns {Promise<Fragment>}
 */
export async function fragmentOf(refused) {
  const url = promptOf(refused);
  if (url === null) throw new Refused(refused.status, { detail: TEXTS.answer });
  return isHtml(refused) ? read(url, refused.clone()) : fetchFragment(url);
}

/**
 * @param {string} url
 * @param {Answer} source
 * @returns {Promise<Fragment>}
 */
async function read(url, source) {
  /** @type {HTMLElement | null} */
  const root = parse(await source.text()).querySelector("[data-stepup-prompt]");
  if (!root) throw new Refused(source.status, { detail: TEXTS.answer });
  // The two clocks may differ: count from the server's own time.
  const now = Date.parse(source.headers.get("Date") ?? "") || Date.now();
  return { url, root, lifetime: Date.parse(root.dataset.stepupExpires ?? "") - now };
}

/**
 * Read what a refusing answer says: RFC 9457, or the library's fragment.
 * @param {Answer} answer
 * @returns {Promise<Problem | HTMLElement>}
 */
export async function problemOf(answer) {
  const text = await answer.clone().text();
  if (isHtml(answer)) return /** @type {HTMLElement | null} */ (parse(text).querySelector("[data-stepup-problem]")) ?? {};
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
