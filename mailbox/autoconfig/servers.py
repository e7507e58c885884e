"""What is found of a domain's mail servers, as plain data, and what is known of providers by heart. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from mailbox.endpoints import host_problem
from mailbox.presets import PRESETS, Preset

MAX_USER = 320


class SettingsSource(StrEnum):
    """Where settings were looked for, in the order in which they are believed."""

    PRESET = "preset"  # the domain is a provider's own
    AUTOCONFIG = "autoconfig"  # Mozilla's autoconfiguration, published by the domain itself
    SRV = "srv"  # RFC 6186 and RFC 8314
    MX = "mx"  # the domain's mail is received by a provider that is known
    GUESS = "guess"  # a usual name, where a server with a good certificate answered


class LookupOutcome(StrEnum):
    FOUND = "found"
    NOTHING = "nothing"
    UNUSABLE = "unusable"  # a server is named, and our rules do not take it
    FAILED = "failed"  # whoever was asked did not answer, or made no sense
    SKIPPED = "skipped"  # the time for the whole look-up was over


class ServerRefusal(StrEnum):
    """Why a server that is named is not taken."""

    PLAIN = "plain"  # it is offered without TLS
    STARTTLS = "starttls"  # IMAP that begins in clear
    NOT_PUBLIC = "not_public"
    NONSENSE = "nonsense"  # no host name, or no port


@dataclass(frozen=True)
class ServerSettings:
    """A server that somebody names. `security`: "tls", "starttls" or "plain"; `auth`: "password" or "oauth"."""

    kind: str  # "imap" or "smtp"
    host: str
    port: int
    security: str
    user: str
    auth: str = "password"

    def flaw(self) -> ServerRefusal | None:
        """Why an account cannot have it: IMAP is TLS from the first byte, SMTP is TLS or STARTTLS."""
        if not self.host or len(self.host) > 253 or host_problem(self.host) or not 1 <= self.port <= 65535:
            return ServerRefusal.NONSENSE
        if self.security == "plain":
            return ServerRefusal.PLAIN
        return ServerRefusal.STARTTLS if self.kind == "imap" and self.security != "tls" else None


@dataclass(frozen=True)
class LookupStep:
    """One place that was asked. `where` names it; `said` are words of servers, or ours where no server spoke."""

    source: SettingsSource
    where: str
    outcome: LookupOutcome
    said: str = ""
    flaw: str = ""
    kind: str = ""


@dataclass
class Discovery:
    """All that came out. A server is kept with the source that named it first; `preset` is a Preset's key or ""."""

    imap: ServerSettings | None = None
    smtp: ServerSettings | None = None
    sources: dict[str, SettingsSource] = field(default_factory=dict)
    steps: list[LookupStep] = field(default_factory=list)
    preset: str = ""

    @property
    def is_complete(self) -> bool:
        return self.imap is not None and self.smtp is not None

    def lacks(self, kind: str) -> bool:
        return (self.imap if kind == "imap" else self.smtp) is None

    def step_of(self, kind: str) -> LookupStep | None:
        """Where the server that was taken comes from."""
        fits = (each for each in self.steps if each.outcome == LookupOutcome.FOUND and each.kind in ("", kind))
        return next((each for each in fits if each.source == self.sources.get(kind)), None)

    def add(self, server: ServerSettings, source: SettingsSource) -> None:
        if server.kind == "imap":
            self.imap = server
        else:
            self.smtp = server
        self.sources[server.kind] = source


def servers_of(preset: Preset, email: str) -> list[ServerSettings]:
    return [
        ServerSettings("imap", preset.imap_host, preset.imap_port, "tls", email, preset.auth),
        ServerSettings("smtp", preset.smtp_host, preset.smtp_port, preset.smtp_security, email, preset.auth),
    ]


def of_preset(preset: Preset, email: str, source: SettingsSource, where: str) -> Discovery:
    """Everything, from a provider that is known."""
    found = Discovery(preset=preset.key)
    take_preset(found, preset, email, source, where)
    return found


def take_preset(found: Discovery, preset: Preset, email: str, source: SettingsSource, where: str) -> None:
    for server in servers_of(preset, email):
        if found.lacks(server.kind):
            found.add(server, source)
    found.preset = found.preset or preset.key
    found.steps.append(LookupStep(source, where, LookupOutcome.FOUND, preset.name))


