import { isUnknown, nativeFetch, problemFrom, promptOf, refusedOf } from "./answers.js";
import { authorize, sending, showProblem, underway } from "./dialog.js";
import { announce, working } from "./elements.js";
import { LOOP, NO_CONNECTION, TEXTS, UNKNOWN } from "./texts.js";

export const MAX_PROMPTS = 2; // per request; a third would be a loop (RFC 9470 §5)

/** The person closed the modal without proving themselves. */
export class StepUpCancelled extends Error {
  constructor() {
    super("The person cancelled the step-up.");
    this.name = "StepUpCancelled";
  }
}

/** A token had left when the connection was lost: the action may have been done. The person has been told. */
export class StepUpUnknown extends TypeError {
  /** @param {unknown} [cause] */
  constructor(cause) {
    super(UNKNOWN.detail, { cause });
    this.name = "StepUpUnknown";
  }
}

/**
 * Why the same request is asked about again, for the person.
 * @param {import("./answers.js").Answer} refused
 * @param {number} prompts so far
 */
export const noteFor = (refused, prompts) =>
  refused.headers.get("StepUp-Error") === "STEPUP_TOKEN_EXPIRED" ? TEXTS.tooLate : prompts ? TEXTS.unmet : "";

/**
 * Make the first attempt of a request, which a question about several waits for.
 * @param {() => Promise<Response>} attempt
 */
async function first(attempt) {
  sending(attempt);
  try {
    return await attempt();
  } finally {
    underway.delete(attempt);
  }
}

/**
 * Send a request, ask for proof if the server wants it, repeat it with the token.
 * The request is cloned before each sending, so that body and files arrive intact every time.
 * `unknown`: a token has left, and the response does not tell what became of it.
 * @param {RequestInfo | URL} input
 * @param {RequestInit | undefined} init
 * @param {{ through?: typeof fetch, opener?: Element | null, onPrompt?: () => void }} [options]
 * @returns {Promise<{ response: Response, cancelled: boolean, unknown: boolean }>}
 */
export async function send(input, init, { through = nativeFetch, opener = document.activeElement, onPrompt } = {}) {
  let request = new Request(input, init);
  /** @param {string} [token] */
  const attempt = async (token) => {
    const next = request.clone();
    if (token) next.headers.set("StepUp-Token", token);
    const response = await through(next);
    request = await refusedOf(request, response);
    return response;
  };
  let response = await first(attempt);
  let unknown = false;
  /** @type {HTMLElement | undefined} */
  let asked;
  for (let prompts = 0; promptOf(response); prompts += 1) {
    if (prompts === MAX_PROMPTS) {
      showProblem(LOOP, opener);
      break;
    }
    onPrompt?.();
    const refused = response;
    let outcome;
    try {
      outcome = await authorize(refused, {
        renew: attempt,
        caller: { authorization: request.headers.get("Authorization"), credentials: request.credentials },
        opener,
        signal: request.signal,
        note: noteFor(refused, prompts),
        asked,
      });
    } catch (error) {
      request.signal.throwIfAborted();
      showProblem(problemFrom(error), opener);
      return { response, cancelled: true, unknown };
    }
    request.signal.throwIfAborted();
    if (outcome?.problem) showProblem(outcome.problem, opener);
    if (!outcome || outcome.problem) return { response, cancelled: true, unknown };
    if (outcome.response) {
      response = /** @type {Response} */ (outcome.response);
      continue;
    }
    asked = outcome.asked;
    announce(TEXTS.working);
    const done = working(opener);
    try {
      response = await attempt(outcome.token);
    } catch (error) {
      request.signal.throwIfAborted();
      showProblem(UNKNOWN, opener);
      throw new StepUpUnknown(error);
    } finally {
      done();
    }
    unknown = isUnknown(response);
    if (unknown) showProblem(UNKNOWN, opener);
  }
  return { response, cancelled: false, unknown };
}

/**
 * Like `fetch`, for single-page apps: resolves with the final response, or rejects with `StepUpCancelled`, with
 * `StepUpUnknown`, or, before a token has left, with the failure that fetch has, in a sentence for the person.
 * @param {RequestInfo | URL} input
 * @param {RequestInit} [init]
 */
export async function stepupFetch(input, init) {
  const request = new Request(input, init);
  let result;
  try {
    result = await send(request, undefined);
  } catch (error) {
    if (error instanceof TypeError && !(error instanceof StepUpUnknown)) {
      throw new TypeError(NO_CONNECTION.detail, { cause: error });
    }
    throw error;
  }
  if (result.cancelled) throw new StepUpCancelled();
  return result.response;
}
