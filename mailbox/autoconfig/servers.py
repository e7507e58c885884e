"""The result of a look-up of mail servers, as plain data, and the domains of built-in providers. No I/O."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from mailbox.endpoints import host_problem
from mailbox.presets import PRESETS, Preset

MAX_USER = 320


class SettingsSource(StrEnum):
    """Where settings are looked for, in this order: an earlier source is preferred."""

    PRESET = "preset"  # the domain is one of a built-in provider
    AUTOCONFIG = "autoconfig"  # Mozilla's autoconfiguration, published by the domain itself
    SRV = "srv"  # RFC 6186 and RFC 8314
    MX = "mx"  # a built-in provider receives the domain's mail
    GUESS = "guess"  # a usual host name, where a server with a valid certificate answered


class LookupOutcome(StrEnum):
    """How one step of a look-up ended."""

    FOUND = "found"
    NOTHING = "nothing"
    UNUSABLE = "unusable"  # a server is named but refused (ServerRefusal)
    FAILED = "failed"  # no answer, or none that could be read
    SKIPPED = "skipped"  # not asked, as the time of the whole look-up was over


class ServerRefusal(StrEnum):
    """Why a server that a source names is refused."""

    PLAIN = "plain"  # without TLS
    STARTTLS = "starttls"  # IMAP with STARTTLS: it begins in clear
    NOT_PUBLIC = "not_public"
    NONSENSE = "nonsense"  # no valid host name or port


@dataclass(frozen=True)
class ServerSettings:
    """A server that a source names. `security`: "tls", "starttls" or "plain"; `auth`: "password" or "oauth"."""

    kind: str  # "imap" or "smtp"
    host: str
    port: int
    security: str
    user: str
    auth: str = "password"

    def flaw(self) -> ServerRefusal | None:
        """Why an account cannot use it, or None. IMAP must use implicit TLS, SMTP implicit TLS or STARTTLS."""
        if not self.host or len(self.host) > 253 or host_problem(self.host) or not 1 <= self.port <= 65535:
            return ServerRefusal.NONSENSE
        if self.security == "plain":
            return ServerRefusal.PLAIN
        return ServerRefusal.STARTTLS if self.kind == "imap" and self.security != "tls" else None


@dataclass(frozen=True)
class LookupStep:
    """One query of a look-up. `where`: the name or URL that was asked; `said`: the server's words, or ours."""

    source: SettingsSource
    where: str
    outcome: LookupOutcome
    said: str = ""
    flaw: str = ""
    kind: str = ""


@dataclass
class Discovery:
    """The result of a look-up. `sources`: the source of each server, by kind; `preset`: a Preset's key, or ""."""

    imap: ServerSettings | None = None
    smtp: ServerSettings | None = None
    sources: dict[str, SettingsSource] = field(default_factory=dict)
    steps: list[LookupStep] = field(default_factory=list)
    preset: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether both servers are found, so that no further source is asked."""
        return self.imap is not None and self.smtp is not None

    def lacks(self, kind: str) -> bool:
        """Whether no server of this kind ("imap" or "smtp") is found yet."""
        return (self.imap if kind == "imap" else self.smtp) is None

    def step_of(self, kind: str) -> LookupStep | None:
        """The step that found the server of this kind."""
        fits = (each for each in self.steps if each.outcome == LookupOutcome.FOUND and each.kind in ("", kind))
        return next((each for each in fits if each.source == self.sources.get(kind)), None)

    def add(self, server: ServerSettings, source: SettingsSource) -> None:
        """Set the server of its kind, and the source that named it."""
        if server.kind == "imap":
            self.imap = server
        else:
            self.smtp = server
        self.sources[server.kind] = source


def servers_of(preset: Preset, email: str) -> list[ServerSettings]:
    """The provider's IMAP and SMTP server, with the address as user name."""
    return [
        ServerSettings("imap", preset.imap_host, preset.imap_port, "tls", email, preset.auth),
        ServerSettings("smtp", preset.smtp_host, preset.smtp_port, preset.smtp_security, email, preset.auth),
    ]


