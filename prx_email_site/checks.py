"""System checks (`manage.py check`) of the environment's variables, the keys and the data folder."""

from __future__ import annotations

import difflib
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import DatabaseError

from mailbox import credentials
from mailbox.accounts import stored_secrets
from prx_email_site import environment, launch
from prx_email_site.local_files import private_files

LEAST_TOKEN = 22  # characters: 128 bits in base64
ENVIRONMENT = "environment"  # the tag of the checks of variables and keys


def unknown_variables(**_: Any) -> list[CheckMessage]:
    """Warn of unknown variables: for a misspelt one, the default would be used silently."""
    known = environment.known()
    return [
        Warning(
            f"The variable {name} is set, and nothing reads it.",
            hint=_hint(name, known),
            id="prx_email_site.W001",
        )
        for name in environment.unknown()
    ]


def _hint(name: str, known: list[str]) -> str:
    alike = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"Did you mean {alike[0]}?" if alike else "docs/operations.md lists the variables; remove this one."


def no_proxy_before_an_open_address(**_: Any) -> list[CheckMessage]:
    """Warn of an address that is open in plain HTTP, as `make run` does, for those who start gunicorn otherwise."""
    try:
        address = launch.BindAddress.parse(environment.text("PRX_EMAIL_BIND", launch.DEFAULT_BIND))
    except launch.CannotStart as reason:
        return [Warning(str(reason), id="prx_email_site.W005")]
    if not launch.is_open_in_plain_http(address):
        return []
    words = f"PRX_EMAIL_BIND: {address} {launch.IN_PLAIN_HTTP}"
    return [Warning(words, hint=launch.PROXY_HINT, id="prx_email_site.W004")]


def metrics_token_is_long(**_: Any) -> list[CheckMessage]:
    """Warn of a short token: /metrics has no limit on failures, so only its length protects it from guessing."""
    if not settings.METRICS_TOKEN or len(settings.METRICS_TOKEN) >= LEAST_TOKEN:
        return []
    return [
        Warning(
            f"PRX_EMAIL_METRICS_TOKEN has {len(settings.METRICS_TOKEN)} characters: it can be guessed, as often as"
            " somebody likes.",
            hint='python3 -c "import secrets; print(secrets.token_urlsafe())" makes one.',
            id="prx_email_site.W006",
        )
    ]


def data_folder_is_private(**_: Any) -> list[CheckMessage]:
    """Warn if others may read the folder, the files directly in it (the database) or the keys.

    `prepare` checks the whole folder.
    """
    folders = (settings.DATA_DIR, settings.DATA_DIR / "keys")
    found = sorted({path for folder in folders for path in private_files.open_to_others(folder, depth=1)})
    if not found:
        return []
    more = f", as {len(found) - 1} more" if len(found) > 1 else ""
    return [
        Warning(
            f"Others on this machine may read {found[0]}{more}: all mail, and every session.",
            hint="Run manage.py prepare as the user that the site runs as, or chmod -R go= the data folder.",
            id="prx_email_site.W002",
        )
    ]


def encryption_keys(**_: Any) -> list[CheckMessage]:
    """Check that the encryption keys are valid and decrypt the stored secrets; else the first sync would fail."""
    if numbers := credentials.malformed_keys():
        which = ", ".join(map(str, numbers))
        return [
            Error(
                f"PRX_EMAIL_ENCRYPTION_KEYS: key {which} of {len(settings.ENCRYPTION_KEYS)} is no Fernet key.",
                hint="A key is 32 bytes in URL-safe base64, 44 characters. docs/operations.md says how one is made.",
                id="prx_email_site.E001",
            )
        ]
    try:
        closed, total = stored_secrets.unopened()
    except DatabaseError:
        return []  # the database is unavailable, or not migrated yet
    return [Warning(unopened_in_words(closed, total), hint=UNOPENED_HINT, id="prx_email_site.W003")] if closed else []


UNOPENED_HINT = "Put the former key back, behind the present one, or enter these secrets again in the browser."


def unopened_in_words(closed: int, total: int) -> str:
    """The warning that `closed` of `total` stored secrets cannot be decrypted."""
    return f"No key in PRX_EMAIL_ENCRYPTION_KEYS opens {closed} of the {total} stored secrets."
