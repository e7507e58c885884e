"""The task that looks up mail settings. It may run twice, or be killed at any instruction."""

from __future__ import annotations

from mailbox.autoconfig import lookup as autoconfig_lookup
from mailbox.queueing import queue


def queue_lookup(pk: int) -> None:
    """Queue the look-up, once the current transaction has committed."""
    queue("mailbox.tasks.look_up", pk, group="lookup")


def look_up(pk: int) -> None:
    """Find the servers of an address. pk: of a SettingsLookup, which a page waits for."""
    autoconfig_lookup.run(pk)
