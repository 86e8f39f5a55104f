/*
 * stepup.js: when the server wants a fresh proof for a request, ask the person and repeat the request.
 *
 * What it covers: fetch(), htmx 4 and htmx 2, and every form, submit button or link that carries
 * data-stepup-purpose. It also runs the full page that a navigation meets. It needs no other library.
 *
 *   stepup.fetch(input, init)   like fetch; resolves with the final response, rejects with StepUpCancelled
 *   stepup:open, stepup:close   events on document, for apps that want to know
 *
 * A token lives in a variable between two requests and nowhere else: not in storage, URL or document.
 */
(() => {
  "use strict";
  if (window.stepup) return; // included twice

  const nativeFetch = window.fetch.bind(window);
  const MAX_PROMPTS = 2; // per request; a third would be a loop (RFC 9470 §5)
  const SENTENCES = {
    network: "The server could not be reached, so nothing has happened. Check your connection and try again.",
    answer: "The server gave an answer that this page does not understand. Reload the page and try again.",
    renewed: "The earlier question had expired, so here it is again. Please check it and confirm.",
    expired: "This question has expired and nothing has happened. Ask again when you are ready.",
    unmet: "The confirmation was not accepted for this action. Please check it and confirm once more.",
    noCode: "Type the six digits that your authenticator app shows now.",
    notAllowed: "Nothing was authorized. Try again, or use another way if you have one.",
    noWebAuthn: "This browser cannot use passkeys or hardware keys here. Update it, or use another browser.",
    cancelled: "Cancelled. Nothing has happened, and you can close this page.",
    chooseAgain: "Authorized. Now go back, choose the file again and send the form straight away.",
  };
  const NO_CONNECTION = { title: "No connection", detail: SENTENCES.network };
  const LOOP = {
    title: "This could not be authorized",
    detail: "You confirmed twice and it was still not accepted, so nothing has happened. Reload the page and start again; if it stays so, tell the people who run this site.",
  };

  /** The person closed the modal without proving themselves. */
  class StepUpCancelled extends Error {
    constructor() {
      super("The person cancelled the step-up.");
      this.name = "StepUpCancelled";
    }
  }

  /** A refusal to show, with its RFC 9457 problem. Status 0: no answer came. */
  class Refused extends Error {
    constructor(status, problem, retryAfter) {
      super(problem.detail ?? problem.title ?? SENTENCES.answer);
      Object.assign(this, { status, problem, retryAfter });
    }
  }

  const problemFrom = (error) => (error instanceof Refused ? error.problem : NO_CONNECTION);

  // ---- Reading answers -------------------------------------------------------------------------

  const sameOrigin = (url) => new URL(url, document.baseURI).origin === location.origin;

  /** The address of the prompt that a 401 carries, or null. Another origin's word does not count. */
  function promptUrl(response) {
    const prompt = response.status === 401 && response.headers.get("StepUp-Prompt");
    return prompt && sameOrigin(response.url) && sameOrigin(prompt) ? new URL(prompt, document.baseURI).href : null;
  }

  /** Whether the library refused, with or without a prompt. */
  const isRefusal = (response) => promptUrl(response) !== null || (response.headers.has("StepUp-Error") && sameOrigin(response.url));

  /** Make an element with properties and children; text is never taken for markup. */
  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  /** The way to enrol, if a problem carries one. */
  const enrolLink = ({ enroll_url: href }, className) =>
    href && sameOrigin(href) ? [make("a", { href, className }, "Add a factor")] : [];

  const parse = (html) => new DOMParser().parseFromString(html, "text/html");
  const isHtml = (response) => /\bhtml\b/i.test(response.headers.get("Content-Type") ?? "");

  /** Send a request of the library's own. Any failure becomes a Refused, except the caller's abort. */
  async function call(url, init) {
    let response;
    try {
      response = await nativeFetch(url, { credentials: "same-origin", cache: "no-store", ...init });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, NO_CONNECTION);
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({ detail: SENTENCES.answer }));
    throw new Refused(response.status, problem, Number(response.headers.get("Retry-After")) || 30);
  }

  /** Get the modal's fragment for a refused request: from its body if it is there, else from the prompt. */
  async function fragmentOf(refused) {
    const url = promptUrl(refused);
    let source = refused;
    let root = isHtml(refused) && parse(await refused.clone().text()).querySelector("[data-stepup-prompt]");
    if (!root) {
      source = await call(url, { headers: { "HX-Request": "true", Accept: "text/html" } });
      root = parse(await source.text()).querySelector("[data-stepup-prompt]");
    }
    if (!root) throw new Refused(source.status, { detail: SENTENCES.answer });
    // The two clocks may differ: count from the server's own time.
    const now = Date.parse(source.headers.get("Date") ?? "") || Date.now();
    return { url, root, lifetime: Date.parse(root.dataset.stepupExpires) - now };
  }

  // ---- The ceremony, on a fragment that stands in a dialog or in a page ---------------------------

  /** Say what a failed ceremony means to the person, and what to do next. */
  function sentenceFor(error) {
    if (error instanceof Refused) return error.message;
    if (error.name === "NotAllowedError") return SENTENCES.notAllowed; // cancelled, timed out, no such key: not told apart
    return /^(NotSupported|Security)Error$/.test(error.name) ? SENTENCES.noWebAuthn : SENTENCES.answer;
  }

  /**
   * Wire a prompt's fragment. `proved(token)` is called once after a passed ceremony (the token is undefined when
   * it went into a cookie), `gone(note)` when the prompt is no longer there. Returns a function that ends it.
   */
  function bindModal({ url, root, lifetime }, { cookie, proved, gone, cancel, note }) {
    const one = (name) => root.querySelector(`[data-stepup-${name}]`);
    const keys = [...root.querySelectorAll("[data-stepup-kind]")];
    const form = one("totp");
    const code = form?.querySelector("input[name=code]");
    const controls = [...keys, ...(form ? [form.querySelector("button")] : [])];
    const life = new AbortController(); // of what is under way
    const wired = new AbortController(); // of the buttons that outlive an expiry
    const timers = new Set();
    let idle = true;
    let blocked = false;

    const later = (milliseconds, task) => {
      if (milliseconds < 2 ** 31) timers.add(setTimeout(task, Math.max(0, milliseconds)));
    };
    const say = (text) => (one("status").textContent = text);
    const complain = (text, problem = {}) => one("error").replaceChildren(text, " ", ...enrolLink(problem, "stepup-link"));
    const post = async (path, body) => {
      const headers = { "Content-Type": "application/json", Accept: "application/json" };
      if (cookie) headers["StepUp-Deliver"] = "cookie";
      const init = { method: "POST", headers, body: JSON.stringify(body), signal: life.signal };
      return (await call(url + path, init)).json();
    };
    // aria-disabled and not disabled: a disabled button would lose the keyboard's focus.
    const enable = () => {
      root.setAttribute("aria-busy", String(!idle));
      for (const control of controls) control.setAttribute("aria-disabled", String(!idle || blocked));
    };

    async function attempt(waiting, prove) {
      if (!idle || blocked || life.signal.aborted) return;
      idle = false;
      enable();
      one("error").replaceChildren();
      code?.removeAttribute("aria-invalid");
      say(waiting);
      try {
        const { token } = await prove();
        life.signal.throwIfAborted();
        say("Authorized.");
        stop();
        proved(token);
      } catch (error) {
        if (life.signal.aborted) return;
        say("");
        if (error.status === 404) return gone(SENTENCES.renewed);
        complain(sentenceFor(error), error.problem);
        idle = true;
        if (error.status === 429) pauseFor(error.retryAfter);
        enable();
        return error;
      }
    }

    function pauseFor(seconds) {
      blocked = true;
      const wait = seconds < 90 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`;
      say(`You can try again in ${wait}.`);
      later(seconds * 1000, () => {
        blocked = false;
        enable();
        say("You can try again now.");
      });
    }

    const useKey = (kind) => async () => {
      if (!window.PublicKeyCredential?.parseRequestOptionsFromJSON) throw new DOMException("", "NotSupportedError");
      const options = await post("/webauthn/options", { kind });
      const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
      const credential = await navigator.credentials.get({ publicKey, signal: life.signal });
      say("Checking…");
      return post("/webauthn", credential.toJSON());
    };

    for (const button of keys) {
      const kind = button.dataset.stepupKind;
      const waiting = kind === "passkey" ? "Waiting for your passkey…" : "Waiting for your hardware key…";
      button.hidden = false;
      button.addEventListener("click", () => attempt(waiting, useKey(kind)), { signal: life.signal });
    }
    if (form) form.noValidate = true; // its own sentence is said below, and pasted spaces are forgiven
    form?.addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      const digits = code.value.replace(/\s/g, "");
      attempt("Checking…", () => {
        if (/^[0-9]{6}$/.test(digits)) return post("/totp", { code: digits });
        throw new Refused(400, { detail: SENTENCES.noCode });
      }).then((error) => {
        if (error?.status !== 400) return;
        code.setAttribute("aria-invalid", "true");
        code.focus();
        code.select();
      });
    }, { signal: wired.signal });
    if (one("or")) one("or").hidden = false;
    one("cancel").hidden = false;
    one("cancel").addEventListener("click", cancel, { signal: wired.signal });
    one("renew").addEventListener("click", () => gone(""), { signal: wired.signal });

    // WCAG 2.2.1: the end is announced, and the question can be renewed. Nothing renews itself unattended.
    later(lifetime, () => {
      life.abort();
      say("");
      complain(SENTENCES.expired);
      one("factors").hidden = true;
      one("renew").hidden = false;
      one("renew").focus();
    });
    if (note) later(100, () => say(note)); // a live region speaks only of what changes after it is there

    function stop() {
      for (const timer of timers) clearTimeout(timer);
      life.abort();
      wired.abort();
    }
    return stop;
  }

  /** Tell the server that the person will not answer. Best effort: the prompt expires anyway. */
  function withdraw(url) {
    const init = { method: "DELETE", keepalive: true, headers: { "Content-Type": "application/json" } };
    nativeFetch(url, init).catch(() => {});
  }

  // ---- The dialog --------------------------------------------------------------------------------

  let queue = Promise.resolve();

  /** Run tasks one after another: one dialog at a time, however many requests wait. */
  function inTurn(task) {
    const turn = queue.then(task);
    queue = turn.catch(() => {});
    return turn;
  }

  /** Give the focus back to the opener or, when the answer has replaced it, to what took its place. */
  function focusKeeper(opener) {
    const trail = [];
    for (let node = opener; node && node !== document.body; node = node.parentElement) trail.push(node);
    return () => {
      if (document.activeElement && document.activeElement !== document.body) return;
      const again = opener?.id && !opener.isConnected && document.getElementById(opener.id);
      const place = again || trail.find((node) => node.isConnected);
      if (!place) return;
      if (place !== opener && place !== again && !place.hasAttribute("tabindex")) place.tabIndex = -1;
      place.focus({ preventScroll: true });
    };
  }

  /** Open a modal dialog with `content`. `closed` is called once, whoever closes it. Returns the element. */
  function openDialog(content, opener, closed) {
    const dialog = make("dialog", { className: "stepup-dialog" }, content);
    const giveFocusBack = focusKeeper(opener);
    dialog.setAttribute("aria-labelledby", "stepup-title");
    dialog.setAttribute("aria-describedby", "stepup-description");
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      dialog.remove();
      closed();
      giveFocusBack();
    });
    dialog.showModal();
    return dialog;
  }

  const emit = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));

  /**
   * Ask the person about one refused request. `renew()` sends the request again without a token.
   * Resolves with {token} when proved, {response} when a renewed request was answered otherwise, null when cancelled.
   */
  function authorize(refused, { renew, cookie = false, opener, signal, note }) {
    return inTurn(async () => {
      if (signal?.aborted) return null;
      let fragment;
      try {
        fragment = await fragmentOf(refused);
      } catch (error) {
        if (error.status !== 404) throw error;
        const response = await renew(); // it expired while others were being answered
        if (!promptUrl(response)) return { response };
        fragment = await fragmentOf(response);
      }
      return new Promise((resolve) => {
        let outcome = null;
        let stop = () => {};
        const cancel = () => dialog.close();
        const settle = (result) => {
          outcome = result;
          dialog.close();
        };
        const show = (next, words) => {
          stop();
          fragment = next;
          dialog.replaceChildren(fragment.root);
          stop = bindModal(fragment, {
            cookie,
            note: words,
            cancel,
            proved: (token) => settle({ token }),
            gone: replace,
          });
          fragment.root.querySelector("[data-stepup-kind], input[name=code]").focus();
        };
        const replace = async (why) => {
          try {
            const response = await renew();
            if (!promptUrl(response)) return settle({ response });
            const next = await fragmentOf(response);
            if (dialog.open) show(next, why);
          } catch (error) {
            fragment.root.querySelector("[data-stepup-error]").textContent = problemFrom(error).detail;
            fragment.root.querySelector("[data-stepup-renew]").hidden = false;
          }
        };
        const dialog = openDialog(fragment.root, opener, () => {
          stop();
          signal?.removeEventListener("abort", cancel);
          if (!outcome) withdraw(fragment.url);
          emit("stepup:close", { prompt: fragment.url, outcome: outcome ? "answered" : "cancelled" });
          resolve(outcome);
        });
        signal?.addEventListener("abort", cancel);
        show(fragment, note);
        emit("stepup:open", { prompt: fragment.url, purpose: fragment.root.dataset.stepupFor });
      });
    });
  }

  /** Show a refusal that no proof can answer. `problem` is RFC 9457, or the library's own fragment. */
  function showProblem(problem, opener) {
    const content = problem instanceof Element ? problem : make("section", { className: "stepup-problem" },
      make("h2", { id: "stepup-title", className: "stepup-title" }, problem.title ?? "That did not work"),
      make("p", { id: "stepup-description" }, problem.detail ?? SENTENCES.answer),
      ...enrolLink(problem, "stepup-button stepup-primary"));
    return inTurn(() => new Promise((resolve) => {
      const close = make("button", { type: "button", className: "stepup-button stepup-quiet" }, "Close");
      const dialog = openDialog(content, opener, resolve);
      close.addEventListener("click", () => dialog.close());
      dialog.append(close);
      (content.querySelector("a") ?? close).focus();
    }));
  }

  /** Read what a refusing answer says. */
  async function problemOf(response) {
    const text = await response.clone().text();
    if (isHtml(response)) return parse(text).querySelector("[data-stepup-problem]") ?? {};
    try {
      return JSON.parse(text);
    } catch {
      return {};
    }
  }

  // ---- fetch -------------------------------------------------------------------------------------

  /**
   * Send a request, ask for proof if the server wants it, repeat it with the token. Returns {response, cancelled}.
   * The request is cloned before each sending, so that body and files arrive intact every time.
   */
  async function send(input, init, { through = nativeFetch, opener = document.activeElement, onPrompt } = {}) {
    const request = new Request(input, init);
    const attempt = async (token, from) => {
      let next = request.clone();
      if (from?.redirected) {
        // The token is for where the redirect led. The first hop may have acted already and is not repeated.
        const { headers, signal, credentials } = next;
        const body = /^(GET|HEAD)$/.test(next.method) ? undefined : await next.arrayBuffer();
        next = new Request(from.url, { method: next.method, headers, body, signal, credentials });
      }
      if (token) next.headers.set("StepUp-Token", token);
      const response = await through(next);
      // After a 303 the guarded request was a GET; its router says so before any token is spent.
      if (response.status !== 405 || !from?.redirected) return response;
      return through(new Request(from.url, { headers: token && { "StepUp-Token": token }, signal: request.signal }));
    };
    let response = await attempt();
    for (let prompts = 0; promptUrl(response); prompts += 1) {
      if (prompts === MAX_PROMPTS) {
        showProblem(LOOP, opener);
        break;
      }
      onPrompt?.();
      const refused = response;
      let outcome;
      try {
        outcome = await authorize(refused, {
          renew: () => attempt(undefined, refused),
          opener,
          signal: request.signal,
          note: prompts ? SENTENCES.unmet : "",
        });
      } catch (error) {
        request.signal.throwIfAborted();
        showProblem(problemFrom(error), opener);
        return { response, cancelled: true };
      }
      request.signal.throwIfAborted();
      if (!outcome) return { response, cancelled: true };
      response = outcome.response ?? (await attempt(outcome.token, refused));
    }
    return { response, cancelled: false };
  }

  const targetOf = (input) => (input instanceof Request ? input.url : input);

  window.fetch = async function fetch(input, init) {
    return sameOrigin(targetOf(input)) ? (await send(input, init)).response : nativeFetch(input, init);
  };

  window.stepup = Object.freeze({
    StepUpCancelled,
    async fetch(input, init) {
      if (!sameOrigin(targetOf(input))) return nativeFetch(input, init);
      const { response, cancelled } = await send(input, init);
      if (cancelled) throw new StepUpCancelled();
      return response;
    },
  });

  // ---- htmx 4: its requests go through fetch, which an extension may set ---------------------------

  const focusAfter = new WeakMap(); // by context (4) or event (2): the swap may replace the opener

  // One turn later: htmx enables again what hx-disable disabled only after this event.
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => setTimeout(() => focusAfter.get(ctx)?.()));

  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    const through = ctx.fetch ?? nativeFetch;
    const opener = ctx.request.submitter ?? ctx.sourceElement;
    ctx.fetch = async (url, init) => {
      if (!sameOrigin(url)) return through(url, init);
      const onPrompt = () => {
        clearTimeout(ctx.requestTimeout); // htmx gives up after a minute; a person may take longer
        focusAfter.set(ctx, focusKeeper(opener));
      };
      const { response } = await send(url, init, { through, opener, onPrompt });
      if (isRefusal(response) && !promptUrl(response)) showProblem(await problemOf(response), opener);
      return response;
    };
  });

  // htmx 4 would swap a 401 or 403 into the page.
  document.addEventListener("htmx:before:response", (event) => {
    if (isRefusal(event.detail.ctx.response.raw)) event.preventDefault();
  });

  // ---- htmx 2: its requests are XHRs; the answer is held back and the request issued anew ----------

  const promptsMet = new WeakMap(); // by triggering event: the same click, the same request
  const confirmed = new WeakSet(); // elements whose hx-confirm has been answered for this request

  document.addEventListener("htmx:confirm", (event) => {
    if (!confirmed.delete(event.detail.elt)) return;
    event.preventDefault();
    event.detail.issueRequest(true);
  });

  document.addEventListener("htmx:afterRequest", ({ detail: { requestConfig: config } }) => {
    focusAfter.get(config.triggeringEvent ?? config.elt)?.();
  });

  document.addEventListener("htmx:beforeOnLoad", async (event) => {
    const { xhr, target, requestConfig: config, etc } = event.detail;
    const response = {
      url: xhr.responseURL,
      status: xhr.status,
      headers: new Headers(["Content-Type", "Date", "StepUp-Prompt", "StepUp-Error"]
        .filter((name) => xhr.getResponseHeader(name) !== null)
        .map((name) => [name, xhr.getResponseHeader(name)])),
      text: async () => xhr.responseText,
      clone: () => response,
    };
    const key = config.triggeringEvent ?? config.elt;
    const prompts = promptsMet.get(key) ?? 0;
    promptsMet.delete(key);
    if (!isRefusal(response)) return;
    event.preventDefault();
    const opener = config.triggeringEvent?.submitter ?? config.elt;
    if (!promptUrl(response)) return void showProblem(await problemOf(response), opener);
    if (prompts === MAX_PROMPTS) return void showProblem(LOOP, opener);
    focusAfter.set(key, focusKeeper(opener));
    const again = (headers, met) => {
      promptsMet.set(key, met);
      confirmed.add(config.elt);
      window.htmx.ajax(config.verb, config.path, {
        source: config.elt, event: config.triggeringEvent, target, values: config.formData, headers,
        swap: etc.swapOverride, select: event.detail.select,
      });
    };
    try {
      let gone = false;
      const outcome = await authorize(response, {
        renew: async () => {
          gone = true; // an XHR cannot be awaited here: issue it anew, and its 401 opens the next prompt
          return new Response(null, { status: 204 });
        },
        opener,
        note: prompts ? SENTENCES.unmet : "",
      });
      if (gone) again({}, prompts);
      else if (outcome) again({ "StepUp-Token": outcome.token }, prompts + 1);
    } catch (error) {
      showProblem(problemFrom(error), opener);
    }
  });

  // ---- Plain forms and links: prove first, then let the browser do it natively ----------------------

  const PROBE = { headers: { Accept: "application/json" } };
  const busy = new WeakSet();
  const released = new WeakSet(); // on their second, native pass: nobody's handler runs twice

  for (const type of ["submit", "click"]) {
    window.addEventListener(type, (event) => {
      const element = type === "submit" ? event.target : event.target.closest?.("a");
      if (element && released.has(element)) event.stopImmediatePropagation();
    }, true);
  }

  const hasHtmx = (element) => [...(element?.attributes ?? [])].some(({ name }) => /^(data-)?hx-/.test(name));

  /** Build the request that the browser would send for this form, or null if fetch cannot. */
  function requestOf(form, submitter) {
    // By attribute: form.action and form.method are shadowed by fields of those names.
    const setting = (name) => submitter?.getAttribute(`form${name}`) ?? form.getAttribute(name);
    const url = new URL(setting("action") || document.URL, document.baseURI);
    const method = (setting("method") || "get").toLowerCase();
    const encoding = (setting("enctype") || "application/x-www-form-urlencoded").toLowerCase();
    if (url.origin !== location.origin || method === "dialog") return null;
    const data = new FormData(form, submitter);
    const asText = () => new URLSearchParams([...data].map(([name, value]) => [name, value.name ?? value]));
    if (method === "get") {
      url.search = asText();
      return new Request(url, PROBE);
    }
    if (encoding === "text/plain") return null; // no app reads it; the server's page will ask
    return new Request(url, { ...PROBE, method: "POST", body: encoding === "multipart/form-data" ? data : asText() });
  }

  /**
   * Probe with `request`, which the guard refuses before anything runs; have the proof put into a one-time cookie;
   * then `go()` natively, so that files, redirects and downloads behave as ever.
   */
  async function beforeNavigation(element, opener, request, go) {
    if (busy.has(element)) return;
    busy.add(element);
    opener.setAttribute("aria-busy", "true");
    opener.setAttribute("aria-disabled", "true"); // really disabled, a submitter would not send its name and value
    try {
      const probe = () => nativeFetch(request.clone());
      let response = await probe();
      const outcome = promptUrl(response) ? await authorize(response, { renew: probe, cookie: true, opener }) : { response };
      if (!outcome) return;
      response = outcome.response;
      if (response && isRefusal(response)) return void showProblem(await problemOf(response), opener);
      if (response && request.method !== "GET") return void (await showAnswer(response));
      released.add(element);
      go();
      released.delete(element);
      await new Promise((resolve) => setTimeout(resolve, 1000)); // the answer is on its way: a second click changes nothing
    } catch (error) {
      showProblem(problemFrom(error), opener);
    } finally {
      busy.delete(element);
      opener.removeAttribute("aria-busy");
      opener.removeAttribute("aria-disabled");
    }
  }

  /** Show what an unguarded action answered to the probe: it has run, so it must not be sent again. */
  async function showAnswer(response) {
    if (response.redirected) return location.assign(response.url);
    const text = await response.text();
    const page = parse(isHtml(response) ? text : "");
    if (!isHtml(response)) page.body.append(make("pre", {}, text));
    document.documentElement.replaceWith(document.adoptNode(page.documentElement));
    window.htmx?.process(document.body);
  }

  document.addEventListener("submit", (event) => {
    const { target: form, submitter } = event;
    const tagged = form.hasAttribute("data-stepup-purpose") || submitter?.hasAttribute("data-stepup-purpose");
    if (!tagged || event.defaultPrevented || hasHtmx(form) || hasHtmx(submitter)) return;
    const request = requestOf(form, submitter);
    if (!request) return;
    event.preventDefault();
    beforeNavigation(form, submitter ?? form, request, () => {
      form.requestSubmit(submitter?.form === form ? submitter : null); // the page may have changed meanwhile
    });
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href][data-stepup-purpose]");
    const plain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!link || !plain || event.defaultPrevented || hasHtmx(link) || !sameOrigin(link.href)) return;
    event.preventDefault();
    beforeNavigation(link, link, new Request(link.href, PROBE), () => link.click());
  });

  // ---- The full page that a navigation meets --------------------------------------------------------

  function bindPage(page) {
    const root = page.querySelector("[data-stepup-prompt]");
    const { stepupMethod: method, stepupUrl: target, stepupFilesLost: filesLost } = page.dataset;
    const url = new URL(root.dataset.stepupPrompt, document.baseURI).href;
    const say = (text) => (root.querySelector("[data-stepup-status]").textContent = text);
    const repeat = () => {
      if (method === "GET") location.replace(target);
      else HTMLFormElement.prototype.submit.call(page.querySelector("[data-stepup-repeat]"));
    };
    const left = Date.parse(root.dataset.stepupExpires) - Date.now();
    const back = () => (history.length > 1 ? history.back() : say(SENTENCES.cancelled));
    // Born expired means that this clock is wrong; the server's answers will tell then.
    bindModal({ url, root, lifetime: left > 0 ? left : Infinity }, {
      cookie: true,
      cancel: () => {
        withdraw(url);
        back();
      },
      proved: () => {
        window.addEventListener("pageshow", ({ persisted }) => persisted && location.reload()); // come back to: spent
        if (filesLost === undefined) {
          say("Authorized. Continuing…");
          repeat();
        } else {
          const button = make("button", { type: "button", className: "stepup-button stepup-primary" }, "Go back");
          page.querySelector(".stepup-note").hidden = true;
          root.querySelector("[data-stepup-factors]").hidden = true;
          root.querySelector("[data-stepup-cancel]").replaceWith(button);
          say(SENTENCES.chooseAgain);
          button.addEventListener("click", back);
          button.focus();
        }
      },
      gone: () => (filesLost === undefined ? repeat() : back()),
    });
  }

  function onReady() {
    const page = document.querySelector("[data-stepup-page]");
    if (page) bindPage(page);
    for (const button of document.querySelectorAll("[data-stepup-back]")) {
      button.hidden = history.length < 2;
      button.addEventListener("click", () => history.back());
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", onReady);
  else onReady();
})();
