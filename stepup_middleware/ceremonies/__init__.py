"""The two ceremonies, WebAuthn and TOTP, as pure begin/finish functions."""
