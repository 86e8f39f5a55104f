import { ownAddress } from "./addresses.js";
import { madeAnswer, problemFrom } from "./answers.js";
import { authorize, showProblem } from "./dialog.js";
import { StepUpCancelled } from "./send.js";
import { TEXTS } from "./texts.js";

/**
 * Ask the person about a refusal that came by any other way than a response: a message of a WebSocket, an error of
 * GraphQL, an item of a bulk answer. Resolves with the token, to be sent by the same way; rejects with
 * `StepUpCancelled` when the person cancels or when the question is over, of which the person has been told.
 * @param {{ prompt?: { url?: string } }} problem the problem of RFC 9457 that the server sent
 * @returns {Promise<string>}
 */
export async function prove(problem) {
  const url = ownAddress(problem?.prompt?.url);
  if (!url) throw new TypeError("A problem to prove has a prompt of this origin.");
  const opener = document.activeElement;
  let outcome;
  try {
    // nobody but the app can ask again: a question that is over ends here
    const over = async () => madeAnswer(location.href, 404, new Headers());
    outcome = await authorize(madeAnswer(location.href, 401, new Headers({ "StepUp-Prompt": url })), { renew: over, opener });
  } catch (error) {
    showProblem(problemFrom(error), opener);
    throw new StepUpCancelled();
  }
  if (outcome?.token) return outcome.token;
  if (outcome) showProblem(outcome.problem ?? { title: "This question is over", detail: TEXTS.expired }, opener);
  throw new StepUpCancelled();
}
