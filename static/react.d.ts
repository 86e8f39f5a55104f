import type { StepUp } from "stepup-middleware";

/** Step up from a component. */
export function useStepUp(): Omit<StepUp, "mountFactors"> & {
  /** The purpose of the question that is open now, or null. */
  asking: string | null;
  /** A ref for the element in which the person's factors are shown: `<div ref={factors} />`. */
  factors: (element: HTMLElement | null) => (() => void) | undefined;
};
