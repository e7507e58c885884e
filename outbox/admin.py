"""Django's admin of the outbox: every table looked at and searched, the same clicks as on its pages, nothing edited."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core import signing
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox import permissions
from mailbox.admin.large_lists import OfAccount
from mailbox.admin.records import ModelAdmin, ReadOnlyAdmin, ReadOnlyInline, ValueFilter, audit
from mailbox.permissions import Role
from outbox.actions import results
from outbox.actions.estimate import ASKED_AT_MOST_AGO
from outbox.actions.transitions import ShownState
from outbox.models import (
    AddressCursor,
    AttachmentPolicy,
    CourierSlot,
    DeliveryAttempt,
    DeliveryCall,
    DeliveryReport,
    Draft,
    DraftFile,
    Installation,
    KnownAddress,
    Operation,
    OperationRow,
    OutboxAttachment,
    OutboxCount,
    OutboxMessage,
    OutboxRecipient,
    ReportCursor,
    SendingSwitch,
    SendPace,
    SentCopy,
    SentLookup,
)
from outbox.policy_form import PolicyForm
from outbox.views.actions import BULK, act_on

# What a claim and a frozen mail are made of is of no use to a person.
HIDDEN = frozenset({"claim_token", "idempotency_key", "former_status"})


_SHOWN_AT = "outbox.admin.shown_at"


def _sealed_now() -> str:
    return signing.dumps(timezone.now().isoformat(), salt=_SHOWN_AT)


class RecipientInline(ReadOnlyInline):
    model = OutboxRecipient
    fields = ("kind", "address", "status", "reply_code", "reply")


class AttachmentInline(ReadOnlyInline):
    model = OutboxAttachment
    fields = ("position", "filename", "content_type", "size")


class AttemptInline(ReadOnlyInline):
    model = DeliveryAttempt
    fields = ("number", "started_at", "worker", "requested_by", "phase", "outcome", "reply")


class ShownAtForm(ActionForm):
    """The admin's form of actions, with the time at which its list was made: rows that changed since are left alone."""

    shown_at = forms.CharField(widget=forms.HiddenInput, required=False, initial=_sealed_now)


def shown_at(request: HttpRequest) -> ShownState | None:
    """None when the list was made more than a day ago, or its time is missing."""
    try:
        at = signing.loads(request.POST.get("shown_at", ""), salt=_SHOWN_AT, max_age=ASKED_AT_MOST_AGO)
    except signing.BadSignature:
        return None
    return ShownState(unchanged_since=datetime.fromisoformat(at))


