"""Health of an account's servers: sign-in refused, server in backoff, server that takes no mail.

Decides from rows that the caller has read; makes no queries.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext, ngettext

from mailbox.accounts.condition import AccountNotice
from mailbox.accounts.troubleshooting import is_about_settings, what_to_do
from mailbox.errors import OverQuota
from mailbox.localized import grouped
from mailbox.models import Account, Transport

# An SMTP server counts as failing after either of these: a server that restarts is back before.
FAILURES_TOLERATED = 3
FAILING_TOLERATED = timedelta(minutes=10)


def sign_in_refused(transport: Transport, consequence: str) -> list[AccountNotice]:
    """The statement that the server refuses the sign-in; [] if it does not. `consequence` may contain %(host)s."""
    if transport.needs_sign_in_since is None:
        return []
    return [
        AccountNotice(
            "needs",
            gettext("%(server)s needs sign-in") % {"server": transport.get_kind_display()},
            consequence % {"host": transport.host},
            reply=transport.last_reply,
            advice=what_to_do(transport.last_reply or "refused the sign-in"),
            remedy=f"sign_in_{transport.kind}",
            since=transport.needs_sign_in_since,
        )
    ]


def unavailable(transport: Transport, now: datetime) -> list[AccountNotice]:
    """The statement that the server is in backoff at `now`, and why; [] if not, or if it refused the sign-in."""
    if transport.needs_sign_in_since or transport.next_allowed_at is None or transport.next_allowed_at <= now:
        return []
    if transport.last_reply.startswith(OverQuota.WORDS):
        return [
            AccountNotice(
                "needs",
                gettext("over its quota"),
                gettext("%(host)s says that the account's limit is reached. It is left alone for an hour at a time.")
                % {"host": transport.host},
                reply=transport.last_reply,
                advice=gettext("Make room in the mailbox, or ask the provider for more; then test the connection."),
                kind="over_quota",
                remedy="test",
                until=transport.next_allowed_at,
            )
        ]
    if is_about_settings(transport.last_reply):
        return [_wrong_settings(transport)]
    return [
        AccountNotice(
            "waiting",
            gettext("%(server)s server unavailable") % {"server": transport.get_kind_display()},
            gettext("%(host)s could not be reached, or asked to wait. While workers run, it is asked again by itself.")
            % {"host": transport.host},
            reply=transport.last_reply,
            advice=what_to_do(transport.last_reply) if transport.last_reply else "",
            remedy="test",
            until=transport.next_allowed_at,
        )
    ]


def _wrong_settings(transport: Transport) -> AccountNotice:
    return AccountNotice(
        "broken",
        gettext("%(server)s settings are wrong") % {"server": transport.get_kind_display()},
        gettext(
            "%(host)s cannot be used as it is set here. Waiting does not help: the settings or the server must change."
        )
        % {"host": transport.host},
        reply=transport.last_reply,
        advice=what_to_do(transport.last_reply),
        remedy="edit",
        since=transport.failing_since,
        until=transport.next_allowed_at,
    )


def sending_fails(account: Account, now: datetime) -> bool:
    """Whether the account's SMTP server has failed so often, or for so long, that a person should know."""
    since = account.smtp.failing_since
    if since is None or account.smtp.needs_sign_in_since:
        return False
    if is_about_settings(account.smtp.last_reply):  # waiting does not help
        return True
    return account.smtp.failure_count >= FAILURES_TOLERATED or now - since >= FAILING_TOLERATED


def sending_failure(account: Account, now: datetime, waiting: int) -> list[AccountNotice]:
    """The statement that sending fails; none while no mail is waiting. `waiting`: mails in the account's outbox."""
    smtp = account.smtp
    if not waiting or not sending_fails(account, now):
        return []
    words = ngettext(
        "%(number)s mail waits: %(host)s does not take it. While workers run, it is tried again by itself.",
        "%(number)s mails wait: %(host)s does not take them. While workers run, they are tried again.",
        waiting,
    )
    return [
        AccountNotice(
            "broken",
            gettext("sending fails"),
            words % {"number": grouped(waiting), "host": smtp.host},
            reply=smtp.last_reply,
            advice=what_to_do(smtp.last_reply) if smtp.last_reply else "",
            remedy="edit" if is_about_settings(smtp.last_reply) else "test",
            since=smtp.failing_since,
            until=smtp.next_allowed_at if smtp.next_allowed_at and smtp.next_allowed_at > now else None,
            kind="sending_fails",
        )
    ]
