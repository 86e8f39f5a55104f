/*
 * batch.js: what asks about several requests as one question, loaded by stepup.js where the app has turned it on.
 */
import { askTogether } from "./together.js";

document.dispatchEvent(new CustomEvent("stepup:batch", { detail: askTogether }));
