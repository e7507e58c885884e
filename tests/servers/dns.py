"""A real name server on loopback, over UDP: what a test writes down is what it answers."""

from __future__ import annotations

import contextlib
import socket
import threading

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset


class DnsServer:
    """`says("_imaps._tcp.example.com", "SRV", "0 1 993 imap.example.com.")`; other names do not exist (NXDOMAIN)."""

    def __init__(self) -> None:
        self._records: dict[tuple[dns.name.Name, str], list[str]] = {}
        self.asked: list[str] = []
        self.is_deaf = False
        self.is_broken = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def says(self, name: str, kind: str, *values: str) -> None:
        self._records[dns.name.from_text(name), kind] = list(values)

    def resolver(self) -> dns.resolver.Resolver:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], self.port
        return resolver

    def stop(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, client = self._socket.recvfrom(4096)
                if not self.is_deaf:
                    self._socket.sendto(b"\x00" if self.is_broken else self._answer(wire), client)

    def _answer(self, wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{question.name.to_text(omit_final_dot=True)} {kind}")
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        values = self._records.get((question.name, kind))
        if values:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *values))
        elif not any(name == question.name for name, _kind in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()
