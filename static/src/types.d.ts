/* What the modules share with the page around them. */

interface HtmxContext {
  fetch?: typeof fetch;
  request: { submitter?: HTMLElement | null; [name: string]: unknown };
  sourceElement: HTMLElement;
  target?: Element | null;
  requestTimeout?: ReturnType<typeof setTimeout>;
  status?: string;
  response?: { raw: Response; status: number };
}

interface StepUpClient {
  /** Like `fetch`; resolves with the final response, or rejects with `StepUpCancelled` or `StepUpUnknown`. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Ask about a refusal that came by another way than a response; resolves with the token. */
  prove(problem: { prompt?: { url?: string } }, options?: { from?: string }): Promise<string>;
  configure: typeof import("./configure.js").configure;
  mountFactors: typeof import("./mount.js").mountFactors;
  StepUpCancelled: typeof import("./send.js").StepUpCancelled;
  StepUpUnknown: typeof import("./send.js").StepUpUnknown;
}

interface Window {
  stepup?: StepUpClient;
  htmx?: { process(element: Element): void };
  XMLHttpRequest: typeof XMLHttpRequest;
}

interface DocumentEventMap {
  "stepup:factors": CustomEvent<import("./mount.js").Mounter>;
  "stepup:batch": CustomEvent<import("./batching.js").Batcher>;
  "htmx:config:request": CustomEvent<{ ctx: HtmxContext }>;
  "htmx:before:response": CustomEvent<{ ctx: HtmxContext }>;
  "htmx:finally:request": CustomEvent<{ ctx: HtmxContext }>;
  "htmx:error": CustomEvent<{ ctx?: HtmxContext; error?: unknown }>;
  "htmx:beforeSend": CustomEvent<{
    xhr: XMLHttpRequest;
    elt: HTMLElement;
    target?: Element | null;
    requestConfig: { triggeringEvent?: Event };
  }>;
  "htmx:beforeOnLoad": CustomEvent<{ xhr: XMLHttpRequest }>;
}
