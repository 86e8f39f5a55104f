import { bytesOf } from "./base64url.js";

/**
 * Copy a body that the app may change while the person is asked.
 * @param {any} body
 */
export function copyOf(body) {
  if (body instanceof FormData) {
    const copy = new FormData();
    for (const [name, value] of body) copy.append(name, value);
    return copy;
  }
  if (body instanceof URLSearchParams) return new URLSearchParams(body);
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return bytesOf(body).slice();
  return body instanceof Document ? body.cloneNode(true) : body;
}
