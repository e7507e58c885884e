"""Reads from the ID token who signed in (OpenID Connect Core 2). Pure.

All claims are validated except the signature: the token comes directly from the token endpoint over TLS, which may
take its place (3.1.3.7, item 6).
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from authlib.oidc.core import CodeIDToken
from django.utils.translation import gettext_noop
from joserfc.errors import JoseError

from mailbox.errors import ProviderError
from mailbox.mime.charsets.decoding import storable

LEEWAY_SECONDS = 120


def identities(token: str, *, issuer: str, client_id: str, nonce: str, now: float) -> list[str]:
    """The person's addresses as the token states them, in lower case; [] when it states none.

    `now` in Unix seconds. Raises ProviderError when the token was issued by another provider, for another client or
    another sign-in, or has expired.
    """
    claims = _claims(token)
    if not _is_issuer(str(claims.get("iss", "")), issuer, str(claims.get("tid", ""))):
        raise ProviderError(gettext_noop("The provider's ID token was issued by somebody else."))
    options = {"aud": {"essential": True, "value": client_id}, "nonce": {"essential": bool(nonce), "value": nonce}}
    try:
        CodeIDToken(claims, {}, options, {"nonce": nonce, "client_id": client_id}).validate(int(now), LEEWAY_SECONDS)
    except (JoseError, ValueError, TypeError) as error:
        raise ProviderError(f"The provider's ID token does not fit: {error}") from error
    given = [claims.get(name) for name in ("email", "upn", "preferred_username")]
    if str(claims.get("email_verified")).lower() == "false":  # some providers write it as a string
        given[0] = None
    names = [storable(each).strip().lower() for each in given if isinstance(each, str) and "@" in each]
    return list(dict.fromkeys(names))


def _claims(token: str) -> dict[str, Any]:
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, RecursionError) as error:
        raise ProviderError(gettext_noop("The provider's ID token cannot be read.")) from error
    if not isinstance(claims, dict):
        raise ProviderError(gettext_noop("The provider's ID token cannot be read."))
    return claims


def _is_issuer(said: str, expected: str, tenant: str) -> bool:
    """Whether the token's issuer (`said`) is the expected one.

    In Microsoft's document for all tenants the issuer contains "{tenantid}"; a token has its own tenant's id there.
    """
    if "{tenantid}" in expected:
        return bool(re.fullmatch(r"[0-9a-fA-F-]{36}", tenant)) and said == expected.replace("{tenantid}", tenant)
    # Google uses both forms of its issuer (Google Identity, "OpenID Connect", validating an ID token).
    return said == expected or (expected == "https://accounts.google.com" and said == "accounts.google.com")
