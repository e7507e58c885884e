"""`make languages`: compiles the catalogues, and prints the progress and the faults of each language."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from prx_email_site import catalogues


class Command(BaseCommand):
    help = "Compile the catalogues, count what is not translated in each language, and check what is."

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = list(catalogues.compile_new(settings.LOCALE_PATHS))
        for path in catalogues.written_in(settings.LOCALE_PATHS):
            found = catalogues.progress(path)
            self.stdout.write(str(found))
            wrong += [f"{found.language}: {fault}" for fault in found.faults]
        if wrong:
            raise CommandError("\n".join(wrong))
