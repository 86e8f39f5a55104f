import { knownAddress } from "./addresses.js";
import { cameAs, isUnknown, madeAnswer, problemFrom, promptOf } from "./answers.js";
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

/**
 * @typedef {object} Step what one `open()` has begun; the next one begins another
 * @property {Phase} phase
 * @property {string} method where redirects led, of what came there; so `url` and `headers`
 * @property {string} url
 * @property {any[]} rest of the arguments of open(): absent where they were, since undefined is not the same
 * @property {[string, string][]} headers
 * @property {number} prompts so far
 * @property {AbortController} life of the person's part
 * @property {any} [body]
 * @property {Element | null} [opener]
 * @property {string} [token]
 * @property {HTMLElement} [asked]
 * @property {() => void} [done] ends the opener's look of being at work
 * @property {{ resolve: (answer: Answer) => void, reject: (error: unknown) => void } | null} [renewal]
 */

const EVENTS = "readystatechange loadstart progress load error abort timeout loadend".split(" ");

/** Who started a request, where that is not the element with the focus. @type {WeakMap<XMLHttpRequest, Element>} */
export const openerOf = new WeakMap();
/** Requests that a token has left with, which was not refused. @type {WeakSet<XMLHttpRequest>} */
export const sentToken = new WeakSet();

/** What everything is read by: a property of the app's own, in a subclass or on an object, is for the app. */
const native = globalThis.XMLHttpRequest?.prototype;

/**
 * Read an XMLHttpRequest as an answer of fetch, as it came. Its body is read only where it is text.
 * @param {XMLHttpRequest} xhr
 * @returns {Answer}
 */
export function answerOf(xhr) {
  const read = (/** @type {keyof XMLHttpRequest} */ name) => Reflect.get(native, name, xhr);
  const headers = new Headers(); // of another origin only some can be read, and asking for others is reported
  for (const line of native.getAllResponseHeaders.call(xhr).split(/[\r\n]+/)) {
    const [name, value] = line.split(/:\s*(.*)/);
    if (name) headers.append(name, value);
  }
  const text = /^(text)?$/.test(read("responseType")) && read("readyState") === 4 ? read("responseText") : "";
  return madeAnswer(read("responseURL"), read("status"), headers, text);
}

