import { knownAddress, originOf, ownAddress } from "./addresses.js";
import { asCaller } from "./caller.js";
import { parse } from "./elements.js";
import { NO_CONNECTION, TEXTS } from "./texts.js";

/**
 * @typedef {Pick<Response, "url" | "status" | "headers" | "text"> & { clone(): Answer }} Answer what is read of a response
 * @typedef {import("./texts.js").Problem} Problem
 * @typedef {import("./caller.js").Caller} Caller
 * @typedef {{ url: string, root: HTMLElement, lifetime: number, caller?: Caller }} Fragment a prompt as the library drew it; milliseconds
 */

/** The browser's own, before anybody wraps it: the library's calls never step up themselves. */
export const nativeFetch = globalThis.fetch.bind(globalThis);

/** A refusal to show, with its RFC 9457 problem. Status 0: no answer came. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {Problem} [problem]
   * @param {number} [retryAfter] seconds
   */
  constructor(status, problem = {}, retryAfter = 30) {
    super(problem.detail ?? problem.title ?? TEXTS.answer);
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
  knownAddress(answer.url) && ownAddress(answer.headers.get("StepUp-Prompt"), answer.url, originOf(answer.url));

/**
 * The address of the prompt that a 401 carries in its header, of the origin that it came from, or null.
 * @param {Answer} answer
 */
export const promptOf = (answer) => (answer.status === 401 ? promptHeader(answer) : null);

/**
 * Whether the library refused, with or without a prompt: the action has not run.
 * @param {Answer} answer
 */
export const isRefusal = (answer) =>
  promptOf(answer) !== null || (answer.headers.has("StepUp-Error") && knownAddress(answer.url) !== null);

/**
 * Whether an answer to a request with a token leaves open what became of the action: a failure of the app after it
 * began, or a page of a proxy.
 * @param {Answer} answer
 */
export const isUnknown = (answer) => answer.status >= 500 && !isRefusal(answer);

/**
 * What came to where redirects led: its method, and which headers it had. Where it became a GET, those that speak of a body
 * are missing (Fetch §4.4).
 * @param {Answer} answer with a prompt, which names the method
 * @param {string} sent the method that was sent
 * @param {[string, string][]} headers
 */
export function cameAs(answer, sent, headers) {
  const method = answer.headers.get("StepUp-Method") ?? sent;
  const changed = method.toUpperCase() !== sent.toUpperCase(); // browsers write some of them in capitals
  return { method, headers: changed ? headers.filter(([name]) => !/^content-/i.test(name)) : headers };
}

/**
 * The request that is sent again: where a redirect led to the refusal, what came there. The hops before may have acted.
 * @param {Request} request as it was sent
 * @param {Response} answer
 */
export async function refusedOf(request, answer) {
  if (!answer.redirected || !promptOf(answer)) return request;
  const { signal, credentials } = request;
  const came = cameAs(answer, request.method, [...request.headers]);
  const bytes = await request.clone().arrayBuffer();
  const body = came.method === request.method && bytes.byteLength ? bytes : null;
  return new Request(answer.url, { ...came, body, signal, credentials });
}

/** @param {Answer} answer */
export const isHtml = (answer) => /\bhtml\b/i.test(answer.headers.get("Content-Type") ?? "");

/**
 * Send a request of the library's own. Any failure becomes a Refused, except the caller's abort.
 * @param {string} url
 * @param {RequestInit} init
 * @param {Caller} [caller]
 */
export async function call(url, init, caller) {
  let response;
  try {
    response = await nativeFetch(url, await asCaller(url, init, caller));
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refused(0, NO_CONNECTION);
  }
  if (response.ok) return response;
  const problem = located(await response.json().catch(() => ({})), url);
  throw new Refused(response.status, problem, Number(response.headers.get("Retry-After")) || undefined);
}

/**
 * Make the way to enrol absolute: it is relative to where the problem came from.
 * @param {Problem} problem
 * @param {string} url
 * @returns {Problem}
 */
const located = (problem, url) =>
  problem?.enroll_url ? { ...problem, enroll_url: new URL(problem.enroll_url, url).href } : problem;

/**
 * Fetch the fragment of a prompt. What does not name itself as this prompt in its header is not the library's.
 * @param {string} url of a known origin
 * @param {Caller} [caller]
 * @returns {Promise<Fragment>}
 */
export async function fetchFragment(url, caller) {
  const source = await call(url, { headers: { "HX-Request": "true", Accept: "text/html" } }, caller);
  if (promptHeader(source) !== url) throw new Refused(source.status);
  return read(url, source, caller);
}

/**
 * Get the modal's fragment for a refused request: from its body if it is there, else from the prompt.
 * @param {Answer} refused
 * @param {Caller} [caller]
 * @returns {Promise<Fragment>}
 */
export async function fragmentOf(refused, caller) {
  const url = promptOf(refused);
  if (url === null) throw new Refused(refused.status);
  return isHtml(refused) ? read(url, refused.clone(), caller) : fetchFragment(url, caller);
}

/**
 * @param {string} url
 * @param {Answer} source
 * @param {Caller} [caller]
 * @returns {Promise<Fragment>}
 */
async function read(url, source, caller) {
  /** @type {HTMLElement | null} */
  const root = parse(await source.text()).querySelector("[data-stepup-prompt]");
  if (!root) throw new Refused(source.status);
  // The two clocks may differ: count from the server's own time.
  const now = Date.parse(source.headers.get("Date") ?? "") || Date.now();
  return { url, root, caller, lifetime: Date.parse(root.dataset.stepupExpires ?? "") - now };
}

/**
 * Read what a refusing answer says: RFC 9457, or the library's fragment.
 * @param {Answer} answer
 * @returns {Promise<Problem | HTMLElement>}
 */
export async function problemOf(answer) {
  const text = await answer.clone().text();
  if (isHtml(answer)) {
    /** @type {HTMLElement | null} */
    const problem = parse(text).querySelector("[data-stepup-problem]");
    for (const link of problem?.querySelectorAll("a") ?? []) link.href = new URL(link.getAttribute("href") ?? "", answer.url).href;
    return problem ?? {};
  }
  try {
    return located(JSON.parse(text), answer.url);
  } catch {
    return {};
  }
}
