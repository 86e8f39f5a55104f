import assert from "node:assert/strict";
import { test } from "node:test";

import { fromBase64url, toBase64url } from "../../static/src/base64url.js";

test("what is encoded is decoded to the same bytes, as node does it", () => {
  for (let length = 0; length < 70; length += 1) {
    const bytes = Uint8Array.from({ length }, (_, at) => (at * 151 + length * 89) % 256);
    const text = toBase64url(bytes);
    assert.equal(text, Buffer.from(bytes).toString("base64url"));
    assert.deepEqual([...fromBase64url(text)], [...bytes]);
    assert.equal(toBase64url(bytes.buffer), text);
    assert.equal(toBase64url(new DataView(bytes.buffer)), text);
  }
});

test("anything else is refused", () => {
  for (const text of ["a", "abcde", "ab==", "a+b/", "a b", "é", "ab\n"]) assert.throws(() => fromBase64url(text), TypeError);
});
