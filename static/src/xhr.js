import { knownAddress } from "./addresses.js";
import { isUnknown, madeAnswer, problemFrom, promptOf } from "./answers.js";
import { copyOf } from "./bodies.js";
import { authorize, sending, showProblem, underway } from "./dialog.js";
import { announce, working } from "./elements.js";
import { MAX_PROMPTS, noteFor } from "./send.js";
import { LOOP, TEXTS, UNKNOWN } from "./texts.js";

/*
 * XMLHttpRequest steps up within itself: the refused answer is held back, the same object is opened and sent again with
 * the token, and its listeners hear one request with one answer. Synchronous ones, and origins that nobody named, are left alone.
 *
 *   first    sent without a token; its events pass, unless the answer turns out to be a prompt's refusal
 *   held     the refusal, or a renewed one, arrives unseen
 *   asking   the person is asked; to the app the request is still on its way
 *   renew    sent anew without a token for a new prompt, unseen until it is answered otherwise
 *   again    sent with the token: what the app has heard already (its start, its upload) is not told twice
 */

/** @typedef {"first" | "held" | "asking" | "renew" | "again" | "ending"} Phase */
/** @typedef {import("./answers.js").Answer} Answer */
/** @typedef {[user?: string | null, password?: string | null]} Credentials */
/** @typedef {{ method: string, url: string, rest: Credentials, headers: [string, string][], body: any }} Sent */

const EVENTS = ["readystatechange", "loadstart", "progress", "load", "error", "abort", "timeout", "loadend"];

/** Who started a request, where that is not the element with the focus. @type {WeakMap<XMLHttpRequest, Element>} */
export const openerOf = new WeakMap();
/** Requests that a token has left with. @type {WeakSet<XMLHttpRequest>} */
export const sentToken = new WeakSet();

/**
 * Read an XMLHttpRequest as an answer of fetch. Its body is read only where it is text.
 * @param {XMLHttpRequest} xhr
 * @returns {Answer}
 */
export function answerOf(xhr) {
  const headers = new Headers(); // of another origin only some can be read, and asking for others is reported
  for (const line of xhr.getAllResponseHeaders().split(/[\r\n]+/)) {
    const [name, value] = line.split(/:\s*(.*)/);
    if (name) headers.append(name, value);
  }
  const text = /^(text)?$/.test(xhr.responseType) && xhr.readyState === 4 ? xhr.responseText : "";
  return madeAnswer(xhr.responseURL, xhr.status, headers, text);
}

