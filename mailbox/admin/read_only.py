"""Base classes of read-only admins, and `register_tables`, which registers most of the tables."""

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
    """Shows "(none)" for the empty value, whose link would have no text."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield choice | {"display": choice["display"] if choice["display"] != "" else gettext("(none)")}


class ReadOnlyInline(TabularInline):
    """Read-only rows of a related table."""

    template = "admin/readonly_inline.html"
    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ModelAdmin):
    """A read-only admin, for tables that only workers write. Rows are not counted in full, as there may be millions."""

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
    """Record a change made in Django's admin in the site's activity. The verbs are those of views.activity_words."""
    user = request.user if isinstance(request.user, User) else None
    AuditEntry.objects.create(user=user, account=account, verb=verb, target=target, detail=detail)


@dataclass(frozen=True)
class ReadOnlyTable:
    """The options of a read-only admin. `columns`, `filters`, `search`: of the list. `hidden`: fields that a row's page
    leaves out; `only`: the only fields that it shows."""

    columns: Sequence[str]
    filters: Sequence[Any] = ()
    search: Sequence[str] = ()
    hidden: Sequence[str] = ()
    only: Sequence[str] | None = None

    def admin_class(self, model: type[Model]) -> type[ReadOnlyAdmin]:
        """A ModelAdmin with these options; foreign keys among the columns are joined."""
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
    """Register each table's admin, made from a ReadOnlyTable where it is one."""
    for model, shown in tables.items():
        admin.site.register(model, shown.admin_class(model) if isinstance(shown, ReadOnlyTable) else shown)
