/*
 * The ES module: importing it makes fetch, XMLHttpRequest, htmx and forms step up, as the script does in a page.
 * What enrols factors comes along, so that nothing is loaded from the server.
 */
import "./src/stepup.js";
import { setBatcher } from "./src/batching.js";
import { configure } from "./src/configure.js";
import { mountFactors, setMounter } from "./src/mount.js";
import { mount } from "./src/mounting.js";
import { prove } from "./src/prove.js";
import { StepUpCancelled, stepupFetch, StepUpUnknown } from "./src/send.js";
import { askTogether } from "./src/together.js";

setMounter(mount);
setBatcher(askTogether);

export { configure, mountFactors, prove, StepUpCancelled, stepupFetch as fetch, StepUpUnknown };
