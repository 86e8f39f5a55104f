import { fromBase64url, toBase64url } from "./base64url.js";

/*
 * Options and credentials are read and written field by field (WebAuthn L3 §5.1): not every browser has
 * parseRequestOptionsFromJSON, and the credentials of some password managers throw on toJSON().
 */

/** @param {{ id: string, type: "public-key", transports?: AuthenticatorTransport[] }[] | undefined} list */
export const descriptors = (list) => list?.map((each) => ({ ...each, id: fromBase64url(each.id) }));

export function available() {
  if (!window.PublicKeyCredential || !navigator.credentials) throw new DOMException("", "NotSupportedError");
}

/** @param {PublicKeyCredential} credential */
export function common(credential) {
  const id = toBase64url(credential.rawId);
  return {
    id,
    rawId: id,
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: {}, // none was asked for
  };
}

/**
 * Have the person confirm with a key. Returns `AuthenticationResponseJSON`.
 * @param {any} options PublicKeyCredentialRequestOptionsJSON
 * @param {AbortSignal} signal
 */
export async function getCredential(options, signal) {
  available();
  const publicKey = {
    ...options,
    challenge: fromBase64url(options.challenge),
    allowCredentials: descriptors(options.allowCredentials),
  };
  const credential = /** @type {PublicKeyCredential | null} */ (await navigator.credentials.get({ publicKey, signal }));
  if (!credential) throw new DOMException("", "NotAllowedError");
  const response = /** @type {AuthenticatorAssertionResponse} */ (credential.response);
  const handle = response.userHandle?.byteLength ? toBase64url(response.userHandle) : undefined;
  return {
    ...common(credential),
    response: {
      clientDataJSON: toBase64url(response.clientDataJSON),
      authenticatorData: toBase64url(response.authenticatorData),
      signature: toBase64url(response.signature),
      userHandle: handle,
    },
  };
}
