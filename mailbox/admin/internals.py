"""Admin of what the site keeps beside mail: pictures, indexes, people's choices, rounds, heartbeats. Only looked at."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model

from mailbox.admin.large_lists import OfAccount
from mailbox.admin.records import ReadOnlyAdmin, ValueFilter
from mailbox.models import (
    ConversationLink,
    DeletionLook,
    ImageFetch,
    MessageSearch,
    Preview,
    PushHeartbeat,
    RawMessage,
    RemoteImage,
    Reparse,
    SettingsLookup,
    StorageUse,
    SurveyedUid,
    TrustedSender,
    UserPreference,
)

UNFINISHED = ("finished_at", admin.EmptyFieldListFilter)


class ConversationLinkAdmin(ReadOnlyAdmin):
    list_display = ("message", "account", "conversation", "received_at")
    list_filter = (OfAccount,)
    search_fields = ("=conversation", "message__subject")
    list_select_related = ("message", "account")


class SearchAdmin(ReadOnlyAdmin):
    """The words themselves stand in tables that are each database's own."""

    list_display = ("message", "sort_key", "version")
    list_filter = ("version",)
    search_fields = ("message__subject", "=message__pk")
    list_select_related = ("message",)


class ImageFetchAdmin(ReadOnlyAdmin):
    list_display = ("message", "asked_by", "asked_at", "claimed_at", "finished_at")
    list_filter = (UNFINISHED,)
    search_fields = ("message__subject", "asked_by__username")
    list_select_related = ("message", "asked_by")


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


class TrustedSenderAdmin(ReadOnlyAdmin):
    list_display = ("user", "address", "since")
    search_fields = ("address", "user__username")
    list_select_related = ("user",)


class PreferenceAdmin(ReadOnlyAdmin):
    list_display = ("user", "time_zone")
    list_filter = (("time_zone", ValueFilter),)
    search_fields = ("user__username", "time_zone")
    list_select_related = ("user",)


class RawAdmin(ReadOnlyAdmin):
    """Where the bytes lie, never the bytes: a message's page serves them to who may read it."""

    list_display = ("digest", "segment", "offset", "length", "stored_at")
    search_fields = ("=digest", "=segment")
    ordering = ("-stored_at",)


class ReparseAdmin(ReadOnlyAdmin):
    list_display = (
        "__str__",
        "account",
        "requested_by",
        "started_at",
        "finished_at",
        "total",
        "done",
        "lost",
        "failed",
    )
    list_filter = (UNFINISHED, "everything", OfAccount)
    list_select_related = ("account", "requested_by")


class LookupAdmin(ReadOnlyAdmin):
    list_display = ("email", "asked_by", "asked_at", "started_at", "finished_at")
    list_filter = (UNFINISHED,)
    search_fields = ("email", "asked_by__username")
    list_select_related = ("asked_by",)


class StorageAdmin(ReadOnlyAdmin):
    list_display = ("kind", "account", "items", "size", "counted_at")
    list_filter = ("kind", OfAccount)
    list_select_related = ("account",)


class SurveyedAdmin(ReadOnlyAdmin):
    list_display = ("folder", "uidvalidity", "uid", "received_at", "size")
    list_filter = (("folder", admin.RelatedOnlyFieldListFilter),)
    search_fields = ("folder__name", "=uid")
    list_select_related = ("folder",)


class DeletionLookAdmin(ReadOnlyAdmin):
    list_display = ("name", "host_at", "database_at")
    search_fields = ("name",)


class PushAdmin(ReadOnlyAdmin):
    list_display = ("host", "pid", "started_at", "seen_at")
    exclude = ("token",)


TABLES: dict[type[Model], type[ReadOnlyAdmin]] = {
    ConversationLink: ConversationLinkAdmin,
    DeletionLook: DeletionLookAdmin,
    ImageFetch: ImageFetchAdmin,
    MessageSearch: SearchAdmin,
    Preview: PreviewAdmin,
    PushHeartbeat: PushAdmin,
    RawMessage: RawAdmin,
    RemoteImage: RemoteImageAdmin,
    Reparse: ReparseAdmin,
    SettingsLookup: LookupAdmin,
    StorageUse: StorageAdmin,
    SurveyedUid: SurveyedAdmin,
    TrustedSender: TrustedSenderAdmin,
    UserPreference: PreferenceAdmin,
}
