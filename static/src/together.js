/*
 * Several requests of one purpose that wait at the same time are asked about as one question. It imports nothing: what it
 * works with is handed over by stepup.js, which loads it where `stepup.configure({ batch: true })` says so.
 */

/**
 * @typedef {import("./dialog.js").Options} Options
 * @typedef {import("./dialog.js").Outcome} Outcome
 * @typedef {import("./answers.js").Answer} Answer
 * @typedef {object} Tools
 * @property {import("./dialog.js").Asker} ask
 * @property {<Result>(task: () => Promise<Result>) => Promise<Result>} inTurn
 * @property {Set<object>} underway
 * @property {typeof import("./answers.js").call} call
 * @property {typeof import("./answers.js").promptOf} promptOf
 * @property {typeof import("./answers.js").madeAnswer} madeAnswer
 * @property {typeof import("./elements.js").parse} parse
 *
 * @typedef {object} Entry one request that waits
 * @property {Answer} refused
 * @property {Options} options
 * @property {Promise<string>} key what it must have in common with others to be asked about with them
 * @property {(outcome: Outcome | null | Promise<Outcome | null>) => void} resolve
 */

const MOST_TOGETHER = 50;

/**
 * Return what asks about requests in the place of asking about each.
 * @param {Tools} tools
 * @returns {import("./dialog.js").Asker}
 */
export function askTogether({ ask, inTurn, underway, call, promptOf, madeAnswer, parse }) {
  /** @type {Entry[]} */
  let waiting = [];

  const addressOf = (/** @type {Entry} */ { refused }) => promptOf(refused) ?? "";
  const idOf = (/** @type {Entry} */ entry) => addressOf(entry).replace(/^.*[/]/, "");
  const batches = (/** @type {Entry} */ entry) => addressOf(entry).replace(/prompts[/][^/]*$/, "batches");
  const alone = (/** @type {Entry} */ entry) => entry.resolve(inTurn(() => ask(entry.refused, entry.options)));

  /** @param {Answer} refused @param {Options} options */
  async function keyOf(refused, options) {
    const text = await refused.clone().text();
    let purpose;
    try {
      purpose = JSON.parse(text).purpose?.id;
    } catch {
      purpose = parse(text).querySelector("[data-stepup-for]")?.getAttribute("data-stepup-for");
    }
    return purpose ? JSON.stringify([purpose, (promptOf(refused) ?? "").replace(/[^/]*$/, ""), options.caller]) : "";
  }

  /** Resolves once what was sent in the last second is answered. */
  async function answered() {
    do await new Promise((resolve) => setTimeout(resolve, 10));
    while (underway.size > 0);
  }

  /**
   * Ask about several as one question; each is resolved with what came of it.
   * @param {Entry[]} group
   */
  async function askAbout(group) {
    let open = group; // those that the question is about
    let last = Promise.resolve();
    const all = new AbortController();
    const [{ options: { caller, opener } }] = group;
    /** @param {Entry[]} entries @param {string} path @param {HeadersInit} [headers] */
    const post = (entries, path, headers) => call(batches(group[0]) + path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify({ prompts: entries.map(idOf) }),
    }, caller);
    const cancel = (/** @type {Entry[]} */ entries) => post(entries, "/cancel").catch(() => {});
    /** Take those out that the app has aborted. */
    const unaborted = () => {
      for (const entry of open) if (entry.options.signal?.aborted) entry.resolve(null);
      open = open.filter((entry) => !entry.options.signal?.aborted);
    };
    /** The question about those that are open now; what the server finds over is asked about by itself. */
    const list = async () => {
      unaborted();
      if (open.length === 0) return madeAnswer(batches(group[0]), 0, new Headers());
      const source = await post(open, "", { Accept: "text/html", "HX-Request": "true" });
      const text = await source.text();
      const shown = new Set([...parse(text).querySelectorAll("[data-stepup-item]")].map((each) => each.getAttribute("data-stepup-item")));
      for (const entry of open) if (!shown.has(idOf(entry))) alone(entry);
      open = open.filter((entry) => shown.has(idOf(entry)));
      return madeAnswer(batches(group[0]), 401, source.headers, text);
    };
    /** Ask anew about all that are open: each request is sent again without a token. */
    const renew = async () => {
      unaborted();
      await cancel(open);
      const answers = await Promise.all(open.map(({ options }) => options.renew()));
      open = open.filter((entry, at) => {
        if (promptOf(answers[at])) entry.refused = answers[at];
        else entry.resolve({ response: answers[at] });
        return promptOf(answers[at]);
      });
      return list();
    };
    const leave = (/** @type {string} */ id) => {
      const left = last.then(async () => {
        const gone = open.filter((entry) => idOf(entry) === id);
        if (gone.length < open.length) {
          open = open.filter((entry) => !gone.includes(entry));
          for (const entry of gone) entry.resolve(null);
          await cancel(gone);
        }
        return list();
      });
      last = left.then(() => {}, () => {});
      return left;
    };
    for (const entry of group) {
      entry.options.signal?.addEventListener("abort", () => {
        cancel([entry]);
        if (open.every(({ options }) => options.signal?.aborted)) all.abort();
      });
    }
    let outcome;
    try {
      const note = group.map(({ options }) => options.note).find(Boolean);
      outcome = await ask(await list(), { renew, leave, caller, opener, note, signal: all.signal });
    } catch {
      for (const entry of open) alone(entry); // the server does not make one question of them
      return;
    }
    const tokens = new Map(outcome?.tokens?.map(({ prompt, token }) => [prompt, token]));
    open.forEach((entry, at) => {
      const token = tokens.get(idOf(entry));
      if (token) entry.resolve({ token, asked: partOf(outcome?.asked, idOf(entry)) });
      else if (outcome?.tokens) alone(entry); // it fell out while the others were confirmed
      else entry.resolve(at === 0 ? outcome : null);
    });
  }

  return (refused, options) => new Promise((resolve) => {
    /** @type {Entry} */
    const entry = { refused, options, resolve, key: keyOf(refused, options) };
    waiting.push(entry);
    inTurn(async () => {
      if (!waiting.includes(entry)) return; // it was a part of a question before
      await answered();
      const now = [...waiting];
      const keys = new Map(await Promise.all(now.map(async (each) => /** @type {const} */ ([each, await each.key]))));
      const own = keys.get(entry);
      const group = own ? now.filter((each) => keys.get(each) === own).slice(0, MOST_TOGETHER) : [entry];
      waiting = waiting.filter((each) => !group.includes(each));
      if (group.length > 1) await askAbout(group);
      else {
        const asked = ask(refused, options);
        resolve(asked);
        await asked;
      }
    });
  });
}

/**
 * What was shown of one of several requests, to be compared with what it is asked about next.
 * @param {HTMLElement | undefined} root
 * @param {string} id
 */
function partOf(root, id) {
  const item = [...(root?.querySelectorAll("[data-stepup-item]") ?? [])].find((each) => each.getAttribute("data-stepup-item") === id);
  const part = root?.cloneNode(false);
  if (!(part instanceof HTMLElement) || !item) return undefined;
  part.append(item.cloneNode(true));
  return part;
}
