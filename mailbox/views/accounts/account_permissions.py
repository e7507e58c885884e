"""Which accounts a user may operate or administer, for pages with many accounts; at most one query."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User

from mailbox.models import Account, AccountGrant
from mailbox.permissions import ROLES, Role, has_role_everywhere


@dataclass(frozen=True)
class Rights:
    """The pks of the accounts that the user may operate, and administer; None: all accounts."""

    operated: frozenset[int] | None
    administered: frozenset[int] | None

    @classmethod
    def of(cls, user: User | AnonymousUser) -> Rights:
        """The user's rights, by at most one query."""
        if has_role_everywhere(user, Role.ADMINISTRATOR):
            return cls(None, None)
        grants = AccountGrant.objects.filter(user=user.pk) if user.is_active else AccountGrant.objects.none()
        granted = list(grants.values_list("account_id", "role", "account__sends_site_mail"))

        def having(role: Role) -> frozenset[int]:
            enough = {each.value for each in ROLES[ROLES.index(role) :]}
            return frozenset(account for account, its, _sends in granted if its in enough)

        operates_all = has_role_everywhere(user, Role.OPERATOR)
        site = {account for account, _its, sends in granted if sends}  # see permissions.accounts_for
        return cls(None if operates_all else having(Role.OPERATOR), having(Role.ADMINISTRATOR) - site)

    @classmethod
    def of_one(cls, user: AnonymousUser | User, account: Account) -> Rights:
        """The rights for one account from get_account(), which has annotated the user's grant; no query."""
        role = getattr(account, "granted_role", None)

        def having(needed: Role) -> frozenset[int] | None:
            if has_role_everywhere(user, needed):
                return None
            if needed == Role.ADMINISTRATOR and account.sends_site_mail:
                return frozenset()
            return frozenset({account.pk} if role and ROLES.index(role) >= ROLES.index(needed) else ())

        return cls(having(Role.OPERATOR), having(Role.ADMINISTRATOR))

    def may_operate(self, account_id: int) -> bool:
        return self.operated is None or account_id in self.operated

    def may_administer(self, account_id: int) -> bool:
        return self.administered is None or account_id in self.administered
