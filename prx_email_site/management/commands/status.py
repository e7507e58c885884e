"""manage.py status: prints the state of the machines. Exit status 1 if a person is needed, for outside monitoring."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from mailbox.management.base import RefusingCommand
from mailbox.plain_words import on_a_line
from outbox.models import SendingSwitch
from prx_email_site.monitoring import system_status
from prx_email_site.monitoring.system_status import FAULTS, Host, SystemStatus


class Command(RefusingCommand):
    help = "Say what needs a person, and what the system page says. Status 1: somebody is needed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        needs, found = system_status.needs(now), system_status.read(now)
        if options["json"]:
            paused = SendingSwitch.objects.filter(paused_at__isnull=False).exists()
            error = {"code": "Needed", "message": " ".join(needs.values())} if needs else None
            said = {"ok": not needs, "error": error, "needs": needs, "sending_paused": paused, **found.as_json()}
            self.print_json(said)
        else:
            for line in _lines(needs, found):
                self.stdout.write(on_a_line(line))
        if needs:
            sys.exit(1)


def _lines(needs: Mapping[str, str], found: SystemStatus) -> Iterator[str]:
    yield from (f"NEEDED  {sentence}" for sentence in needs.values())
    if not needs:
        yield "Nothing needs you."
    for host in found.hosts:
        yield from _of_host(host)
    for process, states in found.push.items():
        yield f"push    {process}: {states.get('connected', 0)} of {sum(states.values())} inboxes connected"
    if not found.push:
        yield "push    not running"
    for lease in found.leases:
        yield f"lease   {lease['purpose']} of account {lease['account_id']}: {lease['holder']}"
    for each in found.schedules:
        ended = "" if each.ok is None else f" after {each.seconds:.1f} s{'' if each.ok else ', FAILED'}"
        yield f"next    {_at(each.next_at)} {each.name} (last {_at(each.last_at)}{ended})"
    for table in found.tables:
        grown = "" if table.grown is None else f", {table.grown:+,} since {_at(table.grown_since)}"
        yield f"size    {table.name}: {table.size:,} bytes{grown}"
    for name, size in found.storage.items():
        yield f"size    {name}: {size:,} bytes"
    if found.store_shared_with:
        yield f"store   shared with {found.store_shared_with}"
    proven = found.restore_proven_at
    yield f"restore {f'last proven {_at(proven)}' if proven else 'never proven'}"
    yield "version " + ", ".join(f"{name} {version}" for name, version in found.versions.items())


def _of_host(host: Host) -> Iterator[str]:
    load = "" if host.load is None else f", load {host.load:g} on {host.processors} processors"
    disk = "" if host.disk_free_percent is None else f", disk {host.disk_free_percent} % free"
    wrong = "".join(f", {words} since {_at(host.faults[key])}" for key, words in FAULTS.items() if key in host.faults)
    yield f"host    {host.name}: {'alive' if host.is_alive else 'silent'}{load}{disk}{wrong}"
    for each in host.roles:
        seen = "alive" if each.alive else f"last seen {_at(each.seen_at)}"
        release = f", release {each.release}" if each.release else ""
        yield f"        {each.role} {host.name}/{each.pid}: {seen}{release}"


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "never"
