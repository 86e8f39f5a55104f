/** The person closed the modal without proving themselves. */
export class StepUpCancelled extends Error {}

/** A token had left when the connection was lost: the action may have been done. The person has been told. */
export class StepUpUnknown extends TypeError {}

export interface Settings {
  /** Headers of the library's own calls, or a function that returns them, asked before each call. */
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  /** Where the library is besides this origin: `https://api.example.com`, or with a path if not at `/stepup`. */
  api?: string | string[];
  /** Whether up to 50 requests of one purpose that wait at the same time are asked about as one question; false by default. */
  batch?: boolean;
  /** Where people without a session are led from the library's dialogs, if not to `StepUp(sign_in_url=)`; `next` leads back. */
  signIn?: string;
  /** What the scripts say instead, by their English sentences, whatever the language. */
  texts?: Record<string, string>;
}

/** The problem of RFC 9457 with which a tagged route refuses; what an app may look at. */
export interface Problem {
  code: string;
  status: number;
  title: string;
  detail: string;
  purpose?: { id: string; title: string; authorize_title: string; consequence: string };
  requirement?: "any" | "phishing_resistant";
  factors?: string[];
  enrolled_factors?: string[];
  details?: [string, string][];
  prompt?: { id: string; url: string; expires_at: string };
  enroll_url?: string;
  retry_after?: number;
}

/** Say what the library's own calls need. What is left out stays as it was. */
export function configure(settings: Settings): void;

/** Like `fetch`; resolves with the final response, rejects with `StepUpCancelled` or `StepUpUnknown`. */
export function fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;

/**
 * Ask about a refusal that came by another way than a response; resolves with the token, rejects with `StepUpCancelled`.
 * `from`: where it came from, if neither from this origin nor from the first `api`.
 */
export function prove(problem: Pick<Problem, "prompt">, options?: { from?: string }): Promise<string>;

/** Show the person's factors in an element. Resolves with what takes them out again. */
export function mountFactors(element: HTMLElement, options?: { url?: string }): Promise<() => void>;

export interface StepUp {
  configure: typeof configure;
  fetch: typeof fetch;
  prove: typeof prove;
  mountFactors: typeof mountFactors;
  StepUpCancelled: typeof StepUpCancelled;
  StepUpUnknown: typeof StepUpUnknown;
}

declare global {
  interface Window {
    stepup?: StepUp;
  }
  interface DocumentEventMap {
    "stepup:open": CustomEvent<{ prompt: string; purpose: string }>;
    "stepup:close": CustomEvent<{ prompt: string; outcome: "answered" | "cancelled" }>;
  }
}
