"""The large providers: their servers, how to sign in there, and which of them store sent mail themselves. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words


@dataclass(frozen=True)
class Preset:
    """One provider; the account form is filled from it."""

    key: str
    name: str
    imap_host: str
    imap_port: int
    smtp_host: str
    smtp_port: int
    smtp_security: str
    auth: str  # "password" or "oauth": what the form offers first
    hint: Words


PRESETS = (
    Preset(
        "gmail", "Gmail", "imap.gmail.com", 993, "smtp.gmail.com", 465, "tls", "password",
        _("Use an app password (Google account, Security, 2-Step Verification, App passwords) or an OAuth access "
        "token."),
    ),
    Preset(
        "outlook", "Outlook / Office 365", "outlook.office365.com", 993, "smtp.office365.com", 587, "starttls", "oauth",
        _("Microsoft accepts only OAuth (XOAUTH2): paste an access token."),
    ),
    Preset(
        "yahoo", "Yahoo", "imap.mail.yahoo.com", 993, "smtp.mail.yahoo.com", 465, "tls", "password",
        _("Use an app password (Account security, Generate app password)."),
    ),
    Preset(
        "fastmail", "Fastmail", "imap.fastmail.com", 993, "smtp.fastmail.com", 465, "tls", "password",
        _("Use an app password (Settings, Privacy & Security, Manage app passwords)."),
    ),
    Preset(
        "protonmail", "ProtonMail Bridge", "127.0.0.1", 1143, "127.0.0.1", 1025, "starttls", "password",
        _("Set the Bridge's IMAP connection to SSL, export its certificate and paste it below. The password is the one "
        "the Bridge shows; its SMTP port is on the same page (1025 unless changed)."),
    ),
)  # fmt: skip


# Submission servers that put sent mail into the Sent folder themselves: a copy of ours would be a second one.
_KEEPING_COPIES = frozenset({"smtp.gmail.com", "smtp.googlemail.com", "smtp.office365.com", "smtp-mail.outlook.com"})


def keeps_sent_copy(smtp_host: str) -> bool:
    """Whether this submission server puts sent mail into the account's Sent folder itself."""
    return smtp_host.strip().lower().rstrip(".") in _KEEPING_COPIES