class OutboxAdmin(ReadOnlyAdmin):
    list_display = ("id", "status", "hold", "account", "to", "subject", "retries", "next_attempt_at", "created_at")
    list_filter = ("status", ("hold", ValueFilter), ("error_code", ValueFilter), OfAccount)
    search_fields = ("subject", "to", "cc", "bcc", "provider_message_id")
    list_select_related = ("account",)
    inlines = (RecipientInline, AttachmentInline, AttemptInline)
    actions = ("retry", "send_now", "cancel")
    action_form = ShownAtForm

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return ["page", *(field.name for field in OutboxMessage._meta.fields if field.name not in HIDDEN)]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["page"]

    @admin.display(description=_("on the site"))
    def page(self, row: OutboxMessage) -> str:
        return format_html('<a href="{}">{}</a>', reverse("outbox:detail", args=[row.pk]), gettext("what may be done"))

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return permissions.has_role_somewhere(request.user, Role.OPERATOR)

    def _click(self, request: HttpRequest, rows: QuerySet[OutboxMessage], name: str) -> None:
        seen = shown_at(request)
        if seen is None:
            said = gettext("The page is too old to act on its rows. Nothing was changed: look again.")
            self.message_user(request, said, messages.WARNING)
            return
        clicked = act_on(request, dict.fromkeys(rows.values_list("pk", flat=True), seen), BULK[name])
        said = results.honest(name, len(clicked.done), clicked.skipped)
        self.message_user(request, said, messages.WARNING if clicked.skipped else messages.SUCCESS)

    @admin.action(description=_("Retry"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        self._click(request, queryset, "retry")

    @admin.action(description=_("Send now anyway"), permissions=["operate"])
    def send_now(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        self._click(request, queryset, "send_now")

    @admin.action(description=_("Cancel for good"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        self._click(request, queryset, "cancel")


class RecipientAdmin(ReadOnlyAdmin):
    list_display = ("address", "kind", "status", "reply_code", "outbox")
    list_filter = ("status", "kind", ("reply_code", ValueFilter))
    search_fields = ("address", "reply")
    list_select_related = ("outbox",)


class AttachmentAdmin(ReadOnlyAdmin):
    list_display = ("filename", "content_type", "size", "outbox")
    list_filter = (("content_type", ValueFilter),)
    search_fields = ("filename", "digest")
    list_select_related = ("outbox",)


class AttemptAdmin(ReadOnlyAdmin):
    list_display = ("outbox", "number", "started_at", "worker", "phase", "outcome", "reply_code")
    list_filter = ("outcome", "phase", ("failure_mode", ValueFilter), ("reply_code", ValueFilter))
    search_fields = ("message_id", "prx_attempt", "worker", "reply")
    list_select_related = ("outbox",)
    exclude = ("claim_token",)


class PolicyAdmin(ModelAdmin):
    form = PolicyForm
    fields = ("max_size", "types")
    list_display = ("__str__", "max_size_bytes", "allowed_content_types", "updated_by", "updated_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: AttachmentPolicy, form: Any, change: bool) -> None:
        obj.updated_by_id = request.user.pk
        super().save_model(request, obj, form, change)
        audit(request, "edit_policy", None, "attachment_policy", ", ".join(form.changed_data))


class ReportAdmin(ReadOnlyAdmin):
    list_display = ("address", "action", "status_code", "outbox", "is_proven", "reported_at", "acknowledged_at")
    list_filter = (("action", ValueFilter), "is_proven", ("acknowledged_at", admin.EmptyFieldListFilter))
    search_fields = ("address", "words", "outbox__subject")
    list_select_related = ("outbox",)


class LookupAdmin(ReadOnlyAdmin):
    list_display = ("attempt", "uncertain_at", "last_look_at", "next_look_at", "found_in")
    list_filter = (("next_look_at", admin.EmptyFieldListFilter), ("found_in", admin.EmptyFieldListFilter))
    search_fields = ("last_words", "found_in", "attempt__message_id", "attempt__outbox__subject")
    list_select_related = ("attempt",)
    exclude = ("claim_token",)


class CopyAdmin(ReadOnlyAdmin):
    list_display = ("outbox", "state", "tries", "next_try_at", "folder", "error")
    list_filter = ("state",)
    search_fields = ("folder", "error", "outbox__subject")
    list_select_related = ("outbox",)
    exclude = ("claim_token",)


class OperationRowAdmin(ReadOnlyAdmin):
    list_display = ("operation", "outbox", "attempt")
    list_select_related = ("operation", "outbox")


class OperationAdmin(ReadOnlyAdmin):
    list_display = ("verb", "user", "total", "done", "asked_at", "stopped_at", "finished_at")
    list_filter = ("verb", ("finished_at", admin.EmptyFieldListFilter))
    search_fields = ("user__username", "query")
    list_select_related = ("user",)


class DraftAdmin(ReadOnlyAdmin):
    """That there are some, and whose. What somebody is writing is theirs until they send it."""

    list_display = ("id", "user", "account", "version", "updated_at")
    list_filter = (OfAccount,)
    search_fields = ("user__username", "account__email")
    list_select_related = ("user", "account")
    fields = ("user", "account", "version", "created_at", "updated_at")


class DraftFileAdmin(ReadOnlyAdmin):
    list_display = ("id", "content_type", "size")
    list_filter = (("content_type", ValueFilter),)
    fields = ("content_type", "size")


class KnownAddressAdmin(ReadOnlyAdmin):
    list_display = ("address", "name", "account", "last_at")
    list_filter = (OfAccount,)
    search_fields = ("address", "name_key")
    list_select_related = ("account",)


class SlotAdmin(ReadOnlyAdmin):
    list_display = ("number", "holder", "expires_at")
    exclude = ("token",)


class CallAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "called_at")


class PaceAdmin(ReadOnlyAdmin):
    list_display = ("account", "next_at")
    search_fields = ("account__email",)
    list_select_related = ("account",)


class InstallationAdmin(ReadOnlyAdmin):
    """What tells this database from a copy of it: see outbox.installation."""

    list_display = ("mark", "generation")


class ReportCursorAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "message_id")


class AddressCursorAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "message_id", "outbox_id")


class CountAdmin(ReadOnlyAdmin):
    list_display = ("account", "status", "number", "counted_at")
    list_filter = ("status", OfAccount)
    list_select_related = ("account",)


class SwitchAdmin(ReadOnlyAdmin):
    """Paused and resumed on the outbox page, where the consequence is told."""

    list_display = ("__str__", "paused_at", "paused_by", "reason")


admin.site.register(OutboxMessage, OutboxAdmin)
admin.site.register(OutboxRecipient, RecipientAdmin)
admin.site.register(OutboxAttachment, AttachmentAdmin)
admin.site.register(DeliveryAttempt, AttemptAdmin)
admin.site.register(AttachmentPolicy, PolicyAdmin)
admin.site.register(SendingSwitch, SwitchAdmin)
admin.site.register(Installation, InstallationAdmin)
admin.site.register(DeliveryReport, ReportAdmin)
admin.site.register(ReportCursor, ReportCursorAdmin)
admin.site.register(SentLookup, LookupAdmin)
admin.site.register(SentCopy, CopyAdmin)
admin.site.register(CourierSlot, SlotAdmin)
admin.site.register(DeliveryCall, CallAdmin)
admin.site.register(SendPace, PaceAdmin)
admin.site.register(Operation, OperationAdmin)
admin.site.register(OperationRow, OperationRowAdmin)
admin.site.register(Draft, DraftAdmin)
admin.site.register(DraftFile, DraftFileAdmin)
admin.site.register(KnownAddress, KnownAddressAdmin)
admin.site.register(OutboxCount, CountAdmin)
admin.site.register(AddressCursor, AddressCursorAdmin)
