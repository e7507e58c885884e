"""Enhanced status codes (RFC 3463) in words."""

from __future__ import annotations

import re

from django.utils.translation import gettext, gettext_noop

_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})")
# The codes of RFC 3463 3.2 to 3.8, and of the IANA registry, that occur in practice.
_WORDS = {
    "1.0": gettext_noop("Something is wrong with the address."),
    "1.1": gettext_noop("There is no such mailbox."),
    "1.2": gettext_noop("There is no such domain."),
    "1.3": gettext_noop("The address is written wrongly."),
    "1.6": gettext_noop("The mailbox has moved and left no address."),
    "1.10": gettext_noop("The domain takes no mail."),
    "2.0": gettext_noop("Something is wrong with the mailbox."),
    "2.1": gettext_noop("The mailbox is disabled."),
    "2.2": gettext_noop("The mailbox is full."),
    "2.3": gettext_noop("The mail is larger than the mailbox takes."),
    "3.1": gettext_noop("The server's disk is full."),
    "3.4": gettext_noop("The mail is too large for the server."),
    "4.1": gettext_noop("The recipient's server does not answer."),
    "4.2": gettext_noop("The connection to the recipient's server broke."),
    "4.3": gettext_noop("The recipient's domain cannot be looked up."),
    "4.4": gettext_noop("The mail cannot be routed."),
    "4.6": gettext_noop("The mail went round in a circle."),
    "4.7": gettext_noop("The mail was not delivered in time."),
    "5.2": gettext_noop("The server does not understand the sending one."),
    "5.3": gettext_noop("The mail has too many recipients."),
    "6.0": gettext_noop("The server does not take this kind of content."),
    "7.0": gettext_noop("The recipient's server refuses the mail by its rules."),
    "7.1": gettext_noop("The recipient's server refuses the mail by its rules."),
    "7.7": gettext_noop("The mail was changed on its way."),
    "7.20": gettext_noop("The mail has no valid DKIM signature."),
    "7.23": gettext_noop("The SPF check failed: this server may not send for the domain."),
    "7.25": gettext_noop("The sending server has no valid reverse name."),
    "7.26": gettext_noop("Neither SPF nor DKIM proves who sent the mail."),
}  # fmt: skip
_BY_SUBJECT = {
    "1": gettext_noop("Something is wrong with the address."),
    "2": gettext_noop("Something is wrong with the mailbox."),
    "3": gettext_noop("The recipient's server has a problem of its own."),
    "4": gettext_noop("The mail could not be passed on."),
    "5": gettext_noop("The servers do not understand each other."),
    "6": gettext_noop("The server does not take this kind of content."),
    "7": gettext_noop("The recipient's server refuses the mail by its rules."),
}


def status_words(code: str) -> str:
    """An enhanced status code (RFC 3463) as a sentence; "" for a success, an unknown code or no code."""
    match = _STATUS.fullmatch(code)
    if not match or match[1] == "2":
        return ""
    words = _WORDS.get(f"{match[2]}.{match[3]}") or _BY_SUBJECT.get(match[2], "")
    return gettext(words) if words else ""
