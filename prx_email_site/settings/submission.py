"""Settings of SMTP submission (docs/submission.md). It is off until an address to listen on is given."""

from __future__ import annotations

from pathlib import Path

from api.submission.configuration import Configuration
from prx_email_site import environment as env
from prx_email_site.launch import BindAddress, CannotStart


def _address(name: str) -> tuple[str, int] | None:
    text = env.text(name)
    if not text:
        return None
    try:
        address = BindAddress.parse(text)
    except CannotStart:
        raise env.SettingError(f"{name} must be HOST:PORT, such as 127.0.0.1:587, not {text!r}.") from None
    return address.host, address.port


def submission(hostname: str) -> Configuration:
    """The configuration. Raises SettingError if it is to listen without a certificate, as tokens must be encrypted."""
    found = Configuration(
        starttls=_address("PRX_EMAIL_SUBMISSION_BIND"),
        tls=_address("PRX_EMAIL_SUBMISSION_TLS_BIND"),
        certificate=Path(env.text("PRX_EMAIL_SUBMISSION_CERTIFICATE")),
        key=Path(env.text("PRX_EMAIL_SUBMISSION_KEY") or env.text("PRX_EMAIL_SUBMISSION_CERTIFICATE")),
        max_bytes=env.integer("PRX_EMAIL_SUBMISSION_MAX_BYTES", 0),
        hostname=hostname,
    )
    if (found.starttls or found.tls) and not env.text("PRX_EMAIL_SUBMISSION_CERTIFICATE"):
        raise env.SettingError("Set PRX_EMAIL_SUBMISSION_CERTIFICATE: SMTP submission speaks TLS only.")
    return found
