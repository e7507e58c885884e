"""Django's admin of the outbox: its tables read-only, with search and with the same actions as on the pages.

Only the attachment policy can be edited.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from mailbox import permissions
from mailbox.admin.large_lists import OfAccount
from mailbox.admin.read_only import (
    ModelAdmin,
    ReadOnlyAdmin,
    ReadOnlyInline,
    ReadOnlyTable,
    ValueFilter,
    audit,
    register_tables,
)
from mailbox.admin.shown_at import TOO_OLD, ShownAtForm, shown_at
from mailbox.localized import grouped
from mailbox.permissions import Role
from mailbox.views.confirmation import Question, asks_first
from outbox.actions import results
from outbox.actions.transitions import ShownState
from outbox.models import (
    AddressCursor,
    AttachmentPolicy,
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
    SavedReply,
    SendingSwitch,
    SendPace,
    SentCopy,
    SentLookup,
    SuppressedAddress,
)
from outbox.policy_form import PolicyForm
from outbox.views.lists.bulk import CONSEQUENCES
from outbox.views.lists.ticked_rows import act_on

# Internal columns, which are of no use to a person.
HIDDEN = frozenset({"claim_token", "idempotency_key", "former_status"})


ASKED_ABOUT = 100  # rows that the confirmation page lists


class RecipientInline(ReadOnlyInline):
    """The recipients below a row."""

    model = OutboxRecipient
    fields = ("kind", "address", "status", "reply_code", "reply")


class AttachmentInline(ReadOnlyInline):
    """The attachments below a row."""

    model = OutboxAttachment
    fields = ("position", "filename", "content_type", "size")


class AttemptInline(ReadOnlyInline):
    """The attempts below a row."""

    model = DeliveryAttempt
    fields = ("number", "started_at", "worker", "requested_by", "phase", "outcome", "reply")


def seen_by(request: HttpRequest) -> ShownState | None:
    """The time of the shown list as a condition for the action; None if it is missing or more than a day ago."""
    at = shown_at(request)
    return ShownState(unchanged_since=at) if at else None


class OutboxAdmin(ReadOnlyAdmin):
    """The outbox, read-only but for the actions of the outbox page. They apply to rows that have not changed since."""

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
        seen = seen_by(request)
        if seen is None:
            self.message_user(request, TOO_OLD, messages.WARNING)
            return
        clicked = act_on(request, dict.fromkeys(rows.values_list("pk", flat=True), seen), name)
        said = results.counts_in_words(name, len(clicked.done), clicked.skipped)
        self.message_user(request, said, messages.WARNING if clicked.skipped else messages.SUCCESS)

    @admin.action(description=_("Retry"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        self._click(request, queryset, "retry")

    @admin.action(description=_("Send now"), permissions=["operate"])
    def send_now(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        self._click(request, queryset, "send_now")

    @admin.action(description=_("Cancel for good"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> HttpResponse | None:
        rows = list(queryset.order_by("-pk").values_list("subject", "to")[:ASKED_ABOUT])
        number = queryset.count()
        title = ngettext("Cancel %(number)s mail for good?", "Cancel %(number)s mails for good?", number)
        words = (
            title % {"number": grouped(number)},
            CONSEQUENCES["cancel"],
            gettext("Cancel for good"),
            request.get_full_path(),
        )
        if shown_at(request) and (asked := asks_first(request, Question(*words, rows), "admin/confirm.html")):
            return asked
        self._click(request, queryset, "cancel")
        return None


class PolicyAdmin(ModelAdmin):
    """The attachment policy: its one row is edited, never added or deleted."""

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


register_tables(
    {
        OutboxMessage: OutboxAdmin,
        OutboxRecipient: ReadOnlyTable(
            ("address", "kind", "status", "reply_code", "outbox"),
            filters=("status", "kind", ("reply_code", ValueFilter)),
            search=("address", "reply"),
        ),
        OutboxAttachment: ReadOnlyTable(
            ("filename", "content_type", "size", "outbox"),
            filters=(("content_type", ValueFilter),),
            search=("filename", "digest"),
        ),
        DeliveryAttempt: ReadOnlyTable(
            ("outbox", "number", "started_at", "worker", "phase", "outcome", "reply_code"),
            filters=("outcome", "phase", ("failure_mode", ValueFilter), ("reply_code", ValueFilter)),
            search=("message_id", "prx_attempt", "worker", "reply"),
            hidden=("claim_token",),
        ),
        AttachmentPolicy: PolicyAdmin,
        # Read-only: sending is paused and resumed on the outbox page, which explains the consequences.
        SendingSwitch: ReadOnlyTable(("__str__", "paused_at", "paused_by", "reason")),
        # The marks by which copies of this database are recognised: see outbox.restore_guard.
        Installation: ReadOnlyTable(("mark", "generation")),
        DeliveryReport: ReadOnlyTable(
            ("address", "action", "status_code", "outbox", "is_proven", "reported_at", "acknowledged_at"),
            filters=(("action", ValueFilter), "is_proven", ("acknowledged_at", admin.EmptyFieldListFilter)),
            search=("address", "words", "outbox__subject"),
        ),
        ReportCursor: ReadOnlyTable(("__str__", "message_id")),
        SentLookup: ReadOnlyTable(
            ("attempt", "uncertain_at", "last_look_at", "next_look_at", "found_in"),
            filters=(("next_look_at", admin.EmptyFieldListFilter), ("found_in", admin.EmptyFieldListFilter)),
            search=("last_words", "found_in", "attempt__message_id", "attempt__outbox__subject"),
            hidden=("claim_token",),
        ),
        SentCopy: ReadOnlyTable(
            ("outbox", "state", "tries", "next_try_at", "folder", "error"),
            filters=("state",),
            search=("folder", "error", "outbox__subject"),
            hidden=("claim_token",),
        ),
        DeliveryCall: ReadOnlyTable(("__str__", "called_at")),
        SendPace: ReadOnlyTable(("account", "next_at"), search=("account__email",)),
        Operation: ReadOnlyTable(
            ("verb", "user", "total", "done", "asked_at", "stopped_at", "finished_at"),
            filters=("verb", ("finished_at", admin.EmptyFieldListFilter)),
            search=("user__username", "query"),
        ),
        OperationRow: ReadOnlyTable(("operation", "outbox", "attempt")),
        # Only the existence and the writer of a draft: its content is private until it is sent.
        Draft: ReadOnlyTable(
            ("id", "user", "account", "version", "updated_at"),
            filters=(OfAccount,),
            search=("user__username", "account__email"),
            only=("user", "account", "version", "created_at", "updated_at"),
        ),
        DraftFile: ReadOnlyTable(
            ("id", "content_type", "size"), filters=(("content_type", ValueFilter),), only=("content_type", "size")
        ),
        KnownAddress: ReadOnlyTable(
            ("address", "name", "account", "last_at"), filters=(OfAccount,), search=("address", "name_key")
        ),
        SavedReply: ReadOnlyTable(
            ("name", "account", "changed_by", "changed_at"), filters=(OfAccount,), search=("name",)
        ),
        SuppressedAddress: ReadOnlyTable(
            ("address", "account", "reason", "since", "added_by"),
            filters=("reason", OfAccount),
            search=("address", "words"),
        ),
        OutboxCount: ReadOnlyTable(("account", "status", "number", "counted_at"), filters=("status", OfAccount)),
        AddressCursor: ReadOnlyTable(("__str__", "message_id", "outbox_id")),
    }
)