/** Put a subclass that steps up in the place of `XMLHttpRequest`. */
export function installXHR() {
  const Native = window.XMLHttpRequest;
  const blank = new Native();
  try {
    native.abort.call(blank);
  } catch {
    return; // somebody has put objects of their own in its place, of which none can be derived
  }

  window.XMLHttpRequest = class XMLHttpRequest extends Native {
    /** @type {Step | null} null: not ours to step up */
    #step = null;
    #gate = (/** @type {Event} */ event) => this.#pass(event) || event.stopImmediatePropagation();

    constructor() {
      super();
      for (const type of EVENTS) super.addEventListener(type, this.#gate, true); // the first of its listeners
    }

    /**
     * @param {string} method
     * @param {string | URL} url
     * @param {any[]} rest
     */
    open(method, url, ...rest) {
      const before = this.#step;
      const own = (rest.length === 0 || rest[0]) && knownAddress(url);
      const life = new AbortController();
      this.#step = own ? { phase: "first", method, url: own, rest: rest.slice(1), headers: [], prompts: 0, life } : null;
      try {
        super.open.apply(this, /** @type {any} */ (arguments)); // as many as there are
      } catch (error) {
        this.#step = before; // no request of that kind: the one before goes on
        throw error;
      }
      sentToken.delete(this);
      before?.life.abort();
      before?.done?.();
    }

    /** Its listeners come after the gate. Before the app wants any there is none: they make other origins be asked first. */
    get upload() {
      const upload = super.upload;
      for (const type of EVENTS.slice(1)) upload.addEventListener(type, this.#gate, true); // a second time changes nothing
      return upload;
    }

    /** @param {string} name @param {string} value */
    setRequestHeader(name, value) {
      super.setRequestHeader.apply(this, /** @type {any} */ (arguments));
      this.#step?.headers.push([name, `${value}`]);
    }

    /** @param {any} [body] */
    send(body = null) {
      const step = this.#step;
      const copy = step && copyOf(body); // before its listeners hear of the start, and kept once the browser has taken it
      const opener = openerOf.get(this) ?? document.activeElement;
      super.send(body);
      if (!step) return;
      step.body = copy;
      step.opener = opener;
      sending(this);
    }

    abort() {
      if (this.#step && this.#unseen) this.#cancel(this.#step);
      else super.abort();
    }

    get #unseen() {
      return !/first|again/.test(this.#step?.phase ?? "first");
    }

    /** What the app reads an answer from: from one that has none, while its own is unseen. @returns {any} */
    get #shown() {
      if (!this.#unseen) return this;
      blank.responseType = super.responseType;
      return blank;
    }

    /** @param {keyof XMLHttpRequest} name */
    #read(name) {
      return Reflect.get(native, name, this.#shown);
    }

    get readyState() {
      if (!this.#unseen) return super.readyState;
      return this.#step?.phase === "ending" ? 4 : 1;
    }

    get status() {
      return this.#read("status");
    }

    get statusText() {
      return this.#read("statusText");
    }

    get responseURL() {
      return this.#read("responseURL");
    }

    get response() {
      return this.#read("response");
    }

    get responseText() {
      return this.#read("responseText");
    }

    get responseXML() {
      return this.#read("responseXML");
    }

    /** @param {[string]} name */
    getResponseHeader(...name) {
      return super.getResponseHeader.apply(this.#shown, name);
    }

    getAllResponseHeaders() {
      return super.getAllResponseHeaders.call(this.#shown);
    }

    /**
     * Decide whether the app hears an event.
     * @param {Event} event
     */
    #pass(event) {
      const step = this.#step;
      if (!step || !event.isTrusted) return true; // what we dispatch ourselves is not trusted
      const { type } = event;
      const state = type === "readystatechange" ? super.readyState : 0;
      if (type === "loadend") underway.delete(this);
      if (state === 2 && step.phase !== "held") this.#judge(step);
      if (step.phase === "held") {
        if (state === 4 && super.status === 0) { // the rest of it was lost: the request has failed, or its renewal
          step.phase = step.renewal ? "renew" : "first";
          step.done?.();
        }
        if (type === "loadend") queueMicrotask(() => this.#step === step && this.#arrived(step));
      }
      if (step.phase === "renew" && /^(error|timeout)$/.test(type)) {
        step.phase = "asking";
        step.renewal?.reject(new TypeError(type));
      }
      if (step.phase !== "again") return !this.#unseen;
      if (event.currentTarget === super.upload || type === "loadstart" || state === 1) return false;
      if (/^(error|timeout|abort|load)$/.test(type)) {
        step.done?.();
        if (sentToken.has(this) && (type === "load" ? isUnknown(answerOf(this)) : type !== "abort")) {
          showProblem(UNKNOWN, step.opener);
        }
      }
      return true;
    }

    /** The headers of an answer are here: hold it back, or let it through. @param {Step} step */
    #judge(step) {
      const answer = answerOf(this);
      if (promptOf(answer)) {
        sentToken.delete(this);
        Object.assign(step, cameAs(answer, step.method, step.headers), { url: answer.url }); // the hops before may have acted
        if (step.prompts < MAX_PROMPTS || step.phase === "renew") {
          step.phase = "held";
          return;
        }
        showProblem(LOOP, step.opener);
      }
      if (step.phase !== "renew") return;
      step.phase = "again"; // answered otherwise: the app hears it as the answer to its request
      step.renewal?.resolve(answer);
    }

    /** What was held back is here in full. @param {Step} step */
    #arrived(step) {
      const answer = answerOf(this);
      step.phase = "asking";
      step.done?.();
      if (step.renewal) step.renewal.resolve(answer);
      else this.#ask(step, answer);
    }

    /** @param {Step} step @param {Answer} refused */
    async #ask(step, refused) {
      const { opener, life: { signal } } = step;
      let outcome;
      try {
        outcome = await authorize(refused, {
          renew: () => new Promise((resolve, reject) => {
            step.renewal = { resolve, reject };
            step.phase = "renew";
            this.#resend(step);
          }),
          caller: {
            authorization: new Headers(step.headers).get("Authorization"),
            credentials: super.withCredentials ? "include" : "same-origin",
          },
          opener,
          signal,
          note: noteFor(refused, step.prompts),
          asked: step.asked,
        });
      } catch (error) {
        if (!signal.aborted) showProblem(problemFrom(error), opener);
      }
      step.renewal = null;
      if (signal.aborted || outcome?.response) return;
      if (!outcome || outcome.problem) {
        if (outcome?.problem) showProblem(outcome.problem, opener);
        this.#cancel(step);
        return;
      }
      step.asked = outcome.asked;
      step.prompts += 1;
      announce(TEXTS.working);
      step.done = working(opener);
      step.token = outcome.token;
      this.#sendAgain(step);
    }

    /** @param {Step} step */
    #sendAgain(step) {
      step.phase = "again";
      sentToken.add(this);
      this.#resend(step, step.token);
    }

    /** @param {Step} step @param {string} [token] */
    #resend({ method, url, rest, headers, body }, token) {
      super.open(method, url, true, ...rest);
      for (const [name, value] of headers) super.setRequestHeader(name, value);
      if (token) super.setRequestHeader("StepUp-Token", token);
      // to Zone.js each call of its own send is a task, and it has seen the first of this one
      const sendAnew = Reflect.get(native, "__zone_symbol__send") ?? super.send;
      sendAnew.call(this, copyOf(body));
    }

    /** End as an aborted request ends: by the app's abort(), or because the person cancelled. @param {Step} step */
    #cancel(step) {
      step.phase = "ending";
      step.life.abort();
      super.abort();
      super.dispatchEvent(new Event("readystatechange"));
      for (const type of ["abort", "loadend"]) super.dispatchEvent(new ProgressEvent(type));
      step.phase = "first";
    }
  };

  // found like the browser's own, by whoever goes through the properties to put others in their place
  const own = window.XMLHttpRequest.prototype;
  for (const name in native) if (Object.hasOwn(own, name)) Object.defineProperty(own, name, { enumerable: true });
}
