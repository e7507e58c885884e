"""Finds the mail servers of an e-mail address by asking its domain, in the order of `SettingsSource`.

The domain's answers are untrusted, so everything is limited: only https, only public addresses, limited sizes, a
deadline for each request and for the whole look-up. No sign-in is made, and no secret is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlencode

from mailbox import safe_http
from mailbox.autoconfig import mozilla_xml
from mailbox.autoconfig.dns import Dns, DnsFailed
from mailbox.autoconfig.probe import Candidate, probe
from mailbox.autoconfig.servers import (
    Discovery,
    LookupOutcome,
    LookupStep,
    ServerRefusal,
    ServerSettings,
    SettingsSource,
    domain_of,
    of_preset,
    preset_of_domain,
    preset_of_receiver,
    take_preset,
)
from mailbox.safe_http import FetchRefused, Network

MAX_DOCUMENT = 100_000
HTTP_SECONDS = 6.0
ALL_SECONDS = 40.0
MAX_FLAWED = 4  # unusable servers to check of one kind in one source, since a name that fails to resolve may take long
WANTED = safe_http.OutgoingRequest(
    accept="text/xml, application/xml",
    user_agent="PRX-Email autoconfig",
    max_bytes=MAX_DOCUMENT,
    schemes=("https",),
    noun="document",
)


@dataclass(frozen=True)
class NetworkAccess:
    """The network, resolver, ports and clock to use. Tests pass their own."""

    network: Network = field(default_factory=lambda: Network(seconds=HTTP_SECONDS))
    dns: Dns = field(default_factory=Dns)
    port_of: Callable[[int], int] = lambda port: port
    clock: Callable[[], float] = time.monotonic
    seconds: float = ALL_SECONDS


def discover(email: str, reach: NetworkAccess | None = None) -> Discovery:
    """Ask the sources until both servers are found, all sources were asked, or the time is over.

    Failures are steps of the result, not exceptions.
    """
    reach = reach or NetworkAccess()
    domain = domain_of(email)
    if domain is None:
        return Discovery(steps=[LookupStep(SettingsSource.SRV, email.rpartition("@")[2], LookupOutcome.NOTHING)])
    if preset := preset_of_domain(domain):
        return of_preset(preset, email, SettingsSource.PRESET, domain)
    found, ends_at = Discovery(), reach.clock() + reach.seconds
    for source, look in _SOURCES:
        if found.is_complete:
            break
        if reach.clock() >= ends_at:
            found.steps.append(LookupStep(source, domain, LookupOutcome.SKIPPED))
            continue
        look(found, email, domain, reach)
    return found


# --- Mozilla autoconfig -----------------------------------------------------------------------------------------
def _by_autoconfig(found: Discovery, email: str, domain: str, reach: NetworkAccess) -> None:
    for address in (
        f"https://autoconfig.{domain}/mail/config-v1.1.xml?{urlencode({'emailaddress': email})}",
        f"https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml",
    ):
        where = address.partition("?")[0].removeprefix("https://")
        try:
            servers = mozilla_xml.read(safe_http.get(address, WANTED, reach.network), email)
        except (FetchRefused, mozilla_xml.ConfigInvalid) as error:
            found.steps.append(LookupStep(SettingsSource.AUTOCONFIG, where, LookupOutcome.FAILED, str(error)))
            continue
        take(found, SettingsSource.AUTOCONFIG, where, servers, reach)
        if found.is_complete:
            return


# --- SRV --------------------------------------------------------------------------------------------------------
# RFC 8314 prefers implicit TLS. Servers of _imap begin in clear and are never used; it is asked only when _imaps names
# none, so that the result can say why the server is refused.
_SERVICES = (
    ("imap", "_imaps._tcp", "tls"),
    ("imap", "_imap._tcp", "starttls"),
    ("smtp", "_submissions._tcp", "tls"),
    ("smtp", "_submission._tcp", "starttls"),
)


def _by_srv(found: Discovery, email: str, domain: str, reach: NetworkAccess) -> None:
    named: set[str] = set()
    for kind, service, security in _SERVICES:
        if not found.lacks(kind) or (service == "_imap._tcp" and "imap" in named):
            continue
        name = f"{service}.{domain}"
        try:
            targets = reach.dns.srv(name)
        except DnsFailed as error:
            found.steps.append(LookupStep(SettingsSource.SRV, name, LookupOutcome.FAILED, str(error), kind=kind))
            continue
        named |= {kind} if targets else set()
        servers = [ServerSettings(kind, each.host, each.port, security, email) for each in targets]
        take(found, SettingsSource.SRV, name, servers, reach)


# --- MX ---------------------------------------------------------------------------------------------------------
def _by_mx(found: Discovery, email: str, domain: str, reach: NetworkAccess) -> None:
    try:
        receivers = reach.dns.mx(domain)
    except DnsFailed as error:
        found.steps.append(LookupStep(SettingsSource.MX, domain, LookupOutcome.FAILED, str(error)))
        return
    for host in receivers:
        if preset := preset_of_receiver(host):
            take_preset(found, preset, email, SettingsSource.MX, host)
            return
    found.steps.append(LookupStep(SettingsSource.MX, domain, LookupOutcome.NOTHING, ", ".join(receivers[:3])[:200]))


# --- Usual names ------------------------------------------------------------------------------------------------
def _candidates(domain: str) -> Iterator[Candidate]:
    for name in ("imap", "mail"):
        yield Candidate("imap", f"{name}.{domain}", 993, "tls")
    for name in ("smtp", "mail"):
        yield Candidate("smtp", f"{name}.{domain}", 465, "tls")
        yield Candidate("smtp", f"{name}.{domain}", 587, "starttls")


def _by_guess(found: Discovery, email: str, domain: str, reach: NetworkAccess) -> None:
    """Try the usual host names all at once, as most do not exist and the waits would add up. The first in the order of
    _candidates that answers is used."""
    candidates = [each for each in _candidates(domain) if found.lacks(each.kind)]
    with ThreadPoolExecutor(len(candidates)) as pool:
        results = list(pool.map(lambda each: _answers(each, reach), candidates))
    for candidate, refusal in zip(candidates, results, strict=True):
        where = f"{candidate.host}:{candidate.port}"
        if refusal:
            found.steps.append(
                LookupStep(SettingsSource.GUESS, where, LookupOutcome.NOTHING, refusal, kind=candidate.kind)
            )
        elif found.lacks(candidate.kind):
            server = ServerSettings(candidate.kind, candidate.host, candidate.port, candidate.security, email)
            found.add(server, SettingsSource.GUESS)
            found.steps.append(LookupStep(SettingsSource.GUESS, where, LookupOutcome.FOUND, kind=candidate.kind))


def _answers(candidate: Candidate, reach: NetworkAccess) -> str:
    """ "" when the server answers as it should, else the reason."""
    try:
        probe(candidate, reach.network, reach.port_of)
    except FetchRefused as error:
        return str(error)
    return ""


# --- Choice among the named servers -----------------------------------------------------------------------------
def take(
    found: Discovery, source: SettingsSource, where: str, servers: Sequence[ServerSettings], reach: NetworkAccess
) -> None:
    """Keep the first usable server of each kind; where none is, add a step with the reason for each that was named."""
    if not servers:
        found.steps.append(LookupStep(source, where, LookupOutcome.NOTHING))
    for kind in ("imap", "smtp"):
        flawed: list[tuple[ServerSettings, ServerRefusal]] = []
        for server in [each for each in servers if each.kind == kind and found.lacks(kind)]:
            if len(flawed) == MAX_FLAWED:
                break
            flaw = server.flaw() or _flaw_of_host(server, reach.network)
            if flaw is None:
                found.add(server, source)
                named = f"{server.host}:{server.port}"
                found.steps.append(LookupStep(source, where, LookupOutcome.FOUND, named, kind=kind))
                break
            flawed.append((server, flaw))
        if found.lacks(kind):
            for server, flaw in flawed:
                named = f"{server.host[:253]}:{server.port}"
                found.steps.append(LookupStep(source, where, LookupOutcome.UNUSABLE, named, flaw=flaw, kind=kind))


def _flaw_of_host(server: ServerSettings, network: Network) -> ServerRefusal | None:
    """NOT_PUBLIC when the host does not resolve, or not only to public addresses; else None.

    An untrusted document must not make workers connect to hosts of the site's own network.
    """
    try:
        safe_http.judged(server.host, server.port, network)
    except FetchRefused:
        return ServerRefusal.NOT_PUBLIC
    return None


_SOURCES: tuple[tuple[SettingsSource, Callable[[Discovery, str, str, NetworkAccess], None]], ...] = (
    (SettingsSource.AUTOCONFIG, _by_autoconfig),
    (SettingsSource.SRV, _by_srv),
    (SettingsSource.MX, _by_mx),
    (SettingsSource.GUESS, _by_guess),
)
