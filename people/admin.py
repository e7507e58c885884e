"""Admin of users, with the roles they have for some accounts. A role for all accounts is a group of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.shortcuts import redirect

from mailbox.admin.grants import AuditedAdmin
from mailbox.admin.read_only import ModelAdmin
from mailbox.models import AccountGrant
from people.directory.administrators import NOBODY_LEFT, StaysAdministrator, one_stays

if TYPE_CHECKING:
    DjangoUserAdmin = UserAdmin[User]
    StackedInline = admin.StackedInline[AccountGrant, User]
else:
    DjangoUserAdmin, StackedInline = UserAdmin, admin.StackedInline


class GrantInline(StackedInline):
    model = AccountGrant
    extra = 0


class OneAdministratorStays(ModelAdmin):
    """The admin's pages that could take the last administrator away."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return _one_stays(super().changeform_view, request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return _one_stays(super().delete_view, request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return _one_stays(super().changelist_view, request, *args, **kwargs)


def _one_stays(view: Callable[..., Any], request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
    if request.method != "POST":
        return view(request, *args, **kwargs)
    try:
        with one_stays():
            return view(request, *args, **kwargs)
    except StaysAdministrator:
        for _said in messages.get_messages(request):
            pass  # of what was taken back
        messages.error(request, str(NOBODY_LEFT))
        return redirect(request.get_full_path())


class SafeUserAdmin(OneAdministratorStays, AuditedAdmin, DjangoUserAdmin):
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

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """It also switches a person's password off."""
        return _one_stays(super().user_change_password, request, *args, **kwargs)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()  # grants come after the user is there


class PlainGroupAdmin(OneAdministratorStays, GroupAdmin):
    filter_horizontal = ()


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


for model, how in ((User, SafeUserAdmin), (Group, PlainGroupAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, how)
