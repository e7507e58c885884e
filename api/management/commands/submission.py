"""manage.py submission: take mail from programs by SMTP, until SIGTERM."""

from __future__ import annotations

import ssl
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from api.submission import server
from mailbox import process_heartbeats
from mailbox.db.persistent_connections import make_connections_persistent
from mailbox.management.stop_signals import StopSignals
from mailbox.models import ProcessHeartbeat


class Command(BaseCommand):
    help = "Take mail from programs by SMTP (docs/submission.md) until SIGTERM. Any number of hosts may run it."

    def handle(self, *args: Any, **options: Any) -> None:
        terms = settings.SUBMISSION
        if not (terms.starttls or terms.tls):
            raise CommandError("Set PRX_EMAIL_SUBMISSION_BIND or PRX_EMAIL_SUBMISSION_TLS_BIND to HOST:PORT.")
        make_connections_persistent()
        signals = StopSignals()
        stop_noting = process_heartbeats.start_noting(ProcessHeartbeat.Role.SUBMISSION)
        try:
            server.run(terms, lambda: signals.wait(0.001), self._say)
        except ssl.SSLError as error:
            raise CommandError(f"The certificate of submission cannot be used: {error}") from error
        except OSError as error:
            raise CommandError(f"Submission cannot start: {error}") from error
        finally:
            stop_noting.set()
            process_heartbeats.forget(ProcessHeartbeat.Role.SUBMISSION)

    def _say(self, ports: list[int]) -> None:
        self.stdout.write(f"Taking mail from programs on port {', '.join(map(str, ports))}; SIGTERM stops.")
        self.stdout.flush()
