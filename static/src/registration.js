import { fromBase64url, toBase64url } from "./base64url.js";
import { available, common, descriptors } from "./webauthn.js";

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
