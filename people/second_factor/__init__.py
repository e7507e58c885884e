"""The second factor: TOTP (RFC 6238), passkeys (W3C WebAuthn) and recovery codes, by django-allauth."""