/** Put a subclass that steps up in the place of `XMLHttpRequest`. */
export function installXHR() {
  const Native = window.XMLHttpRequest;

  window.XMLHttpRequest = class XMLHttpRequest extends Native {
    /** @type {Sent | null} null: not ours to step up */
    #sent = null;
    /** @type {Phase} */
    #phase = "first";
    #prompts = 0;
    #life = new AbortController(); // of the person's part
    /** @type {((answer: Answer) => void) | null} */
    #renewed = null;
    /** @type {((error: unknown) => void) | null} */
    #failed = null;
    /** @type {(() => void) | null} what ends the opener's look of being at work */
    #done = null;
    /** @type {HTMLElement | undefined} */
    #asked;
    #token = "";
    #uploads = false;
    #asGet = false;
    #opener = /** @type {Element | null} */ (null);
    #gate = (/** @type {Event} */ event) => this.#pass(event) || event.stopImmediatePropagation();

    constructor() {
      super();
      for (const type of EVENTS) this.addEventListener(type, this.#gate, true); // the first of its listeners
    }

    /**
     * @param {string} method
     * @param {string | URL} url
     * @param {boolean} [async]
     * @param {Credentials} rest absent where they are: undefined is not the same
     */
    open(method, url, async = true, ...rest) {
      const [life, phase, sent] = [this.#life, this.#phase, this.#sent];
      const own = async && knownAddress(url);
      this.#sent = own ? { method, url: own, rest, headers: [], body: null } : null;
      this.#phase = "first";
      this.#life = new AbortController();
      try {
        super.open(method, url, async, ...rest);
      } catch (error) {
        [this.#life, this.#phase, this.#sent] = [life, phase, sent]; // no request of that kind: the one before goes on
        throw error;
      }
      this.#prompts = 0;
      this.#asGet = false;
      this.#redirected = "";
      this.#renewed = this.#failed = null;
      this.#asked = undefined;
      sentToken.delete(this);
      life.abort();
    }

    /** Its listeners come after the gate. Before the app wants any there is none: they make other origins be asked first. */
    get upload() {
      const upload = super.upload;
      if (!this.#uploads) for (const type of EVENTS.slice(1)) upload.addEventListener(type, this.#gate, true);
      this.#uploads = true;
      return upload;
    }

    /** @param {string} name @param {string} value */
    setRequestHeader(name, value) {
      super.setRequestHeader(name, value);
      this.#sent?.headers.push([name, value]);
    }

    /** @param {any} [body] */
    send(body = null) {
      const sent = this.#sent;
      const copy = sent && copyOf(body); // before its listeners hear of the start, and kept once the browser has taken it
      this.#opener = openerOf.get(this) ?? document.activeElement;
      super.send(body);
      if (!sent) return;
      sent.body = copy;
      sending(this);
    }

    abort() {
      if (this.#unseen) this.#cancel();
      else super.abort();
    }

    get #unseen() {
      return !/first|again/.test(this.#phase);
    }

    get readyState() {
      if (!this.#unseen) return super.readyState;
      return this.#phase === "ending" ? 4 : 1;
    }

    get status() {
      return this.#unseen ? 0 : super.status;
    }

    get statusText() {
      return this.#unseen ? "" : super.statusText;
    }

    get responseURL() {
      return this.#unseen ? "" : super.responseURL;
    }

    get response() {
      if (!this.#unseen) return super.response;
      return /^(text)?$/.test(this.responseType) ? "" : null;
    }

    get responseText() {
      return this.#unseen && /^(text)?$/.test(this.responseType) ? "" : super.responseText;
    }

    get responseXML() {
      return this.#unseen && /^(document)?$/.test(this.responseType) ? null : super.responseXML;
    }

    /** @param {string} name */
    getResponseHeader(name) {
      return this.#unseen ? null : super.getResponseHeader(name);
    }

    getAllResponseHeaders() {
      return this.#unseen ? "" : super.getAllResponseHeaders();
    }

    /** The answer as it came, whatever the app may see of it. */
    #answer() {
      const phase = this.#phase;
      this.#phase = "first";
      try {
        return answerOf(this);
      } finally {
        this.#phase = phase;
      }
    }

    /**
     * Decide whether the app hears an event.
     * @param {Event} event
     */
    #pass(event) {
      if (!this.#sent || !event.isTrusted) return true; // what we dispatch ourselves is not trusted
      const { type } = event;
      if (type === "loadend") underway.delete(this);
      const headers = type === "readystatechange" && super.readyState === 2;
      if (headers && this.#phase !== "held") this.#judge();
      if (this.#phase === "held" && type === "loadend") queueMicrotask(() => this.#arrived());
      if (this.#phase === "renew" && /^(error|timeout)$/.test(type)) {
        this.#phase = "asking";
        this.#failed?.(new TypeError(type));
      }
      if (this.#phase !== "again") return !this.#unseen;
      if (event.currentTarget === super.upload || type === "loadstart") return false;
      if (type === "readystatechange" && super.readyState === 1) return false;
      if (/^(error|timeout|abort|load)$/.test(type)) this.#finish(type);
      return true;
    }

    /** The headers of an answer are here: hold it back, or let it through. */
    #judge() {
      const answer = this.#answer();
      if (answer.status === 405 && this.#phase === "again" && !this.#asGet && this.#redirected) {
        this.#asGet = true; // after a 303 the guarded request was a GET; its router said so before a token was spent
        this.#phase = "held";
        return;
      }
      if (promptOf(answer)) {
        // the token is for where the redirect led
        if (answer.url && answer.url !== this.#sent?.url.replace(/#.*/, "")) this.#redirected = answer.url;
        if (this.#prompts < MAX_PROMPTS || this.#phase === "renew") {
          this.#phase = "held";
          return;
        }
        showProblem(LOOP, this.#opener);
      }
      if (this.#phase !== "renew") return;
      this.#phase = "again"; // answered otherwise: the app hears it as the answer to its request
      sentToken.delete(this);
      this.#renewed?.(answer);
    }

    #redirected = "";

    /** What was held back is here in full. */
    #arrived() {
      const answer = this.#answer();
      if (!promptOf(answer)) return this.#sendAgain(this.#token);
      this.#phase = "asking";
      this.#done?.();
      if (this.#renewed) return this.#renewed(answer);
      return void this.#ask(answer);
    }

    /** @param {Answer} refused */
    async #ask(refused) {
      const { signal } = this.#life;
      let outcome;
      try {
        outcome = await authorize(refused, {
          renew: () => new Promise((resolve, reject) => {
            this.#renewed = resolve;
            this.#failed = reject;
            this.#phase = "renew";
            this.#resend();
          }),
          caller: {
            authorization: new Headers(this.#sent?.headers).get("Authorization"),
            credentials: this.withCredentials ? "include" : "same-origin",
          },
          opener: this.#opener,
          signal,
          note: noteFor(refused, this.#prompts),
          asked: this.#asked,
        });
      } catch (error) {
        if (!signal.aborted) showProblem(problemFrom(error), this.#opener);
      }
      this.#renewed = this.#failed = null;
      if (signal.aborted || outcome?.response) return;
      if (!outcome || outcome.problem) {
        if (outcome?.problem) showProblem(outcome.problem, this.#opener);
        this.#cancel();
        return;
      }
      this.#asked = outcome.asked;
      this.#prompts += 1;
      announce(TEXTS.working);
      this.#done = working(this.#opener);
      this.#sendAgain(outcome.token ?? "");
    }

    /** @param {string} token */
    #sendAgain(token) {
      this.#token = token;
      this.#phase = "again";
      sentToken.add(this);
      this.#resend(token);
    }

    /** @param {string} [token] */
    #resend(token) {
      const { method, url, rest, headers, body } = /** @type {Sent} */ (this.#sent);
      super.open(this.#asGet ? "GET" : method, this.#redirected || url, true, ...rest);
      for (const [name, value] of headers) super.setRequestHeader(name, value);
      if (token) super.setRequestHeader("StepUp-Token", token);
      super.send(this.#asGet ? null : copyOf(body));
    }

    /**
     * The request with the token has ended.
     * @param {string} type of the event
     */
    #finish(type) {
      this.#done?.();
      if (sentToken.has(this) && (type === "load" ? isUnknown(this.#answer()) : type !== "abort")) {
        showProblem(UNKNOWN, this.#opener);
      }
    }

    /** End as an aborted request ends: by the app's abort(), or because the person cancelled. */
    #cancel() {
      this.#phase = "ending";
      this.#life.abort();
      super.abort();
      this.dispatchEvent(new Event("readystatechange"));
      for (const type of ["abort", "loadend"]) this.dispatchEvent(new ProgressEvent(type));
      if (this.#phase === "ending") this.#phase = "first"; // unless a listener has opened it anew
    }
  };
}
