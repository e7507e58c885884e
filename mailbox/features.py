"""Feature flags: for which accounts reading, searching, sending, answering and retrying are on.

Every service that does one of these calls `demand` for one account, or `those_off` for many. A feature without a
setting is on. A feature may be on for a percentage of accounts: a hash of feature and account decides, so that a higher
percentage only adds accounts, and different features begin with different accounts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox import permissions
from mailbox.db import statements
from mailbox.lazy_text import Words
from mailbox.models import Account, Feature, FeatureSetting

ALL, NONE = 100, 0
_OF_ACCOUNT = """SELECT "feature", "account_id", "percent" FROM "feature_settings"
WHERE "feature" = %s AND ("account_id" IS NULL OR "account_id" = %s)"""
CODE = "FeatureDisabled"  # the error code of the HTTP API, and of outbox.errors.ErrorCode
OFF: dict[Feature, Words] = {
    Feature.INBOX_READ: _("Reading received mail is switched off for %(account)s."),
    Feature.INBOX_SEARCH: _("Searching received mail is switched off for %(account)s."),
    Feature.EMAIL_SEND: _("Writing new mail is switched off for %(account)s."),
    Feature.EMAIL_REPLY: _("Answering mail is switched off for %(account)s."),
    Feature.OUTBOX_RETRY: _("Retrying mail by hand is switched off for %(account)s."),
}


class FeatureOff(PermissionDenied):
    """The account does not have the feature; str() is a sentence. Pages and the API answer 403."""


def bucket_of(feature: str, account_id: int) -> int:
    """0 to 99, stable. The account has the feature when its percentage is higher."""
    return int.from_bytes(hashlib.sha256(f"{feature}:{account_id}".encode()).digest()[:8]) % 100


@dataclass
class Rollout:
    """For which accounts one feature is on: a percentage of all, and exceptions. The name is PRX-Email's."""

    feature: Feature
    percent: int = ALL
    accounts: dict[int, bool] = field(default_factory=dict)  # account pk -> on or off, for accounts with a setting

    def is_on(self, account_id: int) -> bool:
        """Whether the account has the feature: by its exception, else by its bucket (`bucket_of`) of the percentage."""
        own = self.accounts.get(account_id)
        return bucket_of(self.feature, account_id) < self.percent if own is None else own

    @property
    def is_on_for_all(self) -> bool:
        """Whether no account is without the feature, so that a query needs no condition for it."""
        return self.percent == ALL and all(self.accounts.values())


class Rollouts(dict[Feature, Rollout]):
    """feature -> Rollout, for the features that were asked for."""

    @classmethod
    def of_account(cls, feature: Feature, account_id: int) -> Self:
        """Read what concerns this account of one feature: each mail asks for it, and the ORM would take longer."""
        return cls._of((feature,), statements.rows(_OF_ACCOUNT, [feature.value, account_id]))

    @classmethod
    def read(cls, *features: Feature) -> Self:
        """Read the features, all when none is named, by one query."""
        rows = FeatureSetting.objects.filter(feature__in=features or list(Feature))
        return cls._of(features or tuple(Feature), rows.values_list("feature", "account_id", "percent"))

    @classmethod
    def known_to(cls, user: User | AnonymousUser) -> Self:
        """All features, from what each page reads of its user in one query (mailbox.permissions).

        They are read from the database for a user without a row, as on the command line.
        """
        if user.pk is None:
            return cls.read()
        return cls._of(tuple(Feature), permissions.feature_settings(user))

    @classmethod
    def _of(cls, features: Iterable[Feature], settings: Iterable[tuple[str, int | None, int]]) -> Self:
        found = cls({each: Rollout(each) for each in features})
        for name, account, percent in settings:
            if name not in found:
                continue  # a feature of another release
            setting = found[Feature(name)]
            if account is None:
                setting.percent = percent
            else:
                setting.accounts[account] = percent == ALL
        return found

    def has(self, account_id: int) -> set[str]:
        """The names of the features that this account has."""
        return {each.feature.value for each in self.values() if each.is_on(account_id)}


def refusal(feature: Feature, account: Account, known: Rollouts | None = None) -> str:
    """A sentence that says that the feature is off for this account; "" when it is on.

    `known`: rollouts that were read already, instead of a query.
    """
    known = Rollouts.of_account(feature, account.pk) if known is None else known
    if known[feature].is_on(account.pk):
        return ""
    return str(refused(feature, account))


def demand(feature: Feature, account: Account) -> None:
    """Raise FeatureOff when the account does not have the feature."""
    if words := refusal(feature, account):
        raise FeatureOff(words)


def those_off(*features: Feature, among: Iterable[int] | None = None, known: Rollouts | None = None) -> set[int]:
    """The pks of the accounts that lack one of the features.

    among: pks to look at; None: all accounts. known: rollouts that were read already.
    One query to read the rollouts, unless they are `known`; one more when `among` is None and a feature is not on for
    all.
    """
    known = Rollouts.read(*features) if known is None else known
    partial = [known[each] for each in features if not known[each].is_on_for_all]
    if not partial:
        return set()
    pks = Account.objects.values_list("pk", flat=True) if among is None else among
    return {pk for pk in pks if not all(each.is_on(pk) for each in partial)}


def unreadable_to(user: User | AnonymousUser) -> set[int]:
    """The pks of the accounts whose received mail may not be read: no page, file or answer tells its subject, its
    sender, a file's name or a word of its text."""
    return those_off(Feature.INBOX_READ, known=Rollouts.known_to(user))


def refused(feature: Feature, account: Account | None) -> FeatureOff:
    """The exception to raise. `account`: None when the feature is off for every account that a list would show."""
    whom = account.email if account else gettext("every account here")
    return FeatureOff(str(OFF[feature]) % {"account": whom})


def change(feature: Feature, account: Account | None, percent: int | None) -> bool:
    """Set a feature for a percentage of all accounts (`account` None), or NONE or ALL for one account.

    percent: None removes the setting. Returns False when nothing changed. Raises ValueError for another percentage.
    """
    if percent is not None and not (NONE <= percent <= ALL if account is None else percent in (NONE, ALL)):
        raise ValueError(percent)
    rows = FeatureSetting.objects.filter(feature=feature, account=account)
    with transaction.atomic():
        if percent is None:
            return rows.delete()[0] > 0
        if rows.filter(percent=percent).exists():
            return False
        FeatureSetting.objects.update_or_create(feature=feature, account=account, defaults={"percent": percent})
    return True


def in_words(account: Account | None, percent: int | None) -> str:
    """The change as words for the activity, in English."""
    whom = account.email if account else "all accounts"
    if percent is None:
        return f"{whom}: as set for all" if account else f"{whom}: on"
    return f"{whom}: {'off' if percent == NONE else 'on' if percent == ALL else f'{percent} %'}"
