"""Admin of users, with their roles for single accounts. A role for all accounts is one of the user's groups."""

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
    """The user's roles for single accounts."""

    model = AccountGrant
    extra = 0


class OneAdministratorStays(ModelAdmin):
    """Refuses changes on the admin's pages that would leave no administrator."""

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
            pass  # discards messages about the change that was rolled back
        messages.error(request, str(NOBODY_LEFT))
        return redirect(request.get_full_path())


class SafeUserAdmin(OneAdministratorStays, AuditedAdmin, DjangoUserAdmin):
    """Only a superuser may make or change superusers. Django allows it to everybody who may change users."""

    inlines = (GrantInline,)
    filter_horizontal = ()  # its search boxes have no accessible name, a plain select has one
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
        """This page can also disable the password, so it must leave an administrator too."""
        return _one_stays(super().user_change_password, request, *args, **kwargs)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()  # roles for accounts can be given once the user exists


class PlainGroupAdmin(OneAdministratorStays, GroupAdmin):
    """Groups, which are the roles for all accounts, with a plain select."""

    filter_horizontal = ()


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


for model, how in ((User, SafeUserAdmin), (Group, PlainGroupAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, how)
