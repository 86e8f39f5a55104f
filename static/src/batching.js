import { libraryBase } from "./addresses.js";
import { call, madeAnswer, promptOf } from "./answers.js";
import { ask, askBy, inTurn, underway } from "./dialog.js";
import { load, parse } from "./elements.js";

/** @typedef {typeof import("./together.js").askTogether} Batcher */

/** @type {Batcher | Promise<Batcher> | undefined} */
let batcher;

/** Give what asks about several requests, where it need not be loaded. @param {Batcher} given */
export const setBatcher = (given) => void (batcher = given);

/**
 * Ask about requests of one purpose that wait at the same time as one question, or about each by itself.
 * @param {boolean} on
 */
export function setBatch(on) {
  if (!on) return askBy();
  batcher ??= load(`${libraryBase()}/batch.js`, "stepup:batch");
  const asker = Promise.resolve(batcher).then((make) => make({ ask, inTurn, underway, call, promptOf, madeAnswer, parse })).catch(() => null);
  return askBy(async (refused, options) => {
    const several = await asker; // where it could not be loaded, each is asked about by itself
    return several ? several(refused, options) : inTurn(() => ask(refused, options));
  });
}
