"""DNS queries for the look-up of settings: SRV (RFC 2782, 6186, 8314) and MX. The only module with dnspython."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import dns.exception
import dns.name
import dns.rdata
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.IN.SRV import SRV

from mailbox import network

SECONDS = 4.0  # for one query, including retries
MAX_ANSWERS = 20


class DnsFailed(Exception):
    """No usable answer came (other than the answer that there is no such record); str() is a sentence."""


@dataclass(frozen=True)
class Target:
    """Where an SRV record (RFC 2782) says that the service is: a host name without its final dot, and a port."""

    host: str
    port: int


class Dns:
    """Queries this machine's resolver. Tests pass another one."""

    def __init__(self, resolver: dns.resolver.Resolver | None = None, seconds: float = SECONDS) -> None:
        self._given, self._seconds = resolver, seconds

    @cached_property
    def _resolver(self) -> dns.resolver.Resolver:
        return self._given or dns.resolver.Resolver()

    def srv(self, name: str) -> list[Target]:
        """The service's targets, best first; [] also for the target ".", which means no such service. Raises
        DnsFailed."""
        answers = (each for each in self._ask(name, "SRV") if isinstance(each, SRV))
        found = [each for each in answers if each.target != dns.name.root]
        found.sort(key=lambda each: (each.priority, -each.weight))
        return [Target(_text(each.target), int(each.port)) for each in found]

    def mx(self, domain: str) -> list[str]:
        """The hosts that receive the domain's mail, best first. Raises DnsFailed."""
        answers = (each for each in self._ask(domain, "MX") if isinstance(each, MX))
        found = [each for each in answers if each.exchange != dns.name.root]
        return [_text(each.exchange) for each in sorted(found, key=lambda each: int(each.preference))]

    def _ask(self, name: str, kind: str) -> list[dns.rdata.Rdata]:
        if network.is_off():
            raise DnsFailed(network.OFF)
        try:
            answer = self._resolver.resolve(f"{name}.", kind, lifetime=self._seconds, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.resolver.LifetimeTimeout as error:
            raise DnsFailed("The name server did not answer in time.") from error
        except (dns.exception.DNSException, OSError) as error:
            raise DnsFailed("The name servers gave no usable answer.") from error
        return list(answer)[:MAX_ANSWERS]


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
