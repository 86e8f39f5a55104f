import { originOf } from "./addresses.js";

/*
 * As whom the library's own calls are made: as the request that was refused was, by its cookies or its Authorization,
 * and with the headers that the app configures. They go to where the refusal came from, and nowhere else.
 */

/**
 * @typedef {{ authorization: string | null, credentials: RequestCredentials }} Caller
 * @typedef {Record<string, string>} Configured
 */

/** @type {Configured | (() => Configured | Promise<Configured>)} */
let configured = {};

/** @param {Configured | (() => Configured | Promise<Configured>)} headers */
export function setHeaders(headers) {
  if (typeof headers !== "function") new Headers(headers); // throws for what is none
  configured = headers;
}

/**
 * Complete a request of the library's own.
 * @param {string} url
 * @param {RequestInit} init
 * @param {Caller} [caller] none: nothing was refused before
 * @returns {Promise<RequestInit>}
 */
export async function asCaller(url, init, caller) {
  const headers = new Headers(init.headers);
  if (caller?.authorization) headers.set("Authorization", caller.authorization);
  new Headers(typeof configured === "function" ? await configured() : configured).forEach((value, name) => headers.set(name, value));
  const elsewhere = originOf(url) !== location.origin && !headers.has("Authorization");
  // a redirect would take the headers along, to wherever it leads
  return { cache: "no-store", redirect: "manual", credentials: caller?.credentials ?? (elsewhere ? "include" : "same-origin"), ...init, headers };
}
