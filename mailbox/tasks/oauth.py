"""The tasks of OAuth. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from django.utils import timezone

from mailbox import network
from mailbox.models import OAuthApp
from mailbox.oauth import discovery, exchange, grant_upkeep, sign_in
from mailbox.queueing import queue
from mailbox.tasks import sync as sync_tasks


def queue_finish(pk: int) -> None:
    """Queue the exchange of a sign-in's code for tokens, once the current transaction has committed."""
    queue("mailbox.tasks.oauth_finish", pk, group="oauth")


def oauth_finish(pk: int) -> None:
    """Exchange the code of a returned sign-in for tokens, then list the account's folders. pk: of an OAuthSignIn."""
    account_id = exchange.finish(pk)
    if account_id is not None:
        sync_tasks.queue_folder_listing(account_id)


def queue_discovery(app_id: int) -> None:
    """Queue the reading of a provider's discovery document."""
    queue("mailbox.tasks.oauth_discover", app_id, group="oauth")


def oauth_discover(app_id: int) -> None:
    """Read the discovery document of a provider that an administrator registered."""
    app = OAuthApp.objects.filter(pk=app_id).first()
    if app is not None:
        discovery.read(app)


def oauth_keep() -> None:
    """Finish sign-ins whose task was lost, use refresh tokens before they expire, delete unused grants and old
    sign-ins."""
    if not network.is_off():
        for pk in sign_in.waiting():
            oauth_finish(pk)
        grant_upkeep.use_in_time()
    grant_upkeep.tidy()
    sign_in.forget_old(timezone.now())
