"""django-q2's entry point for looking up mail settings. It may run twice, or be killed at any instruction."""

from __future__ import annotations

from django.db import transaction
from django_q.tasks import async_task

from mailbox.autoconfig import lookup as autoconfig_lookup


def queue_lookup(pk: int) -> None:
    """Have a worker do the look-up, once the present transaction has committed."""
    transaction.on_commit(lambda: async_task("mailbox.tasks.look_up", pk, group="lookup"))


def look_up(pk: int) -> None:
    autoconfig_lookup.run(pk)
