import assert from "node:assert/strict";
import { test } from "node:test";

import { ownAddress } from "../../static/src/addresses.js";

const PAGE = "https://app.example/area/page?x=1";
const own = (text, page = PAGE) => ownAddress(text, page, new URL(page).origin);

test("an address of this origin is taken, absolute", () => {
  assert.equal(own("/stepup/prompts/a"), "https://app.example/stepup/prompts/a");
  assert.equal(own("next"), "https://app.example/area/next");
  assert.equal(own("?a=b"), "https://app.example/area/page?a=b");
  assert.equal(own("https://app.example:443/x"), "https://app.example/x");
});

test("any other address is none", () => {
  for (const text of [
    "javascript:alert(1)", "JaVa\tScript:alert(1)", " javascript:alert(1)", "data:text/html,x", "blob:https://app.example/1",
    "filesystem:https://app.example/1", "//evil.example/", "https://evil.example/", "http://app.example/", "\\\\evil.example/",
    "https://app.example.evil.example/", "https://app.example@evil.example/", "https://app.example:444/", "https://", "about:blank",
    null, undefined,
  ]) assert.equal(own(text), null, String(text));
});

test("a page without an origin has no own address", () => {
  assert.equal(ownAddress("data:text/html,x", "about:blank", "null"), null);
  assert.equal(ownAddress("javascript:1", "about:blank", "null"), null);
});

test("no scheme but http and https ever passes, whatever stands after it", () => {
  let seed = 1;
  const next = (limit) => (seed = (seed * 48271) % 2147483647) % limit;
  const bits = ["java", "script", ":", "//", "/", "\\", "\t", "\n", "app.example", "evil.example", "@", "#", "?", "http", "s", "blob", "data", "%00", " ", "."];
  for (let round = 0; round < 20000; round += 1) {
    const text = Array.from({ length: 1 + next(8) }, () => bits[next(bits.length)]).join("");
    const found = own(text);
    if (found !== null) assert.ok(found.startsWith("https://app.example/"), JSON.stringify(text));
  }
});
