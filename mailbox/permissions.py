"""Roles and permissions: a group gives a role for all accounts, an AccountGrant a role for one account.

Each role includes the ones before it: a viewer reads, an operator also sends, retries and syncs, an administrator also
edits accounts and policy. A superuser may do everything. All views ask here.
"""

from __future__ import annotations

import zoneinfo
from typing import Any

from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, Func, JSONField, OuterRef, Q, QuerySet, Subquery
from django.http import Http404
from django.utils.translation import gettext

from mailbox.db import statements
from mailbox.models import Account, AccountGrant, FeatureSetting, SavedFilters, UserPreference
from mailbox.models.accounts import AccountQuerySet

Role = AccountGrant.Role
ROLES = (Role.VIEWER, Role.OPERATOR, Role.ADMINISTRATOR)
PERMISSION_OF = {
    Role.VIEWER: "mailbox.view_account",
    Role.OPERATOR: "mailbox.operate_account",
    Role.ADMINISTRATOR: "mailbox.administer_account",
}


# Expressions over User, by name, that other apps need on each page; evaluated in the same query as the roles.
also_asked: dict[str, Any] = {}


def _at_least(role: str) -> list[str]:
    return [each.value for each in ROLES[ROLES.index(Role(role)) :]]


def has_role_everywhere(user: User | AnonymousUser, role: str) -> bool:
    """Whether the user has at least this role for all accounts: by a group, or as superuser."""
    codename = PERMISSION_OF[Role(role)].removeprefix("mailbox.")
    return user.is_active and (user.is_superuser or codename in _granted(user))


# By groups and by the user's own permissions. Both subqueries are of one user.
_GRANTED = """SELECT p."codename" FROM "auth_permission" AS p
INNER JOIN "django_content_type" AS c ON c."id" = p."content_type_id"
WHERE c."app_label" = 'mailbox' AND (
p."id" IN (SELECT "permission_id" FROM "auth_user_user_permissions" WHERE "user_id" = %s)
OR p."id" IN (SELECT g."permission_id" FROM "auth_group_permissions" AS g
INNER JOIN "auth_user_groups" AS u ON u."group_id" = g."group_id" WHERE u."user_id" = %s))"""


def _granted(user: User | AnonymousUser) -> frozenset[str]:
    """The codenames of the user's permissions in mailbox. Programs need no more, and the query for pages takes longer
    than all else that is asked for a mail."""
    kept = getattr(user, "_kept_for_pages", None)
    if kept is not None:
        return frozenset(kept[0])
    granted: frozenset[str] | None = getattr(user, "_granted_in_mailbox", None)
    if granted is None:
        granted = frozenset(name for (name,) in statements.rows(_GRANTED, [user.pk or 0, user.pk or 0]))
        user._granted_in_mailbox = granted  # type: ignore[union-attr]
    return granted


def time_zone_of(user: User) -> str:
    """The time zone that the user chose, such as "Europe/Berlin"; "" for the site's."""
    return _kept(user)[1]


def zone_of(user: User) -> zoneinfo.ZoneInfo | None:
    """The time zone that the user chose; None for the site's, and where this machine's tz database lacks it."""
    name = time_zone_of(user)
    try:
        return zoneinfo.ZoneInfo(name) if name else None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def language_of(user: User) -> str:
    """The code of the language that the user chose; "" for the browser's."""
    return _kept(user)[2]


def also_known(user: User) -> dict[str, Any]:
    """The values of `also_asked` for this user, by name."""
    return _kept(user)[3]


