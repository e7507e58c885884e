"""Admin of users, with the roles they have for some accounts. A role for all accounts is a group of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import User
from django.http import HttpRequest

from mailbox.admin.large_lists import OfAccount
from mailbox.admin.read_only import ModelAdmin, audit
from mailbox.models import AccountGrant

if TYPE_CHECKING:
    DjangoUserAdmin = UserAdmin[User]
    StackedInline = admin.StackedInline[AccountGrant, User]
else:
    DjangoUserAdmin, StackedInline = UserAdmin, admin.StackedInline


class GrantInline(StackedInline):
    model = AccountGrant
    extra = 0


class AuditedAdmin(ModelAdmin):
    """Who gave whom which right stands in the activity too, not only in the admin's own history."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        audit(request, "grant_rights", getattr(obj, "account", None), _target(obj), str(obj)[:200])
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        audit(request, "grant_rights", getattr(obj, "account", None), _target(obj), f"{obj}: {_fields(message)}"[:500])
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            audit(request, "withdraw_rights", getattr(obj, "account", None), _target(obj), str(obj)[:200])
        return super().log_deletions(request, queryset)


class SafeUserAdmin(AuditedAdmin, DjangoUserAdmin):
    """Django lets whoever may change users make themselves superuser. Here only a superuser makes superusers."""

    inlines = (GrantInline,)
    filter_horizontal = ()  # a screen reader finds no name for its search boxes; the browser's own list has one
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = (*super().get_readonly_fields(request, obj), "last_login", "date_joined")
        return fields if _is_superuser(request) else (*fields, "is_superuser", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        above = obj is not None and obj.is_superuser and not _is_superuser(request)
        return not above and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        above = obj is not None and obj.is_superuser and not _is_superuser(request)
        return not above and super().has_delete_permission(request, obj)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()  # grants come after the user is there


class GrantAdmin(AuditedAdmin):
    list_display = ("user", "account", "role")
    list_filter = ("role", OfAccount)
    search_fields = ("user__username", "account__email")
    list_select_related = ("user", "account")


class PlainGroupAdmin(GroupAdmin):
    filter_horizontal = ()


def _target(obj: Any) -> str:
    return f"{obj._meta.model_name}:{obj.pk}"


def _fields(message: Any) -> str:
    """The names in the admin's own note of a change; values stay out of it."""
    parts = message if isinstance(message, list) else []
    changed = [each["changed"] for each in parts if isinstance(each, dict) and "changed" in each]
    words = [f"{each.get('object', '')} {', '.join(each.get('fields', []))}".strip() for each in changed]
    words += [str(each["added"].get("object", "")) for each in parts if each.get("added")]
    words += [str(each["deleted"].get("object", "")) for each in parts if each.get("deleted")]
    return "; ".join(words)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))
