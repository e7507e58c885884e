"""Advice for a failed connection, found by the words of the error. Pure: text in, a sentence out."""

from __future__ import annotations

import re
from enum import StrEnum

from django.utils.translation import gettext, gettext_noop

# The first pattern that matches decides; they match texts of our own errors, OpenSSL, the resolver and servers.
_RULES: tuple[tuple[str, str], ...] = (
    (
        r"PRX_EMAIL_ENCRYPTION_KEYS",
        gettext_noop("Put the former encryption key back into the settings, or sign in again with the password."),
    ),
    (
        r"own client id or secret",
        gettext_noop(
            "The fault is not this account's. An administrator enters a new client secret under “Sign-in providers”; "
            "the accounts then go on by themselves."
        ),
    ),
    (
        r"host ?name mismatch|certificate is not valid for|doesn't match",
        gettext_noop("The certificate belongs to another host name. Write the host exactly as the provider names it."),
    ),
    (
        r"certificate has expired",
        gettext_noop(
            "The server's certificate has run out. Its operator must renew it; nothing can be done from here."
        ),
    ),
    (
        r"certificate|self.signed|unable to get local issuer",
        gettext_noop(
            "For a private server or a bridge, paste the certificate of its authority under “Extra CA certificate”. "
            "For a public provider, check the host: something may stand between."
        ),
    ),
    (
        r"host name .{0,300} was not found|name or service not known|getaddrinfo|no address associated|name resolution|"
        r"nodename",
        gettext_noop("Check the host for typing mistakes; the provider's help page names it."),
    ),
    (
        r"does not speak TLS|wrong.version|SSL: |record layer|STARTTLS",
        gettext_noop("Check port and security together: IMAP is TLS on 993; SMTP is TLS on 465 and STARTTLS on 587."),
    ),
    (
        r"refused the connection|connection refused",
        gettext_noop("Nothing listens on that port. IMAP is usually 993; SMTP is 465 (TLS) or 587 (STARTTLS)."),
    ),
    (
        r"asks to wait|throttl|too many|try again later|temporar|unavailable|\b4\d\d\b",
        gettext_noop("The server is there and asks to wait. It is asked again by itself; test again in some minutes."),
    ),
    (
        r"AUTHENTICATIONFAILED|authentication fail|authentication unsuccessful|refused the sign-in|invalid credentials|"
        r"login (fail|denied)|logon|username and password|password|\b53[45]\b|EXPIRED|invalid.token|XOAUTH2",
        gettext_noop(
            "Check the user name, and enter the password again. Gmail, Yahoo and Fastmail want an app password; an "
            "OAuth token is good for about an hour and must then be renewed."
        ),
    ),
    (
        r"did not answer in time|timed? ?out|fell silent",
        gettext_noop("Check host and port; a firewall that drops packets looks just like this. Then test again."),
    ),
    (
        r"could not be reached|unreachable|no route|network",
        gettext_noop("Check host and port, and whether this machine may connect to the outside."),
    ),
)
_KEY, _WAIT, _SIGN_IN = (_RULES[index][1] for index in (0, 8, 9))
_OF_SERVERS = {_WAIT, _SIGN_IN}
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), sentence) for pattern, sentence in _RULES)
_OTHERWISE = gettext_noop("Read the server's words; its provider's help page usually explains them. Then test again.")


# The account's settings are wrong, so waiting does not help. The pattern is used in database queries, too.
ABOUT_SETTINGS = r"certificate|mismatch|was not found|does not speak TLS|wrong.version"
_SETTINGS = re.compile(ABOUT_SETTINGS, re.IGNORECASE)


def is_about_settings(said: str) -> bool:
    """Whether the error means that the account's settings are wrong, so that waiting does not help."""
    return bool(_SETTINGS.search(said))


ABOUT_THE_PORT = r"refused the connection|connection refused"
_PORT = re.compile(ABOUT_THE_PORT, re.IGNORECASE)


def waiting_is_no_use(said: str, *, has_worked: bool) -> bool:
    """Whether a person should know at the first failure: the settings are wrong, or the port never answered."""
    return is_about_settings(said) or (not has_worked and bool(_PORT.search(said)))


class FailureCode(StrEnum):
    """The kind of failure that a connection test met, whatever words the server used."""

    KEY = "key"  # the stored secret cannot be decrypted
    SIGN_IN = "sign_in"  # the server refused the credentials
    THROTTLED = "throttled"  # it asks to wait
    NETWORK = "network"  # it could not be reached, did not speak TLS, or stopped answering
    PROVIDER = "provider"  # it refused for another reason
    UNEXPECTED = "unexpected"  # a bug of ours


def about(code: str, said: str) -> str:
    """Advice for a failure of this kind (a FailureCode). The words of the error are read only for network failures."""
    if code == FailureCode.NETWORK:
        found = (sentence for pattern, sentence in _COMPILED if sentence not in _OF_SERVERS and pattern.search(said))
        return gettext(next(found, _OTHERWISE))
    if code == FailureCode.UNEXPECTED:
        return gettext("This is a fault of the site itself: look into the workers' log, and test again.")
    known = {FailureCode.KEY.value: _KEY, FailureCode.SIGN_IN.value: _SIGN_IN, FailureCode.THROTTLED.value: _WAIT}
    return gettext(known.get(code, _OTHERWISE)) if code else what_to_do(said)


def what_to_do(said: str) -> str:
    """Advice in one sentence. `said`: the error's text with the server's own words."""
    return gettext(next((sentence for pattern, sentence in _COMPILED if pattern.search(said)), _OTHERWISE))
