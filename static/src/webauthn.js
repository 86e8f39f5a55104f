import { fromBase64url, toBase64url } from "./base64url.js";

/*
 * Options and credentials are read and written field by field (WebAuthn L3 §5.1): not every browser has
 * parseRequestOptionsFromJSON, and the credentials of some password managers throw on toJSON().
 */

/** @param {{ id: string, type: "public-key", transports?: AuthenticatorTransport[] }[] | undefined} list */
const descriptors = (list) => list?.map((each) => ({ ...each, id: fromBase64url(each.id) }));

function available() {
  if (!window.PublicKeyCredential || !navigator.credentials) throw new DOMException("", "NotSupportedError");
}

/** @param {PublicKeyCredential} credential */
function common(credential) {
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

/**
 * Have a new key made. Returns `RegistrationResponseJSON`.
 * @param {any} options PublicKeyCredentialCreationOptionsJSON
 */
export async function createCredential(options) {
  available();
  const publicKey = {
    ...options,
    challenge: fromBase64url(options.challenge),
    user: { ...options.user, id: fromBase64url(options.user.id) },
    excludeCredentials: descriptors(options.excludeCredentials),
  };
  const credential = /** @type {PublicKeyCredential | null} */ (await navigator.credentials.create({ publicKey }));
  if (!credential) throw new DOMException("", "NotAllowedError");
  const response = /** @type {AuthenticatorAttestationResponse} */ (credential.response);
  return {
    ...common(credential),
    response: {
      clientDataJSON: toBase64url(response.clientDataJSON),
      attestationObject: toBase64url(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
  };
}

/**
 * Tell the browser that a passkey is gone, so that its owner is not offered it any more (WebAuthn L3 §5.1.10.1). Not every
 * browser can, and none says what it did.
 * @param {string} rpId
 * @param {string} credentialId
 */
export async function signalUnknown(rpId, credentialId) {
  await /** @type {any} */ (window.PublicKeyCredential)?.signalUnknownCredential?.({ rpId, credentialId })?.catch(() => {});
}

/**
 * Tell the browser under which account its passkeys are listed now (WebAuthn L3 §5.1.10.3).
 * @param {string} rpId
 * @param {string} userId
 * @param {string} name
 * @param {string} displayName
 */
export async function signalDetails(rpId, userId, name, displayName) {
  const details = { rpId, userId, name, displayName };
  await /** @type {any} */ (window.PublicKeyCredential)?.signalCurrentUserDetails?.(details)?.catch(() => {});
}
