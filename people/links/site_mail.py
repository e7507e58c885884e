"""The account that sends the site's own mail: none, until an administrator of all accounts chooses one."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction

from mailbox.models import Account, AuditEntry


def sender() -> Account | None:
    """The chosen account, if its sending is switched on."""
    return Account.objects.filter(sends_site_mail=True, send_enabled=True).first()


def chosen() -> int | None:
    """The chosen account's pk, also while its sending is switched off."""
    return Account.objects.filter(sends_site_mail=True).values_list("pk", flat=True).first()


def choose(by: User | None, account: Account | None) -> None:
    """Make this account send the site's own mail; None: no account. Its sync is switched off, since its Sent folder and
    bounces contain links that set passwords."""
    with transaction.atomic():
        former = Account.objects.filter(sends_site_mail=True).exclude(pk=account.pk if account else 0)
        for each in former:
            _note(by, "site_mail_off", each)
        former.update(sends_site_mail=False)
        if account is None:
            return
        if Account.objects.filter(pk=account.pk, sync_enabled=True).exists():
            _note(by, "fetching_off", account)
        changed = Account.objects.filter(pk=account.pk, sends_site_mail=False)
        if changed.update(sends_site_mail=True, sync_enabled=False):
            _note(by, "site_mail_on", account)


def _note(by: User | None, verb: str, account: Account) -> None:
    AuditEntry.objects.create(user=by, verb=verb, target=f"account:{account.pk}", account=account)
