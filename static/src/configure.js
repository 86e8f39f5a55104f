import { setApis } from "./addresses.js";
import { setHeaders } from "./caller.js";

/**
 * Say what the library's own calls need: `headers`, or a function that returns them, for each call; `api`, where the
 * library is besides this origin. What is left out stays as it was.
 * @param {{ headers?: Parameters<typeof setHeaders>[0], api?: string | string[] }} settings
 */
export function configure({ headers, api, ...others }) {
  for (const name in others) throw new TypeError(`stepup.configure has no setting ${name}.`);
  if (api !== undefined) setApis(api);
  if (headers !== undefined) setHeaders(headers);
}
