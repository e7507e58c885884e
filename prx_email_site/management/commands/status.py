"""manage.py status: how the machines do. Exit status 1 when somebody is needed, for a watch from outside."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from prx_email_site.monitoring import system_status
from prx_email_site.monitoring.system_status import SystemStatus

FAULTS = {"store_usable": "store unusable", "broker_reachable": "broker away", "fetches": "disk reserve reached"}


class Command(BaseCommand):
    help = "Say what needs a person, and how hosts, schedules, leases and stores do. Status 1: somebody is needed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        found = system_status.gather(timezone.now())
        if options["json"]:
            said = {"ok": not found.needs, **asdict(found)}
            self.stdout.write(json.dumps(said, default=lambda value: value.isoformat(), ensure_ascii=False))
        else:
            self._tell(found)
        if found.needs:
            sys.exit(1)

    def _tell(self, found: SystemStatus) -> None:
        for sentence in found.needs.values():
            self.stdout.write(f"NEEDED  {sentence}")
        if not found.needs:
            self.stdout.write("Nothing needs you.")
        for host in found.hosts:
            seen = "alive" if host["alive"] else f"last seen {host['seen_at']:%Y-%m-%d %H:%M} UTC"
            disk = "" if host["disk_free_percent"] is None else f", disk {host['disk_free_percent']} % free"
            wrong = "".join(f", {words}" for key, words in FAULTS.items() if not host[key])
            self.stdout.write(f"host    {host['host']}/{host['pid']}: {seen}{disk}{wrong}")
        self.stdout.write(f"push    {found.push or 'not running'}")
        for lease in found.leases:
            self.stdout.write(f"lease   {lease['purpose']} of account {lease['account_id']}: {lease['holder']}")
        for name, at in found.schedules:
            self.stdout.write(f"next    {at:%Y-%m-%d %H:%M:%S} UTC {name}")
        for name, size in [*found.tables, *found.storage.items()]:
            self.stdout.write(f"size    {name}: {size:,} bytes")
        proven = found.restore_proven_at
        self.stdout.write(f"restore {f'last proven {proven:%Y-%m-%d %H:%M} UTC' if proven else 'never proven'}")
        self.stdout.write("version " + ", ".join(f"{name} {version}" for name, version in found.versions.items()))
