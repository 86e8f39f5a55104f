import assert from "node:assert/strict";
import { test } from "node:test";

import { codeOf } from "../../static/src/codes.js";

test("a code is read as people have it", () => {
  for (const text of [
    "123456", " 123456 ", "123 456", "123-456", "123\u2013456", "123\u00a0456", "1 2 3 4 5 6", "\u200b123456\ufeff", "\u202a123456\u202c",
    "１２３４５６", "１２３－４５６", "123\t456\n", "123.456", "123·456", "١٢٣٤٥٦", "۱۲۳۴۵۶", "१२३४५६", "①②③④⑤⑥",
  ]) assert.equal(codeOf(text), "123456", JSON.stringify(text));
});

test("a code may have eight digits", () => {
  assert.equal(codeOf("1234 5678"), "12345678");
});

test("what has neither six nor eight digits is no code", () => {
  for (const text of ["", "12345", "1234567", "12345a", "abcdef", "123,456,7", "½23456", "-", "0x1234"]) {
    assert.equal(codeOf(text), null, JSON.stringify(text));
  }
});
