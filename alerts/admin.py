"""Read-only admin of the alerts. Rules are edited on their own page, which never shows stored secrets."""

from __future__ import annotations

from django.contrib import admin

from alerts.models import AlertIncident, AlertNotice, AlertRule, Event, EventNumbers, Webhook, WebhookDelivery
from mailbox.admin.large_lists import OfAccount
from mailbox.admin.read_only import ReadOnlyTable, register_tables

register_tables(
    {
        AlertRule: ReadOnlyTable(
            ("pk", "channel", "user", "address", "account", "is_on", "created_at"),
            filters=("channel", "is_on", OfAccount),
            search=("address", "user__username"),
            hidden=("encrypted_secret", "url"),
        ),
        AlertIncident: ReadOnlyTable(
            ("sentence", "kind", "account", "opened_at", "alerted_at", "closed_at"),
            filters=("kind", ("closed_at", admin.EmptyFieldListFilter), OfAccount),
            search=("sentence", "key"),
        ),
        AlertNotice: ReadOnlyTable(
            ("pk", "incident", "rule", "phase", "state", "tries", "result", "created_at"),
            filters=("state", "phase"),
            search=("result", "incident__sentence"),
            hidden=("target",),
        ),
        Event: ReadOnlyTable(
            ("number", "kind", "account", "message_pk", "outbox_pk", "created_at"),
            filters=("kind", OfAccount),
            search=("kind",),
        ),
        EventNumbers: ReadOnlyTable(("last",)),
        Webhook: ReadOnlyTable(
            ("name", "is_on", "failures", "failing_since", "cursor", "created_at"),
            filters=("is_on",),
            search=("name",),
            hidden=("encrypted_secret", "url", "lease_token"),
        ),
        WebhookDelivery: ReadOnlyTable(
            ("pk", "webhook", "event", "state", "tries", "result", "created_at"),
            filters=("state",),
            search=("result",),
        ),
    }
)
