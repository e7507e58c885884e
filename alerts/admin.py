"""Django's admin of the alerts: looked at and searched; rules are edited on their page, where secrets stay unseen."""

from __future__ import annotations

from django.contrib import admin

from alerts.models import AlertIncident, AlertNotice, AlertRule
from mailbox.admin.large_lists import OfAccount
from mailbox.admin.records import ReadOnlyAdmin


class RuleAdmin(ReadOnlyAdmin):
    list_display = ("pk", "channel", "user", "address", "account", "is_on", "created_at")
    list_filter = ("channel", "is_on", OfAccount)
    search_fields = ("address", "user__username")
    list_select_related = ("user", "account")
    exclude = ("encrypted_secret", "url")  # the address of a webhook may hold a secret


class IncidentAdmin(ReadOnlyAdmin):
    list_display = ("sentence", "kind", "account", "opened_at", "alerted_at", "closed_at")
    list_filter = ("kind", ("closed_at", admin.EmptyFieldListFilter), OfAccount)
    search_fields = ("sentence", "key")
    list_select_related = ("account",)


class NoticeAdmin(ReadOnlyAdmin):
    list_display = ("pk", "incident", "rule", "phase", "state", "tries", "result", "created_at")
    list_filter = ("state", "phase")
    search_fields = ("result", "incident__sentence")
    list_select_related = ("incident", "rule")
    exclude = ("target",)


admin.site.register(AlertRule, RuleAdmin)
admin.site.register(AlertIncident, IncidentAdmin)
admin.site.register(AlertNotice, NoticeAdmin)
