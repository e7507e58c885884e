"""Admin of the tables that workers write: searched and filtered, not edited (except whether a folder is synced)."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailbox import permissions
from mailbox.admin.large_lists import OfAccount
from mailbox.admin.read_only import ModelAdmin, ReadOnlyAdmin, ReadOnlyInline, ReadOnlyTable, ValueFilter, audit
from mailbox.localized import grouped
from mailbox.models import (
    Attachment,
    AuditEntry,
    ConnectionTest,
    Counter,
    Export,
    ExportPart,
    Folder,
    Lease,
    Message,
    MessagePlace,
    PersonSearch,
    Quarantine,
    SyncRun,
    SyncRunFolder,
    SyncState,
    WorkerHeartbeat,
)
from mailbox.permissions import Role
from mailbox.tasks import sync as sync_tasks


class FolderAdmin(ReadOnlyAdmin):
    """Folders; only whether one is synced can be changed."""

    list_display = ("name", "account", "special_use", "selectable", "sync_enabled", "gone_at")
    list_filter = ("sync_enabled", "selectable", ("special_use", ValueFilter), OfAccount)
    search_fields = ("name", "account__email")
    list_select_related = ("account",)
    fields = ("account", "name", "special_use", "sync_enabled")
    readonly_fields = ("account", "name", "special_use")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return ModelAdmin.has_change_permission(self, request, obj)

    def save_model(self, request: HttpRequest, obj: Folder, form: Any, change: bool) -> None:
        """Write `sync_enabled` alone, as a sync may be writing the other columns, and record it in the activity."""
        Folder.objects.filter(pk=obj.pk).update(sync_enabled=obj.sync_enabled)
        sign = "+" if obj.sync_enabled else "-"
        audit(request, "choose_folders", obj.account, f"account:{obj.account_id}", f"{sign}{obj.name}")


class MessageAdmin(ReadOnlyAdmin):
    """Received messages, without their bodies in lists."""

    list_display = (
        "subject_shown",
        "sender",
        "account",
        "received_at",
        "seen",
        "flagged",
        "has_attachments",
        "variant",
    )
    list_filter = ("seen", "flagged", "has_attachments", "is_complete", OfAccount)
    search_fields = ("subject", "sender_address", "message_id")
    list_select_related = ("account",)
    exclude = ("body_text", "body_html")

    @admin.display(description=_("subject"))
    def subject_shown(self, message: Message) -> str:
        return str(message)[:120]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("body_text", "body_html", "attached_text")


class QuarantineAdmin(ReadOnlyAdmin):
    """Messages that could not be stored or parsed, with the action to fetch them again."""

    list_display = ("folder", "uid", "account", "error", "attempts", "last_failed_at", "resolved_at")
    list_filter = (("resolved_at", admin.EmptyFieldListFilter), OfAccount)
    search_fields = ("error", "folder__name", "account__email")
    list_select_related = ("folder", "account")
    actions = ("fetch_again",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return permissions.has_role_everywhere(request.user, Role.OPERATOR)

    @admin.action(description=_("Fetch again"), permissions=["operate"])
    def fetch_again(self, request: HttpRequest, queryset: QuerySet[Quarantine]) -> None:
        rows = list(queryset.filter(resolved_at=None).select_related("account"))
        with transaction.atomic():
            Quarantine.objects.filter(pk__in=[row.pk for row in rows]).update(fetch_requested_at=timezone.now())
            for row in rows:
                audit(request, "fetch_again", row.account, f"quarantine:{row.pk}")
        for account_id in sorted({row.account_id for row in rows}):
            sync_tasks.queue_sync(account_id, request.user.pk)
        self.message_user(
            request,
            ngettext(
                "%(number)s message is fetched again with the next sync, which is queued.",
                "%(number)s messages are fetched again with the next sync, which is queued.",
                len(rows),
            )
            % {"number": grouped(len(rows))},
        )


class RunLines(ReadOnlyInline):
    """The folders of a run report."""

    model = SyncRunFolder
    fields = ("account", "folder_name", "ok", "fetched", "updated", "quarantined", "bytes", "seconds", "error", "note")


class SyncRunAdmin(ReadOnlyAdmin):
    """Run reports, with a line for each folder."""

    list_display = (
        "run_id",
        "trigger",
        "requested_by",
        "started_at",
        "finished_at",
        "attempted",
        "succeeded",
        "failed",
        "unchanged",
    )
    list_filter = ("trigger", "started_at")
    list_select_related = ("requested_by",)
    search_fields = ("run_id",)
    inlines = (RunLines,)


TABLES: dict[type[Model], ReadOnlyTable | type[ReadOnlyAdmin]] = {
    Attachment: ReadOnlyTable(
        ("filename", "content_type", "size", "message", "is_inline", "removed_at"),
        filters=("is_inline", ("content_type", ValueFilter), ("removed_at", admin.EmptyFieldListFilter)),
        search=("filename", "digest"),
    ),
    AuditEntry: ReadOnlyTable(
        ("at", "user", "verb", "account", "target", "detail"),
        filters=(("verb", ValueFilter), OfAccount),
        search=("target", "detail", "user__username"),
    ),
    ConnectionTest: ReadOnlyTable(
        ("account", "requested_by", "requested_at", "finished_at", "imap_ok", "smtp_ok"),
        filters=("imap_ok", "smtp_ok", ("imap_code", ValueFilter), ("smtp_code", ValueFilter), OfAccount),
        search=("account__email", "imap_reply", "smtp_reply", "requested_by__username"),
    ),
    Counter: ReadOnlyTable(
        ("name", "hour", "account", "value"), filters=("name", OfAccount), search=("account__email",)
    ),
    Export: ReadOnlyTable(
        ("asked_at", "user", "what", "form", "done", "size", "finished_at", "ends_at"),
        filters=("what", "form"),
        search=("user__username",),
    ),
    ExportPart: ReadOnlyTable(("export", "position", "length"), search=("=export__pk",), hidden=("lines", "entries")),
    Folder: FolderAdmin,
    Lease: ReadOnlyTable(
        ("account", "purpose", "holder", "expires_at"),
        filters=("purpose", OfAccount),
        search=("account__email", "holder"),
        hidden=("token",),
    ),
    Message: MessageAdmin,
    MessagePlace: ReadOnlyTable(
        ("message", "folder", "uid", "uidvalidity", "seen", "size", "received_at", "gone_at"),
        filters=("seen", "flagged", "is_complete", ("gone_at", admin.EmptyFieldListFilter)),
        search=("message__subject", "=uid", "raw_digest"),
    ),
    PersonSearch: ReadOnlyTable(
        ("digest", "state", "user", "asked_at", "finished_at"),
        filters=("state",),
        search=("digest",),
        hidden=("after", "found", "named"),
    ),
    Quarantine: QuarantineAdmin,
    SyncRun: SyncRunAdmin,
    SyncRunFolder: ReadOnlyTable(
        ("account", "folder_name", "ok", "fetched", "updated", "quarantined", "seconds", "finished_at"),
        filters=("ok", ("error_code", ValueFilter), OfAccount),
        search=("folder_name", "error", "account__email"),
    ),
    SyncState: ReadOnlyTable(
        ("folder", "account", "cursor", "exists", "failure_count", "last_success_at", "next_allowed_at"),
        filters=("more_waiting", ("last_error_code", ValueFilter), OfAccount),
        search=("folder__name", "account__email", "last_error"),
    ),
    WorkerHeartbeat: ReadOnlyTable(("host", "cluster_pid", "started_at", "seen_at"), search=("host",)),
}
