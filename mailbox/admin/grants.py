"""Admin of the roles that people have for single accounts."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from mailbox.admin.large_lists import OfAccount
from mailbox.admin.read_only import ModelAdmin, audit


class AuditedAdmin(ModelAdmin):
    """Also writes an audit entry for each change of rights, beside the admin's own history."""

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


class GrantAdmin(AuditedAdmin):
    """Roles of users for single accounts; each change is in the activity."""

    list_display = ("user", "account", "role")
    list_filter = ("role", OfAccount)
    search_fields = ("user__username", "account__email")
    list_select_related = ("user", "account")


def _target(obj: Any) -> str:
    return f"{obj._meta.model_name}:{obj.pk}"


def _fields(message: Any) -> str:
    """The names of the changed fields from the admin's change message; it contains no values."""
    parts = message if isinstance(message, list) else []
    changed = [each["changed"] for each in parts if isinstance(each, dict) and "changed" in each]
    words = [f"{each.get('object', '')} {', '.join(each.get('fields', []))}".strip() for each in changed]
    words += [str(each["added"].get("object", "")) for each in parts if each.get("added")]
    words += [str(each["deleted"].get("object", "")) for each in parts if each.get("deleted")]
    return "; ".join(words)
