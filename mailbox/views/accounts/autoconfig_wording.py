"""The results of a settings look-up in words: the source of each server, what was rejected and why, what was asked."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mailbox.autoconfig.servers import (
    Discovery,
    LookupOutcome,
    LookupStep,
    ServerRefusal,
    ServerSettings,
    SettingsSource,
)
from mailbox.presets import PRESETS, Preset

KINDS = {"imap": "IMAP", "smtp": "SMTP"}
SECURITY = {"tls": "TLS", "starttls": "STARTTLS"}

_SOURCES: dict[SettingsSource, Promise] = {
    SettingsSource.PRESET: gettext_lazy("known settings of %(said)s, whose domain %(where)s is"),
    SettingsSource.AUTOCONFIG: gettext_lazy("published by the domain itself at %(where)s (autoconfiguration)"),
    SettingsSource.SRV: gettext_lazy("published by the domain in DNS, as %(where)s"),
    SettingsSource.MX: gettext_lazy("known settings of %(said)s, which receives this domain's mail at %(where)s"),
    SettingsSource.GUESS: gettext_lazy("a guess: a server with a valid certificate answered at %(where)s"),
}
_FLAWS: dict[ServerRefusal, Promise] = {
    ServerRefusal.PLAIN: gettext_lazy(
        "%(where)s names %(kind)s at %(said)s without TLS. It is not taken: a password would go over the line in clear."
    ),
    ServerRefusal.STARTTLS: gettext_lazy(
        "%(where)s names %(kind)s at %(said)s with STARTTLS only. It is not taken: here IMAP is TLS from the first "
        "byte, usually on port 993. Ask the provider whether that is open, too."
    ),
    ServerRefusal.NOT_PUBLIC: gettext_lazy(
        "%(where)s names %(kind)s at %(said)s, which does not exist or is not on the public Internet. It is not taken."
    ),
    ServerRefusal.NONSENSE: gettext_lazy("%(where)s names %(kind)s at %(said)s, which is no server's address."),
}
_LOOKED: dict[SettingsSource, Promise] = {
    SettingsSource.PRESET: gettext_lazy("Provider of the domain %(where)s"),
    SettingsSource.AUTOCONFIG: gettext_lazy("Autoconfiguration at %(where)s"),
    SettingsSource.SRV: gettext_lazy("DNS record %(where)s"),
    SettingsSource.MX: gettext_lazy("Receiving server (MX) of %(where)s"),
    SettingsSource.GUESS: gettext_lazy("Usual name %(where)s"),
}
# Outcome -> (tone, word) of the badge.
_BADGES: dict[LookupOutcome, tuple[str, Promise]] = {
    LookupOutcome.FOUND: ("fine", gettext_lazy("found")),
    LookupOutcome.NOTHING: ("waiting", gettext_lazy("nothing there")),
    LookupOutcome.UNUSABLE: ("needs", gettext_lazy("not taken")),
    LookupOutcome.FAILED: ("waiting", gettext_lazy("no answer")),
    LookupOutcome.SKIPPED: ("waiting", gettext_lazy("time was over")),
}


@dataclass(frozen=True)
class FoundServer:
    """The server found for IMAP or SMTP, and its source."""

    kind: str
    server: ServerSettings | None
    source: str
    is_foreign: bool  # DNS without DNSSEC named a host outside of the domain (RFC 6186, 6)

    @property
    def label(self) -> str:
        return KINDS[self.kind]

    @property
    def security(self) -> str:
        """How it is secured, in words; "" when there is no server."""
        return SECURITY[self.server.security] if self.server else ""


@dataclass(frozen=True)
class SourceLine:
    """What one source answered. `said`: the server's own words, "" for none."""

    tone: str
    badge: str
    words: str
    said: str


@dataclass(frozen=True)
class FoundServers:
    """What the form says above its fields."""

    email: str
    servers: tuple[FoundServer, ...]
    refusals: tuple[str, ...]
    asked: tuple[SourceLine, ...]
    hint: str
    wants_token: bool

    @property
    def count(self) -> int:
        """How many of the two servers were found."""
        return sum(each.server is not None for each in self.servers)

    @property
    def tone(self) -> str:
        return "fine" if self.count == 2 else "needs"


def preset_of(found: Discovery) -> Preset | None:
    """The built-in provider that was found; None for any other."""
    return next((each for each in PRESETS if each.key == found.preset), None)


def told(email: str, found: Discovery) -> FoundServers:
    """The result of the look-up in words, for the form of an account with this address."""
    preset = preset_of(found)
    servers = [each for each in (found.imap, found.smtp) if each]
    return FoundServers(
        email=email,
        servers=tuple(_server(found, kind, email) for kind in KINDS),
        refusals=tuple(_refusal(each) for each in found.steps if each.outcome == LookupOutcome.UNUSABLE),
        asked=tuple(_asked(each) for each in found.steps),
        hint=str(preset.hint) if preset else "",
        wants_token=not preset and any(each.auth == "oauth" for each in servers),
    )


def _server(found: Discovery, kind: str, email: str) -> FoundServer:
    server, step = (found.imap if kind == "imap" else found.smtp), found.step_of(kind)
    if server is None or step is None:
        return FoundServer(kind, None, "", False)
    domain = email.rpartition("@")[2].lower()
    foreign = step.source == SettingsSource.SRV and not f".{server.host}".endswith(f".{domain}")
    words = str(_SOURCES[step.source]) % {"where": step.where, "said": step.said}
    return FoundServer(kind, server, words, foreign)


def _refusal(step: LookupStep) -> str:
    words = {"where": step.where, "said": step.said, "kind": KINDS.get(step.kind, "")}
    return str(_FLAWS[ServerRefusal(step.flaw)]) % words


def _asked(step: LookupStep) -> SourceLine:
    tone, badge = _BADGES[step.outcome]
    words = str(_LOOKED[step.source]) % {"where": step.where}
    said = _("it receives at %(hosts)s") % {"hosts": step.said} if _is_receiver(step) else step.said
    return SourceLine(tone, str(badge), words, said)


def _is_receiver(step: LookupStep) -> bool:
    return step.source == SettingsSource.MX and step.outcome == LookupOutcome.NOTHING and bool(step.said)


def initial_of(email: str, found: Discovery) -> dict[str, object]:
    """Initial values of the account form."""
    values: dict[str, object] = {"email": email, "imap_user": email, "smtp_user": email, "smtp_same": True}
    for kind, server in (("imap", found.imap), ("smtp", found.smtp)):
        if server:
            values |= {f"{kind}_host": server.host, f"{kind}_port": server.port, f"{kind}_user": server.user}
    if found.smtp:
        values["smtp_security"] = found.smtp.security
    values["smtp_same"] = values["imap_user"] == values["smtp_user"]
    return values
