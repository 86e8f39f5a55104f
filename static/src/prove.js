import { knownAddress, libraryBase, pageBase } from "./addresses.js";
import { madeAnswer, problemFrom } from "./answers.js";
import { authorize, showProblem } from "./dialog.js";
import { _ } from "./language.js";
import { StepUpCancelled } from "./send.js";
import { TEXTS } from "./texts.js";

/**
 * Ask the person about a refusal that came by any other way than a response: a message of a WebSocket, an error of
 * GraphQL, an item of a bulk answer. Resolves with the token, to be sent by the same way; rejects with
 * `StepUpCancelled` when the person cancels or when the question is over, of which the person has been told.
 * @param {{ prompt?: { url?: string } }} problem the problem of RFC 9457 that the server sent
 * @param {{ from?: string }} [options] where it came from, if neither from this origin nor from the first api
 * @returns {Promise<string>}
 */
export async function prove(problem, { from = libraryBase() } = {}) {
  const base = new URL(from.replace(/^ws/, "http"), pageBase()).href;
  const url = problem?.prompt?.url ? knownAddress(problem.prompt.url, base) : null;
  if (!url) throw new TypeError("The prompt is of no known api.");
  const opener = document.activeElement;
  let outcome;
  try {
    // nobody but the app can ask again: a question that is over ends here
    const over = async () => madeAnswer(url, 404, new Headers());
    outcome = await authorize(madeAnswer(url, 401, new Headers({ "StepUp-Prompt": url }), JSON.stringify(problem)), { renew: over, opener });
  } catch (error) {
    showProblem(problemFrom(error), opener);
    throw new StepUpCancelled();
  }
  if (outcome?.token) return outcome.token;
  if (outcome) showProblem(outcome.problem ?? { title: _("This question is over"), detail: TEXTS.expired }, opener);
  throw new StepUpCancelled();
}
