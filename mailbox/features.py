"""The feature flags: which accounts may be read, searched, sent from, answered from, retried.

Every service that does one of these asks here: `demand` for one account, `those_off` for lists of many. A
feature that is not set is on. Its share of accounts is stable: an account is within it by a hash of feature and key,
so that raising the share only adds accounts, and two features do not meet the same ones first.
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
from mailbox.lazy_text import Words
from mailbox.models import Account, Feature, FeatureSetting

ALL, NONE = 100, 0
CODE = "FeatureDisabled"  # as programs know the refusal, and outbox.errors.ErrorCode
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
    """0 to 99: the account has the feature when its share is higher."""
    return int.from_bytes(hashlib.sha256(f"{feature}:{account_id}".encode()).digest()[:8]) % 100


@dataclass
class Rollout:
    """How far one feature is rolled out, as PRX-Email calls it."""

    feature: Feature
    percent: int = ALL
    accounts: dict[int, bool] = field(default_factory=dict)  # those that were set by themselves

    def is_on(self, account_id: int) -> bool:
        own = self.accounts.get(account_id)
        return bucket_of(self.feature, account_id) < self.percent if own is None else own

    @property
    def is_on_for_all(self) -> bool:
        return self.percent == ALL and all(self.accounts.values())


class Rollouts(dict[Feature, Rollout]):
    """How far the features that were asked for are rolled out."""

    @classmethod
    def read(cls, *features: Feature, account_id: int | None = None) -> Self:
        """By one query; all features when none is named. With `account_id` what holds for this account alone."""
        rows = FeatureSetting.objects.filter(feature__in=features or list(Feature))
        if account_id is not None:
            rows = rows.filter(account=None) | rows.filter(account=account_id)
        return cls._of(features or tuple(Feature), rows.values_list("feature", "account_id", "percent"))

    @classmethod
    def known_to(cls, user: User | AnonymousUser) -> Self:
        """All features, from what a page asks of its user in any case, without a query of its own. They are read for a
        user without a row, as the command line has one."""
        if user.pk is None:
            return cls.read()
        return cls._of(tuple(Feature), permissions.feature_settings(user))

    @classmethod
    def _of(cls, features: Iterable[Feature], settings: Iterable[tuple[str, int | None, int]]) -> Self:
        found = cls({each: Rollout(each) for each in features})
        for name, account, percent in settings:
            if name not in found:
                continue  # of another release
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
    """The sentence that refuses it to this account; "" when it has the feature. `known`: what is asked instead of the
    database."""
    known = Rollouts.read(feature, account_id=account.pk) if known is None else known
    if known[feature].is_on(account.pk):
        return ""
    return str(refused(feature, account))


def demand(feature: Feature, account: Account) -> None:
    """Raise FeatureOff when the account does not have the feature."""
    if words := refusal(feature, account):
        raise FeatureOff(words)


def those_off(*features: Feature, among: Iterable[int] | None = None, known: Rollouts | None = None) -> set[int]:
    """The keys of the accounts that lack one of the features; `among`: of these, None for all. One query, none where
    the rollouts are `known`, and another where a feature is not on for all and no accounts were given."""
    known = Rollouts.read(*features) if known is None else known
    partial = [known[each] for each in features if not known[each].is_on_for_all]
    if not partial:
        return set()
    pks = Account.objects.values_list("pk", flat=True) if among is None else among
    return {pk for pk in pks if not all(each.is_on(pk) for each in partial)}


def refused(feature: Feature, account: Account | None) -> FeatureOff:
    """`account` None: it is off for every account that a list would show."""
    whom = account.email if account else gettext("every account here")
    return FeatureOff(str(OFF[feature]) % {"account": whom})


def change(feature: Feature, account: Account | None, percent: int | None) -> bool:
    """Set a feature: for a share of all accounts, or NONE or ALL for one of them. None takes the setting back. False
    when it was so already. Raises ValueError for another share."""
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
    """For the activity, in English."""
    whom = account.email if account else "all accounts"
    if percent is None:
        return f"{whom}: as set for all" if account else f"{whom}: on"
    return f"{whom}: {'off' if percent == NONE else 'on' if percent == ALL else f'{percent} %'}"
