"""The accounts whose received mail a user may read: those they may see, except where the feature is off."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from mailbox import features
from mailbox.models import Account, Feature
from mailbox.permissions import accounts_for
from mailbox.views.reading.latest_per_account import of_some


@dataclass(frozen=True)
class Readable:
    """The accounts of one user. `off`: pks of those whose reading is switched off."""

    everyone: list[Account]  # all accounts the user may see, ordered by address
    off: set[int]

    @classmethod
    def of(cls, request: HttpRequest) -> Readable:
        """The accounts of the request's user, ordered by address."""
        everyone = list(accounts_for(request.user).order_by("email"))
        known = features.Rollouts.known_to(request.user)
        return cls(everyone, features.those_off(Feature.INBOX_READ, among=[each.pk for each in everyone], known=known))

    @property
    def accounts(self) -> list[Account]:
        """The accounts whose mail may be shown."""
        return [each for each in self.everyone if each.pk not in self.off]

    def keys(self, request: HttpRequest, chosen: Account | None) -> set[int] | None:
        """The pks to show, None for all accounts; for newest_of_accounts(). Raises FeatureOff if there are none."""
        if chosen:
            if chosen.pk in self.off:
                raise features.refused(Feature.INBOX_READ, chosen)
            return {chosen.pk}
        if self.off and not self.accounts:
            raise features.refused(Feature.INBOX_READ, None)
        return {each.pk for each in self.accounts} if self.off else of_some(request, self.everyone)
