"""Admin of what the site keeps beside mail: pictures, indexes, people's choices, rounds, heartbeats. Only looked at."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model

from mailbox.admin.large_lists import OfAccount
from mailbox.admin.read_only import ReadOnlyAdmin, Table, ValueFilter
from mailbox.models import (
    AccountAlias,
    Completeness,
    ConversationLink,
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
    """Where the bytes lie, never the bytes: a message's page serves them to who may read it."""

    list_display = ("digest", "segment", "offset", "length", "stored_at")
    search_fields = ("=digest", "=segment")
    ordering = ("-stored_at",)


TABLES: dict[type[Model], Table | type[ReadOnlyAdmin]] = {
    ConversationLink: Table(
        ("message", "account", "conversation", "received_at"),
        filters=(OfAccount,),
        search=("=conversation", "message__subject"),
    ),
    DeletionLook: Table(("name", "host_at", "database_at"), search=("name",)),
    FeatureSetting: Table(("feature", "account", "percent", "updated_at"), filters=("feature",)),
    ImageFetch: Table(
        ("message", "asked_by", "asked_at", "claimed_at", "finished_at"),
        filters=(UNFINISHED,),
        search=("message__subject", "asked_by__username"),
    ),
    LaterReading: Table(
        ("message", "purpose", "attempts", "begun_at", "finished_at", "error"),
        filters=(UNFINISHED, "purpose", OfAccount),
        search=("message__subject", "error"),
    ),
    # The words themselves stand in tables that are each database's own.
    MessageSearch: Table(
        ("message", "sort_key", "version"), filters=("version",), search=("message__subject", "=message__pk")
    ),
    Preview: PreviewAdmin,
    ProcessHeartbeat: Table(
        ("host", "role", "pid", "started_at", "seen_at", "release"), filters=("role",), search=("host",)
    ),
    PushHeartbeat: Table(("host", "pid", "started_at", "seen_at"), search=("host",), hidden=("token",)),
    RawMessage: RawAdmin,
    RemoteImage: RemoteImageAdmin,
    Reparse: Table(
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
    Completeness: Table(("account", "next_at", "finished_at", "differing", "error"), filters=(OfAccount,)),
    ScheduleRun: Table(("name", "started_at", "seconds", "ok", "succeeded_at"), filters=("ok",), search=("name",)),
    LegalHold: Table(
        ("__str__", "account", "address", "message", "created_at", "released_at"),
        filters=(("released_at", admin.EmptyFieldListFilter),),
        search=("address", "reason"),
    ),
    LetGo: Table(("folder", "uidvalidity", "uid", "at"), search=("=uid",)),
    RetentionRule: Table(("what", "days", "account", "folder", "removed", "last_removed_at"), filters=("what",)),
    SavedFilters: Table(("key", "filters"), search=("key",)),
    SettingsLookup: Table(
        ("email", "asked_by", "asked_at", "started_at", "finished_at"),
        filters=(UNFINISHED,),
        search=("email", "asked_by__username"),
    ),
    RestoreProof: Table(("proven_at", "backup_at", "messages", "missing", "fault"), search=("fault",)),
    StoreMiss: Table(("host", "file", "first_at", "last_at"), search=("host",)),
    StorageUse: Table(("kind", "account", "items", "size", "counted_at"), filters=("kind", OfAccount)),
    SurveyedUid: Table(
        ("folder", "uidvalidity", "uid", "received_at", "size"),
        filters=(("folder", admin.RelatedOnlyFieldListFilter),),
        search=("folder__name", "=uid"),
    ),
    TableSize: Table(("table", "day", "size", "rows"), search=("table",)),
    MessageViewing: Table(("message", "user", "at"), search=("message__subject", "user__username")),
    AccountAlias: Table(
        ("email", "account", "display_name", "created_at"), filters=(OfAccount,), search=("email", "account__email")
    ),
    TeamMark: Table(
        ("message", "assigned_to", "done_at", "changed_by", "changed_at"),
        filters=(("done_at", admin.EmptyFieldListFilter),),
        search=("message__subject", "assigned_to__username"),
    ),
    TrustedSender: Table(("user", "address", "since"), search=("address", "user__username")),
    UserPreference: Table(
        ("user", "time_zone"), filters=(("time_zone", ValueFilter),), search=("user__username", "time_zone")
    ),
}
