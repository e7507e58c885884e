"""The base of admins that are only looked at, and the one loop that registers most of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import ForeignKey, Model, OneToOneField
from django.http import HttpRequest
from django.utils.translation import gettext

from mailbox.admin.large_lists import EndingPaginator, RecentValues
from mailbox.models import Account, AuditEntry

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


@dataclass(frozen=True)
class ReadOnlyTable:
    """A read-only admin of nothing but options: `columns` and `filters` of its list, the fields that `search` looks
    into, and of one row's page the fields that are `hidden`, or the `only` ones that are shown."""

    columns: Sequence[str]
    filters: Sequence[Any] = ()
    search: Sequence[str] = ()
    hidden: Sequence[str] = ()
    only: Sequence[str] | None = None

    def admin_class(self, model: type[Model]) -> type[ReadOnlyAdmin]:
        fields = {each.name: each for each in model._meta.get_fields()}
        related = [name for name in self.columns if isinstance(fields.get(name), ForeignKey | OneToOneField)]
        options = {
            "list_display": tuple(self.columns),
            "list_filter": tuple(self.filters),
            "search_fields": tuple(self.search),
            "list_select_related": tuple(related) or False,
            "exclude": tuple(self.hidden) or None,
            "fields": self.only,
        }
        return type(f"{model.__name__}Admin", (ReadOnlyAdmin,), options)


def register_tables(tables: Mapping[type[Model], ReadOnlyTable | type[ModelAdmin]]) -> None:
    for model, shown in tables.items():
        admin.site.register(model, shown.admin_class(model) if isinstance(shown, ReadOnlyTable) else shown)
