"""Which of many accounts a user may operate or administer, in one query each at most."""

from __future__ import annotations

from dataclasses import dataclass
from mailbox.access import Role, accounts_for, has_role_everywhere

from django.contrib.auth.models import AnonymousUser, User


@dataclass(frozen=True)
class Rights:
    """None means every account."""

    operated: frozenset[int] | None
    administered: frozenset[int] | None

    @classmethod
    def of(cls, user: User | AnonymousUser) -> Rights:
        def having(role: str) -> frozenset[int] | None:
            if has_role_everywhere(user, role):
                return None
            return frozenset(accounts_for(user, role).values_list("pk", flat=True))

        return cls(having(Role.OPERATOR), having(Role.ADMINISTRATOR))

    def may_operate(self, account_id: int) -> bool:
        return self.operated is None or account_id in self.operated

    def may_administer(self, account_id: int) -> bool:
        return self.administered is None or account_id in self.administered
