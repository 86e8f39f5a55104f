import { setApis } from "./addresses.js";
import { setBatch } from "./batching.js";
import { setHeaders } from "./caller.js";
import { setSignIn } from "./elements.js";
import { setTexts } from "./language.js";

/**
 * Say what the library's own calls need: `headers`, or a function that returns them, for each call; `api`, where the
 * library is besides this origin; `batch`, whether requests of one purpose that wait at the same time are one question;
 * `signIn`, the address that people without a session are led to; `texts`, what to say instead of the English sentences
 * that the scripts have. What is left out stays as it was.
 * @param {{ headers?: Parameters<typeof setHeaders>[0], api?: string | string[], batch?: boolean, signIn?: string,
 *   texts?: Record<string, string> }} settings
 */
export function configure({ headers, api, batch, signIn, texts, ...others }) {
  for (const name in others) throw new TypeError(`stepup.configure has no setting ${name}.`);
  if (api !== undefined) setApis(api);
  if (headers !== undefined) setHeaders(headers);
  if (batch !== undefined) setBatch(batch);
  if (signIn !== undefined) setSignIn(signIn);
  if (texts !== undefined) setTexts(texts);
}
