"""Read-only admin of the other tables: pictures, indexes, people's settings, rounds, heartbeats."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model

from mailbox.admin.large_lists import OfAccount
from mailbox.admin.read_only import ReadOnlyAdmin, ReadOnlyTable, ValueFilter
from mailbox.models import (
    AccountAlias,
    Completeness,
    ConversationLink,
    DatabaseFailure,
    DeletionLook,
    FeatureSetting,
    ImageFetch,
    LaterReading,
    LegalHold,
    LetGo,
    MessageSearch,
    MessageViewing,
    Preview,
    ProcessHeartbeat,
    PushHeartbeat,
    RawMessage,
    RemoteImage,
    Reparse,
    RestoreProof,
    RetentionRule,
    SavedFilters,
    ScheduleRun,
    SettingsLookup,
    StorageUse,
    StoreMiss,
    StoreNote,
    SurveyedUid,
    TableSize,
    TeamMark,
    TrustedSender,
    UserPreference,
)

UNFINISHED = ("finished_at", admin.EmptyFieldListFilter)


class RemoteImageAdmin(ReadOnlyAdmin):
    list_display = ("address_shown", "message", "content_type", "size", "error", "fetched_at")
    list_filter = (("content_type", ValueFilter), ("error", ValueFilter))
    search_fields = ("address", "error", "message__subject")
    list_select_related = ("message",)

    @admin.display(description="address")
    def address_shown(self, image: RemoteImage) -> str:
        return image.address[:120]


class PreviewAdmin(ReadOnlyAdmin):
    list_display = ("digest_shown", "content_type", "state", "reason", "asked_at", "claimed_at")
    list_filter = ("state", ("content_type", ValueFilter))
    search_fields = ("=digest", "=source", "reason")
    ordering = ("-asked_at",)

    @admin.display(description="digest")
    def digest_shown(self, preview: Preview) -> str:
        return preview.digest[:12]


class RawAdmin(ReadOnlyAdmin):
    """Where a raw message's bytes lie, not the bytes: the message's page serves them, to people who may read it."""

    list_display = ("digest", "segment", "offset", "length", "stored_at")
    search_fields = ("=digest", "=segment")
    ordering = ("-stored_at",)


TABLES: dict[type[Model], ReadOnlyTable | type[ReadOnlyAdmin]] = {
    ConversationLink: ReadOnlyTable(
        ("message", "account", "conversation", "received_at"),
        filters=(OfAccount,),
        search=("=conversation", "message__subject"),
    ),
    DeletionLook: ReadOnlyTable(("name", "host_at", "database_at"), search=("name",)),
    FeatureSetting: ReadOnlyTable(("feature", "account", "percent", "updated_at"), filters=("feature",)),
    ImageFetch: ReadOnlyTable(
        ("message", "asked_by", "asked_at", "claimed_at", "finished_at"),
        filters=(UNFINISHED,),
        search=("message__subject", "asked_by__username"),
    ),
    LaterReading: ReadOnlyTable(
        ("message", "purpose", "attempts", "begun_at", "finished_at", "error"),
        filters=(UNFINISHED, "purpose", OfAccount),
        search=("message__subject", "error"),
    ),
    # The indexed words are in tables that differ between SQLite and PostgreSQL and have no model.
    MessageSearch: ReadOnlyTable(
        ("message", "sort_key", "version"), filters=("version",), search=("message__subject", "=message__pk")
    ),
    Preview: PreviewAdmin,
    DatabaseFailure: ReadOnlyTable(("host", "kind", "number", "last_at"), filters=("kind",), search=("host",)),
    ProcessHeartbeat: ReadOnlyTable(
        ("host", "role", "pid", "started_at", "seen_at", "release"), filters=("role",), search=("host",)
    ),
    PushHeartbeat: ReadOnlyTable(("host", "pid", "started_at", "seen_at"), search=("host",), hidden=("token",)),
    RawMessage: RawAdmin,
    RemoteImage: RemoteImageAdmin,
    Reparse: ReadOnlyTable(
        (
            "__str__",
            "account",
            "requested_by",
            "started_at",
            "finished_at",
            "total",
            "done",
            "lost",
            "failed",
        ),
        filters=(UNFINISHED, "everything", OfAccount),
    ),
    Completeness: ReadOnlyTable(("account", "next_at", "finished_at", "differing", "error"), filters=(OfAccount,)),
    ScheduleRun: ReadOnlyTable(
        ("name", "started_at", "seconds", "ok", "succeeded_at"), filters=("ok",), search=("name",)
    ),
    LegalHold: ReadOnlyTable(
        ("__str__", "account", "address", "message", "created_at", "released_at"),
        filters=(("released_at", admin.EmptyFieldListFilter),),
        search=("address", "reason"),
    ),
    LetGo: ReadOnlyTable(("folder", "uidvalidity", "uid", "at"), search=("=uid",)),
    RetentionRule: ReadOnlyTable(
        ("what", "days", "account", "folder", "removed", "last_removed_at"), filters=("what",)
    ),
    SavedFilters: ReadOnlyTable(("key", "filters"), search=("key",)),
    SettingsLookup: ReadOnlyTable(
        ("email", "asked_by", "asked_at", "started_at", "finished_at"),
        filters=(UNFINISHED,),
        search=("email", "asked_by__username"),
    ),
    RestoreProof: ReadOnlyTable(("proven_at", "backup_at", "messages", "missing", "fault"), search=("fault",)),
    StoreMiss: ReadOnlyTable(("host", "file", "first_at", "last_at"), search=("host",)),
    StoreNote: ReadOnlyTable(("host", "is_ours", "written_at", "name"), filters=("is_ours",), search=("host", "name")),
    StorageUse: ReadOnlyTable(("kind", "account", "items", "size", "counted_at"), filters=("kind", OfAccount)),
    SurveyedUid: ReadOnlyTable(
        ("folder", "uidvalidity", "uid", "received_at", "size"),
        filters=(("folder", admin.RelatedOnlyFieldListFilter),),
        search=("folder__name", "=uid"),
    ),
    TableSize: ReadOnlyTable(("table", "day", "size", "rows"), search=("table",)),
    MessageViewing: ReadOnlyTable(("message", "user", "at"), search=("message__subject", "user__username")),
    AccountAlias: ReadOnlyTable(
        ("email", "account", "display_name", "created_at"), filters=(OfAccount,), search=("email", "account__email")
    ),
    TeamMark: ReadOnlyTable(
        ("message", "assigned_to", "done_at", "changed_by", "changed_at"),
        filters=(("done_at", admin.EmptyFieldListFilter),),
        search=("message__subject", "assigned_to__username"),
    ),
    TrustedSender: ReadOnlyTable(("user", "address", "since"), search=("address", "user__username")),
    UserPreference: ReadOnlyTable(
        ("user", "time_zone"), filters=(("time_zone", ValueFilter),), search=("user__username", "time_zone")
    ),
}
