import { useCallback, useSyncExternalStore } from "react";
import { configure, fetch, mountFactors, prove, StepUpCancelled, StepUpUnknown } from "./index.js";

/** The purpose of the open question, or null. @type {string | null} */
let asking = null;
const listeners = new Set();

// a server that renders a component has no document, and no question
globalThis.document?.addEventListener("stepup:open", ({ detail }) => tell(detail.purpose));
globalThis.document?.addEventListener("stepup:close", () => tell(null));

function tell(purpose) {
  asking = purpose;
  for (const listener of listeners) listener();
}

function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Step up from a component. `asking` is the purpose of the question that is open now, or null; `factors` a ref for the
 * element in which the person's factors are shown.
 */
export function useStepUp() {
  const factors = useCallback((element) => {
    if (!element) return undefined; // React before 19 calls with null in the end
    let wanted = true;
    let unmount = () => {};
    mountFactors(element).then((done) => (wanted ? (unmount = done) : done()), (error) => (element.textContent = error.message));
    return () => {
      wanted = false;
      unmount();
    };
  }, []);
  return { asking: useSyncExternalStore(subscribe, () => asking, () => null), configure, factors, fetch, prove, StepUpCancelled, StepUpUnknown };
}
