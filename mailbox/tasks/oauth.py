"""django-q2's entry points of OAuth. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from mailbox.models import OAuthApp
from mailbox.oauth import discovery, exchange, schedule, sign_in
from mailbox.tasks import sync as sync_tasks


def queue_finish(pk: int) -> None:
    """Have a worker exchange the code of a sign-in, once the present transaction has committed."""
    transaction.on_commit(lambda: async_task("mailbox.tasks.oauth_finish", pk, group="oauth"))


def oauth_finish(pk: int) -> None:
    account_id = exchange.finish(pk)
    if account_id is not None:
        sync_tasks.queue_folder_listing(account_id)


def queue_discovery(app_id: int) -> None:
    """Have a worker read a provider's discovery document."""
    transaction.on_commit(lambda: async_task("mailbox.tasks.oauth_discover", app_id, group="oauth"))


def oauth_discover(app_id: int) -> None:
    app = OAuthApp.objects.filter(pk=app_id).first()
    if app is not None:
        discovery.read(app)


def oauth_keep() -> None:
    """Use refresh tokens before they lapse, and let go of what is over."""
    schedule.use_in_time()
    schedule.tidy()
    sign_in.forget_old(timezone.now())