# A country's ending. Providers hold their name under these; what is not theirs is left out below.
_COUNTRY = r"(?:com|[a-z]{2}|com?\.[a-z]{2})"
_DOMAINS: tuple[tuple[str, str], ...] = (
    ("gmail", r"gmail\.com|googlemail\.com"),
    (
        "outlook",
        rf"(?:outlook|hotmail)\.{_COUNTRY}|live\.(?:com|co\.uk|com\.\w\w|at|be|ca|de|dk|fr|ie|it|nl|no|se)|msn\.com"
        r"|office365\.com|[a-z0-9-]+\.onmicrosoft\.com",
    ),
    ("yahoo", rf"(?!yahoo\.co\.jp$)yahoo\.{_COUNTRY}|ymail\.com|rocketmail\.com"),  # Japan's is another company
    ("fastmail", rf"fastmail\.(?:{_COUNTRY}|net|org)"),
    ("protonmail", r"proton\.me|protonmail\.(?:com|ch)|pm\.me"),
)
# Who receives a domain's mail (its MX), by the end of that host's name.
_RECEIVERS = (
    ("gmail", ("google.com", "googlemail.com")),
    ("outlook", ("mail.protection.outlook.com", "olc.protection.outlook.com", "mx.microsoft")),
    ("yahoo", ("yahoodns.net",)),
    ("fastmail", ("messagingengine.com",)),
    ("protonmail", ("protonmail.ch",)),
)


def _preset(key: str) -> Preset:
    return next(each for each in PRESETS if each.key == key)


def preset_of_domain(domain: str) -> Preset | None:
    """The provider whose own domain this is."""
    found = (key for key, pattern in _DOMAINS if re.fullmatch(pattern, domain.lower(), re.ASCII))
    key = next(found, None)
    return _preset(key) if key else None


def preset_of_receiver(host: str) -> Preset | None:
    """The provider that receives mail at this host."""
    name = host.lower().rstrip(".")
    for key, ends in _RECEIVERS:
        if any(name == end or name.endswith(f".{end}") for end in ends):
            return _preset(key)
    return None


def domain_of(email: str) -> str | None:
    """The domain as DNS has it (A-labels), or None when it is no name that could be looked up."""
    _local, _, domain = email.rpartition("@")
    try:
        name = domain.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = name.split(".")
    usual = all(re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", label) for label in labels)
    return name if usual and len(labels) > 1 and len(name) <= 253 and not labels[-1].isdigit() else None


def tidy_host(host: str) -> str:
    return host.strip().rstrip(".").lower()


def tidy_user(user: str, email: str) -> str:
    """The user name, or the address where what is named cannot be one."""
    user = user.strip()
    return user if 0 < len(user) <= MAX_USER and user.isprintable() else email


def best(servers: Sequence[ServerSettings]) -> ServerSettings | None:
    """The first that our rules take."""
    return next((each for each in servers if each.flaw() is None), None)


# --- As it is kept ----------------------------------------------------------------------------------------------
MAX_TEXT = 400


def to_json(found: Discovery) -> dict[str, Any]:
    """For a column of a row: texts that strangers wrote are cut, and hold nothing a database refuses."""
    return {
        "imap": _clean(asdict(found.imap)) if found.imap else None,
        "smtp": _clean(asdict(found.smtp)) if found.smtp else None,
        "sources": {kind: str(source) for kind, source in found.sources.items()},
        "steps": [_clean(asdict(each)) for each in found.steps],
        "preset": found.preset,
    }


def _clean(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _text(value) if isinstance(value, str) else value for name, value in values.items()}


def _text(value: str) -> str:
    return "".join(each if each.isprintable() else " " for each in value[:MAX_TEXT])


def from_json(kept: dict[str, Any]) -> Discovery:
    found = Discovery(preset=kept.get("preset", ""))
    for kind in ("imap", "smtp"):
        if kept.get(kind):
            found.add(ServerSettings(**kept[kind]), SettingsSource(kept["sources"][kind]))
    for each in kept.get("steps", []):
        named = each | {"source": SettingsSource(each["source"]), "outcome": LookupOutcome(each["outcome"])}
        found.steps.append(LookupStep(**named))
    return found