def of_preset(preset: Preset, email: str, source: SettingsSource, where: str) -> Discovery:
    """The complete result for a built-in provider."""
    found = Discovery(preset=preset.key)
    take_preset(found, preset, email, source, where)
    return found


def take_preset(found: Discovery, preset: Preset, email: str, source: SettingsSource, where: str) -> None:
    """Fill in what `found` lacks from a built-in provider, and add the step; servers already found stay."""
    for server in servers_of(preset, email):
        if found.lacks(server.kind):
            found.add(server, source)
    found.preset = found.preset or preset.key
    found.steps.append(LookupStep(source, where, LookupOutcome.FOUND, preset.name))


# Top-level domains of countries. Providers hold their name under these; names that are not theirs are excluded below.
_COUNTRY = r"(?:com|[a-z]{2}|com?\.[a-z]{2})"
_DOMAINS: tuple[tuple[str, str], ...] = (
    ("gmail", r"gmail\.com|googlemail\.com"),
    (
        "outlook",
        rf"(?:outlook|hotmail)\.{_COUNTRY}|live\.(?:com|co\.uk|com\.\w\w|at|be|ca|de|dk|fr|ie|it|nl|no|se)|msn\.com"
        r"|office365\.com|[a-z0-9-]+\.onmicrosoft\.com",
    ),
    ("yahoo", rf"(?!yahoo\.co\.jp$)yahoo\.{_COUNTRY}|ymail\.com|rocketmail\.com"),  # yahoo.co.jp is another company
    ("fastmail", rf"fastmail\.(?:{_COUNTRY}|net|org)"),
    ("protonmail", r"proton\.me|protonmail\.(?:com|ch)|pm\.me"),
)
# Providers by the end of the MX host's name.
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
    """The built-in provider that owns this domain, or None."""
    found = (key for key, pattern in _DOMAINS if re.fullmatch(pattern, domain.lower(), re.ASCII))
    key = next(found, None)
    return _preset(key) if key else None


def preset_of_receiver(host: str) -> Preset | None:
    """The built-in provider that this MX host belongs to, or None."""
    name = host.lower().rstrip(".")
    for key, ends in _RECEIVERS:
        if any(name == end or name.endswith(f".{end}") for end in ends):
            return _preset(key)
    return None


def domain_of(email: str) -> str | None:
    """The domain in ASCII, with A-labels (RFC 5890), or None when it is no valid domain name."""
    _local, _, domain = email.rpartition("@")
    try:
        name = domain.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = name.split(".")
    usual = all(re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", label) for label in labels)
    return name if usual and len(labels) > 1 and len(name) <= 253 and not labels[-1].isdigit() else None


def tidy_host(host: str) -> str:
    """The host name in lower case, without white space and the root's dot; not checked (`ServerSettings.flaw` does)."""
    return host.strip().rstrip(".").lower()


def tidy_user(user: str, email: str) -> str:
    """The user name; the e-mail address where the given one is empty, too long or not printable."""
    user = user.strip()
    return user if 0 < len(user) <= MAX_USER and user.isprintable() else email


# --- Stored form ------------------------------------------------------------------------------------------------
MAX_TEXT = 400


def to_json(found: Discovery) -> dict[str, Any]:
    """The result for a JSON column. Untrusted texts are cut, and characters that a database may refuse replaced."""
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
    """The result from its stored form (`to_json`); {} gives an empty one."""
    found = Discovery(preset=kept.get("preset", ""))
    for kind in ("imap", "smtp"):
        if kept.get(kind):
            found.add(ServerSettings(**kept[kind]), SettingsSource(kept["sources"][kind]))
    for each in kept.get("steps", []):
        named = each | {"source": SettingsSource(each["source"]), "outcome": LookupOutcome(each["outcome"])}
        found.steps.append(LookupStep(**named))
    return found
