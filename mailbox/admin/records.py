"""Admin of what workers write: looked at, searched, filtered, and not edited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from mailbox import permissions
from mailbox.admin.large_lists import EndingPaginator, OfAccount, RecentValues
from mailbox.models import (
    Account,
    Attachment,
    AuditEntry,
    ConnectionTest,
    Counter,
    Folder,
    Lease,
    Message,
    MessagePlace,
    Quarantine,
    SyncRun,
    SyncRunFolder,
    SyncState,
    WorkerHeartbeat,
)
from mailbox.permissions import Role
from mailbox.tasks import sync as sync_tasks

if TYPE_CHECKING:
    # Generic for the type checker only: Django's classes take no parameters when the program runs.
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline


class ValueFilter(RecentValues):
    """With a word for the empty text, whose link would have none."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield choice | {"display": choice["display"] if choice["display"] != "" else gettext("(none)")}


class ReadOnlyInline(TabularInline):
    """Rows of another table that belong to the one shown; nothing of them is changed here."""

    template = "admin/readonly_inline.html"
    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ModelAdmin):
    """What only workers write: looked at, never edited, and not counted in full, as it may be millions of rows."""

    is_harmless = True  # see PrxAdminSite.register
    show_full_result_count = False
    paginator = EndingPaginator
    list_per_page = 50
    ordering = ("-pk",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def audit(request: HttpRequest, verb: str, account: Account | None, target: str, detail: str = "") -> None:
    user = request.user if isinstance(request.user, User) else None
    AuditEntry.objects.create(user=user, account=account, verb=verb, target=target, detail=detail)


class FolderAdmin(ReadOnlyAdmin):
    list_display = ("name", "account", "special_use", "selectable", "sync_enabled", "gone_at")
    list_filter = ("sync_enabled", "selectable", ("special_use", ValueFilter), OfAccount)
    search_fields = ("name", "account__email")
    list_select_related = ("account",)
    fields = ("account", "name", "special_use", "sync_enabled")
    readonly_fields = ("account", "name", "special_use")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return ModelAdmin.has_change_permission(self, request, obj)

    def save_model(self, request: HttpRequest, obj: Folder, form: Any, change: bool) -> None:
        Folder.objects.filter(pk=obj.pk).update(sync_enabled=obj.sync_enabled)
        sign = "+" if obj.sync_enabled else "-"
        audit(request, "choose_folders", obj.account, f"account:{obj.account_id}", f"{sign}{obj.name}")


class SyncStateAdmin(ReadOnlyAdmin):
    list_display = ("folder", "account", "cursor", "exists", "failure_count", "last_success_at", "next_allowed_at")
    list_filter = ("more_waiting", ("last_error_code", ValueFilter), OfAccount)
    search_fields = ("folder__name", "account__email", "last_error")
    list_select_related = ("folder", "account")


class MessageAdmin(ReadOnlyAdmin):
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


class PlaceAdmin(ReadOnlyAdmin):
    list_display = ("message", "folder", "uid", "uidvalidity", "seen", "size", "received_at", "gone_at")
    list_filter = ("seen", "flagged", "is_complete", ("gone_at", admin.EmptyFieldListFilter))
    search_fields = ("message__subject", "=uid", "raw_digest")
    list_select_related = ("message", "folder")


class AttachmentAdmin(ReadOnlyAdmin):
    list_display = ("filename", "content_type", "size", "message", "is_inline", "removed_at")
    list_filter = ("is_inline", ("content_type", ValueFilter), ("removed_at", admin.EmptyFieldListFilter))
    search_fields = ("filename", "digest")
    list_select_related = ("message",)


class QuarantineAdmin(ReadOnlyAdmin):
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
            % {"number": len(rows)},
        )


class RunLines(ReadOnlyInline):
    model = SyncRunFolder
    fields = ("account", "folder_name", "ok", "fetched", "updated", "quarantined", "bytes", "seconds", "error", "note")


class SyncRunAdmin(ReadOnlyAdmin):
    list_display = (
        "run_id",
        "trigger",
        "requested_by",
        "started_at",
        "finished_at",
        "attempted",
        "succeeded",
        "failed",
    )
    list_filter = ("trigger", "started_at")
    list_select_related = ("requested_by",)
    search_fields = ("run_id",)
    inlines = (RunLines,)


class SyncRunFolderAdmin(ReadOnlyAdmin):
    list_display = ("account", "folder_name", "ok", "fetched", "updated", "quarantined", "seconds", "finished_at")
    list_filter = ("ok", ("error_code", ValueFilter), OfAccount)
    search_fields = ("folder_name", "error", "account__email")
    list_select_related = ("account",)


class AuditAdmin(ReadOnlyAdmin):
    list_display = ("at", "user", "verb", "account", "target", "detail")
    list_filter = (("verb", ValueFilter), OfAccount)
    search_fields = ("target", "detail", "user__username")
    list_select_related = ("user", "account")


class ConnectionTestAdmin(ReadOnlyAdmin):
    list_display = ("account", "requested_by", "requested_at", "finished_at", "imap_ok", "smtp_ok")
    list_filter = ("imap_ok", "smtp_ok", ("imap_code", ValueFilter), ("smtp_code", ValueFilter), OfAccount)
    search_fields = ("account__email", "imap_reply", "smtp_reply", "requested_by__username")
    list_select_related = ("account", "requested_by")


class CounterAdmin(ReadOnlyAdmin):
    list_display = ("name", "hour", "account", "value")
    search_fields = ("account__email",)
    list_filter = ("name", OfAccount)
    list_select_related = ("account",)


class LeaseAdmin(ReadOnlyAdmin):
    list_display = ("account", "purpose", "holder", "expires_at")
    exclude = ("token",)
    list_filter = ("purpose", OfAccount)
    search_fields = ("account__email", "holder")
    list_select_related = ("account",)


class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("host", "cluster_pid", "started_at", "seen_at")
    search_fields = ("host",)


ADMIN_OF: dict[type[Model], type[ReadOnlyAdmin]] = {
    Attachment: AttachmentAdmin,
    AuditEntry: AuditAdmin,
    ConnectionTest: ConnectionTestAdmin,
    Counter: CounterAdmin,
    Folder: FolderAdmin,
    Lease: LeaseAdmin,
    Message: MessageAdmin,
    MessagePlace: PlaceAdmin,
    Quarantine: QuarantineAdmin,
    SyncRun: SyncRunAdmin,
    SyncRunFolder: SyncRunFolderAdmin,
    SyncState: SyncStateAdmin,
    WorkerHeartbeat: HeartbeatAdmin,
}
