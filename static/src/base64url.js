/**
 * The bytes of a buffer, or of what a view shows of one. They are not copied.
 * @param {any} data an ArrayBuffer, or a view, which alone has a buffer and an offset
 */
export const bytesOf = (data) => new Uint8Array(data.buffer ?? data, data.byteOffset, data.byteLength);

/**
 * Encode bytes (RFC 4648 §5, without padding).
 * @param {ArrayBuffer | ArrayBufferView} bytes at most some thousand
 */
export function toBase64url(bytes) {
  return btoa(String.fromCharCode(...bytesOf(bytes))).replace(/\+/g, "-").replace(/[/]/g, "_").replace(/=+$/, "");
}

/**
 * Decode base64url. Throws for anything else.
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function fromBase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) throw new TypeError("not base64url");
  return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));
}
