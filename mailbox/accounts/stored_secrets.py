"""Every secret that is stored encrypted, of any app, and which of them no key opens."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Model

from mailbox import credentials


def stored_secrets() -> Iterator[tuple[Model, str]]:
    """Each row of any app that holds a secret, and in which column: their names begin as those of a transport."""
    for model in apps.get_models():
        for field in model._meta.fields:
            if field.name.startswith("encrypted_"):
                rows = model._base_manager.exclude(**{field.name: None}).order_by("pk")
                yield from ((row, field.name) for row in rows)


def unopened() -> tuple[int, int]:
    """How many secrets no key of PRX_EMAIL_ENCRYPTION_KEYS opens, and how many there are."""
    closed = total = 0
    for row, column in stored_secrets():
        total += 1
        try:
            credentials.decrypt(getattr(row, column))
        except credentials.DecryptionFailed:
            closed += 1
    return closed, total
