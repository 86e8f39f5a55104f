import assert from "node:assert/strict";
import { test } from "node:test";

import { askTogether } from "../../static/src/together.js";

globalThis.HTMLElement ??= class {}; // what a browser has

const BASE = "https://app.example/stepup/";
const answer = (url, status, headers, text = "") => ({ url, status, headers, text: async () => text, clone: () => answer(url, status, headers, text) });
const refusal = (id, purpose) => answer("https://app.example/x", 401, new Headers({ "StepUp-Prompt": `${BASE}prompts/${id}` }), JSON.stringify({ purpose: { id: purpose } }));
const promptOf = ({ status, headers }) => (status === 401 ? headers.get("StepUp-Prompt") : null);
const items = (text) => text.split(",").filter(Boolean).map((id) => ({ getAttribute: () => id }));

/** A server and a person: prompts in `over` are not open, and the person answers a list as `decide` says. */
function world({ decide, over = new Set() }) {
  const asked = [];
  let queue = Promise.resolve();
  const tools = {
    underway: new Set(),
    promptOf,
    madeAnswer: answer,
    parse: (text) => ({ querySelectorAll: () => items(text), querySelector: () => null }),
    inTurn(task) {
      const turn = queue.then(task);
      queue = turn.catch(() => {});
      return turn;
    },
    async call(url, { body }) {
      const { prompts } = JSON.parse(body);
      if (url.endsWith("/cancel")) for (const id of prompts) over.add(id);
      const open = prompts.filter((id) => !over.has(id));
      if (open.length === 0) throw new Error("404");
      return { headers: new Headers({ "StepUp-Prompt": `${BASE}batches` }), text: async () => open.join(",") };
    },
    async ask(refused, options) {
      const url = promptOf(refused);
      if (!url.endsWith("/batches")) {
        asked.push([url.replace(/.*[/]/, "")]);
        return { token: `single ${url.replace(/.*[/]/, "")}` };
      }
      const list = (await refused.text()).split(",");
      asked.push(list);
      return decide(list, options);
    },
  };
  return { asked, join: askTogether(tools) };
}

const all = (list) => ({ tokens: list.map((prompt) => ({ prompt, token: `token ${prompt}` })) });
const options = (id) => ({ renew: async () => refusal(`${id}-anew`, "p") });
const outcomes = (join, requests) => Promise.all(requests.map(([id, purpose]) => join(refusal(id, purpose), options(id))));

test("requests of one purpose are one question, and each has its own token", async () => {
  const { asked, join } = world({ decide: all });
  const found = await outcomes(join, [["a", "p"], ["b", "q"], ["c", "p"], ["d", "q"], ["e", "r"]]);
  assert.deepEqual(asked, [["a", "c"], ["b", "d"], ["e"]]);
  assert.deepEqual(found.map(({ token }) => token), ["token a", "token b", "token c", "token d", "single e"]);
});

test("more than fifty are two questions", async () => {
  const { asked, join } = world({ decide: all });
  await outcomes(join, Array.from({ length: 53 }, (_, at) => [`n${at}`, "p"]));
  assert.deepEqual(asked.map((list) => list.length), [50, 3]);
});

test("what is left out is cancelled, and the rest has its tokens", async () => {
  const { join } = world({
    async decide(list, { leave }) {
      const left = (await (await leave("b")).text()).split(",");
      return all(left);
    },
  });
  const found = await outcomes(join, [["a", "p"], ["b", "p"], ["c", "p"]]);
  assert.deepEqual(found.map((each) => each?.token ?? null), ["token a", null, "token c"]);
});

test("what the server finds over, and what has no token in the end, is asked about by itself", async () => {
  const { asked, join } = world({ over: new Set(["b"]), decide: (list) => all(list.filter((id) => id !== "c")) });
  const found = await outcomes(join, [["a", "p"], ["b", "p"], ["c", "p"], ["d", "p"]]);
  assert.deepEqual(asked, [["a", "c", "d"], ["b"], ["c"]]);
  assert.deepEqual(found.map(({ token }) => token), ["token a", "single b", "single c", "token d"]);
});

test("a question that is renewed is about the prompts that were asked anew", async () => {
  const { join } = world({
    async decide(_list, { renew }) {
      return all((await (await renew()).text()).split(","));
    },
  });
  const found = await outcomes(join, [["a", "p"], ["b", "p"]]);
  assert.deepEqual(found.map(({ token }) => token), ["token a-anew", "token b-anew"]);
});

test("a cancelled question cancels every request of it, and a server that makes none of them asks about each", async () => {
  const cancelled = world({ decide: () => null });
  assert.deepEqual(await outcomes(cancelled.join, [["a", "p"], ["b", "p"]]), [null, null]);
  const refused = world({ decide: all, over: new Set(["a", "b"]) });
  const found = await outcomes(refused.join, [["a", "p"], ["b", "p"]]);
  assert.deepEqual(found.map(({ token }) => token), ["single a", "single b"]);
});

test("whatever is left out, over or without a token: each request ends once, with its own token or none", async () => {
  let seed = 7;
  const next = (limit) => (seed = (seed * 48271) % 2147483647) % limit;
  for (let round = 0; round < 40; round += 1) {
    const requests = Array.from({ length: 1 + next(12) }, (_, at) => [`r${round}n${at}`, "pqr"[next(3)]]);
    const over = new Set(requests.map(([id]) => id).filter(() => next(6) === 0));
    const left = new Set();
    const { join } = world({
      over,
      async decide(list, { leave }) {
        for (const id of list) {
          if (next(5) > 0 || list.length < 2) continue;
          left.add(id);
          list = (await (await leave(id)).text()).split(",");
        }
        return next(9) === 0 ? null : all(list.filter(() => next(5) > 0));
      },
    });
    const found = await outcomes(join, requests);
    requests.forEach(([id], at) => {
      const token = found[at]?.token ?? null;
      if (left.has(id)) assert.equal(token, null);
      else assert.ok([null, `token ${id}`, `single ${id}`].includes(token), `${id}: ${token}`);
    });
  }
});