def saved_filters_of(user: User) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(the filters that the user saved, the filters that all users share)."""
    kept = _kept(user)[3]
    return kept["own"], kept["shared"]


def feature_settings(user: User | AnonymousUser) -> list[tuple[str, int | None, int]]:
    """(feature, account pk or None, percent) of all feature settings, which each page needs besides the roles."""
    return [(feature, account, percent) for feature, account, percent in _kept(user)[3]["feature_settings"]]


class _JsonRows(Func):
    """An aggregate: all rows as one JSON array of arrays."""

    template = "JSON_GROUP_ARRAY(JSON_ARRAY(%(expressions)s))"
    output_field = JSONField()

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> tuple[str, Any]:
        return super().as_sql(compiler, connection, template="JSONB_AGG(JSONB_BUILD_ARRAY(%(expressions)s))", **more)


def _all_settings() -> Subquery:
    rows = FeatureSetting.objects.order_by().annotate(_all=_JsonRows("feature", "account_id", "percent"))
    return Subquery(rows.values("_all"), output_field=JSONField())


def _json(rows: QuerySet[Any], column: str) -> Subquery:
    return Subquery(rows.values(column)[:1], output_field=JSONField())


def _kept(user: User | AnonymousUser) -> tuple[frozenset[str], str, str, dict[str, Any]]:
    """What each page needs of the user, in one query: roles for all accounts, time zone, language, filters, features.

    Cached on the user object, which lives for one request. (`has_perm` would need two queries for the roles alone.)
    """
    kept: tuple[frozenset[str], str, str, dict[str, Any]] | None = getattr(user, "_kept_for_pages", None)
    if kept is None:
        names = [name.removeprefix("mailbox.") for name in PERMISSION_OF.values()]
        own = User.user_permissions.through.objects.filter(user=user.pk).values("permission")
        of_groups = Group.permissions.through.objects.filter(group__user=user.pk).values("permission")
        having = Permission.objects.filter(Q(pk__in=own) | Q(pk__in=of_groups), content_type__app_label="mailbox")
        chosen = UserPreference.objects.filter(pk=user.pk)
        preferences = {"zone": Subquery(chosen.values("time_zone")), "language": Subquery(chosen.values("language"))}
        saved = {"own": SavedFilters.key_of(user.pk), "shared": SavedFilters.SHARED}
        filters = {name: _json(SavedFilters.objects.filter(pk=key), "filters") for name, key in saved.items()}
        filters["feature_settings"] = _all_settings()
        asked = {name: Exists(having.filter(codename=name)) for name in names}
        found = User.objects.filter(pk=user.pk or 0).annotate(**preferences, **filters, **asked, **also_asked)
        row = found.values(*preferences, *filters, *names, *also_asked).first() or {}
        granted = frozenset(name for name in names if row.get(name))
        others = {name: row.get(name) for name in also_asked} | {name: row.get(name) or [] for name in filters}
        kept = granted, row.get("zone") or "", row.get("language") or "", others
        user._kept_for_pages = kept  # type: ignore[union-attr]
    return kept


def accounts_for(user: User | AnonymousUser, role: str = Role.VIEWER) -> AccountQuerySet:
    """The accounts for which the user has at least this role."""
    if has_role_everywhere(user, role):
        return Account.objects.all()
    if not user.is_authenticated or not user.is_active:
        return Account.objects.none()
    granted = Account.objects.filter(grants__user=user, grants__role__in=_at_least(role))
    # Not the account that sends the site's own mail: its administrator could read mail for administrators of all.
    return granted.filter(sends_site_mail=False) if role == Role.ADMINISTRATOR else granted


def has_role_somewhere(user: User | AnonymousUser, role: str) -> bool:
    """Whether the user has the role for all accounts or for at least one; by queries."""
    return has_role_everywhere(user, role) or accounts_for(user, role).exists()


def require_role_somewhere(user: User | AnonymousUser, role: str) -> None:
    """Raise PermissionDenied when the user has this role for no account."""
    if not has_role_somewhere(user, role):
        raise PermissionDenied(gettext("This needs the role %(role)s for an account.") % {"role": Role(role).label})


def get_account(
    user: User | AnonymousUser, pk: int, role: str = Role.VIEWER, *, also: dict[str, Any] | None = None
) -> Account:
    """The account, with its transports. Raises Http404 when the user may not see it, PermissionDenied when the role is
    too low.

    `also`: further annotations, by name.
    """
    grants = AccountGrant.objects.filter(user=user.pk, account=OuterRef("pk"))
    found = accounts_for(user).with_transports().filter(pk=pk)
    account = found.annotate(granted_role=Subquery(grants.values("role")[:1]), **(also or {})).first()
    if account is None:
        raise Http404("No such account.")
    if role != Role.VIEWER and not accounts_for(user, role).filter(pk=pk).exists():
        raise PermissionDenied(
            gettext("This needs the role %(role)s for %(account)s.")
            % {"role": Role(role).label, "account": account.email}
        )
    return account


def people_of(account_id: int) -> QuerySet[User]:
    """All active users who may see the account."""
    codenames = [name.removeprefix("mailbox.") for name in PERMISSION_OF.values()]
    having = Permission.objects.filter(codename__in=codenames, content_type__app_label="mailbox")
    by_group = Q(groups__permissions__in=having) | Q(user_permissions__in=having)
    may_see = Q(is_superuser=True) | by_group | Q(account_grants__account=account_id)
    found = User.objects.filter(may_see, is_active=True).values("pk")
    return User.objects.filter(pk__in=found)


def make_groups(**_: Any) -> None:
    """Create the three groups with their permissions; runs after each migrate, and is idempotent.

    Administrators also get the permissions that Django's admin asks for: all of mailbox, outbox and alerts, and users
    (except superusers, see people.admin.SafeUserAdmin). They can open the admin only when marked as staff.
    """
    for index, role in enumerate(ROLES):
        group, _made = Group.objects.get_or_create(name=role.value)
        codenames = [PERMISSION_OF[each].removeprefix("mailbox.") for each in ROLES[: index + 1]]
        permissions = Q(content_type__app_label="mailbox", codename__in=codenames)
        if role == Role.ADMINISTRATOR:
            permissions |= Q(content_type__app_label__in=["mailbox", "outbox", "alerts"])
            permissions |= Q(
                content_type__app_label="auth", codename__in=["view_user", "add_user", "change_user", "view_group"]
            )
        group.permissions.add(*Permission.objects.filter(permissions))
