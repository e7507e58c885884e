"""An account's health in words: the state first, then the server's own words, then what to do.

Decides from rows that the caller has read; makes no queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from django.conf import settings
from django.db.models import Prefetch
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from mailbox.accounts.condition import AccountNotice
from mailbox.accounts.transport_health import sending_failure, sign_in_refused, unavailable
from mailbox.accounts.troubleshooting import waiting_is_no_use, what_to_do
from mailbox.localized import grouped
from mailbox.models import Account, Folder, PushHeartbeat, SyncState
from mailbox.models.sync import FolderQuerySet
from mailbox.plain_words import without_controls

# Added to SYNC_PUSHED_SECONDS, the longest interval between syncs: time for a round of backoff.
BEHIND_AFTER = timedelta(minutes=5)


def chosen_folders() -> Prefetch[str, FolderQuerySet, str]:
    """For prefetch_related: the folders chosen for sync, with their state, as `account.chosen_folders`."""
    rows = Folder.objects.chosen().select_related("sync_state")
    return Prefetch("folders", queryset=rows, to_attr="chosen_folders")


def state_of(folder: Folder) -> SyncState | None:
    """The folder's sync state, which was read by select_related; None for a folder that has none."""
    return getattr(folder, "sync_state", None)


def conditions(
    account: Account,
    folders: Sequence[Folder],
    now: datetime,
    waiting: Mapping[int, int] = MappingProxyType({}),
    *,
    has_workers: bool = True,
) -> list[AccountNotice]:
    """All statements about the account's health, the most urgent first; never empty.

    folders: those chosen for sync, with their state. waiting: the result of `waiting_mail.of_failing`.
    has_workers: False: no account is fine, and no statement promises a time.
    """
    if account.deleting_since:
        return [_being_deleted(account)]
    found = [
        *sign_in_refused(
            account.imap,
            gettext("%(host)s refused the user name or the password. No mail is fetched until you sign in again."),
        ),
        *sign_in_refused(
            account.smtp,
            gettext(
                "%(host)s refused the user name or the password. Mail to send waits in the outbox until you sign in "
                "again."
            ),
        ),
        *_deletion_stopped(account),
        *_stopped(folders),
        *_failing_folders(account, folders),
        *unavailable(account.imap, now),
        *(sending_failure(account, now, waiting.get(account.pk, 0)) or unavailable(account.smtp, now)),
        *_behind(account, folders, now, has_workers=has_workers),
        *_switches(account),
    ]
    if not has_workers:
        found = [replace(each, until=None) for each in found]  # nobody is there to try again at that time
    order = ("broken", "needs", "waiting", "fine")
    return sorted(found, key=lambda each: order.index(each.tone)) or [_all_well(folders, has_workers=has_workers)]


def oldest_success(folders: Sequence[Folder]) -> datetime | None:
    """The last successful sync of the folder that is furthest behind; None when one never succeeded, or for none."""
    moments = [state.last_success_at if (state := state_of(folder)) else None for folder in folders]
    if not moments or None in moments:
        return None
    return min(moment for moment in moments if moment is not None)


PUSH_WORDS = {
    "connected": _("connected: new mail is here within a second or two"),
    "connecting": _("connecting"),
    "waiting": _("the connection failed; it is tried again by itself, and mail is looked for each minute"),
    "not offered": _("the server does not offer it; mail is looked for each minute"),
    "refused": _("waits for a new sign-in"),
}


def push_words(account: Account, folders: Sequence[Folder], listening: Sequence[PushHeartbeat]) -> str:
    """The state of the account's push connection in words, or why it has none. `listening`: live push processes."""
    if not account.push_enabled:
        return gettext("off: mail is looked for each minute")
    if not account.sync_enabled:
        return gettext("off, as fetching is off")
    if not any(folder.holds_inbox for folder in folders):
        return gettext("off, as INBOX is not synced")
    if account.imap.needs_sign_in_since:
        return str(PUSH_WORDS["refused"])
    if not listening:
        return gettext("no process listens at this moment; while workers run, mail is looked for each minute")
    states = [state for row in listening if (state := row.states.get(str(account.pk)))]
    if not states and all(len(row.states) >= settings.PUSH_CONNECTIONS for row in listening):
        return gettext("all processes that listen have as many accounts as they may; mail is looked for each minute")
    state = "connected" if "connected" in states else states[0] if states else "connecting"
    return str(PUSH_WORDS.get(state, PUSH_WORDS["connecting"]))


def _names(folders: Sequence[Folder]) -> str:
    """Such as "INBOX and 3 more"."""
    if len(folders) == 1:
        return without_controls(folders[0].name)
    more = len(folders) - 1
    return ngettext("%(name)s and %(number)s more", "%(name)s and %(number)s more", more) % {
        "name": without_controls(folders[0].name),
        "number": grouped(more),
    }


def _stopped(folders: Sequence[Folder]) -> list[AccountNotice]:
    """The folders whose sync is stopped until a person resumes it."""
    stopped = [(folder, state) for folder in folders if (state := state_of(folder)) and state.stopped_at]
    if not stopped:
        return []
    names = _names([folder for folder, _state in stopped])
    return [
        AccountNotice(
            "needs",
            gettext("folder stopped"),
            gettext(
                "The server renumbered %(names)s again and again (UIDVALIDITY), so nothing is fetched "
                "from there. What is here stays."
            )
            % {"names": names},
            advice=gettext("Ask the server's operator why UIDVALIDITY changes; go on when it has come to rest."),
            kind="folder_stopped",
            remedy="go_on",
            since=stopped[0][1].stopped_at,
        )
    ]


def _failing_folders(account: Account, folders: Sequence[Folder]) -> list[AccountNotice]:
    if not account.sync_enabled or account.imap.needs_sign_in_since:
        return []
    failing = [
        (folder, state)
        for folder in folders
        if (state := state_of(folder)) and state.failure_count and state.last_error and not state.stopped_at
    ]
    if not failing:
        return []
    folder, state = max(failing, key=lambda pair: (_waiting_is_no_use(pair[1]), pair[1].failure_count))
    names = _names([folder, *(each for each, _state in failing if each is not folder)])
    no_use = _waiting_is_no_use(state)
    return [
        AccountNotice(
            "broken" if state.failure_count > 2 or no_use else "waiting",
            gettext("sync fails"),
            ngettext(
                "The last try to fetch %(names)s failed.",
                "The last %(number)s tries to fetch %(names)s failed.",
                state.failure_count,
            )
            % {"number": grouped(state.failure_count), "names": names},
            reply=state.last_error,
            advice=what_to_do(state.last_error),
            remedy="edit" if no_use else "sync",
            since=state.last_success_at,
            until=state.next_allowed_at,
            kind="sync_fails",
        )
    ]


def _waiting_is_no_use(state: SyncState) -> bool:
    return waiting_is_no_use(state.last_error, has_worked=state.last_success_at is not None)


def _behind(account: Account, folders: Sequence[Folder], now: datetime, *, has_workers: bool) -> list[AccountNotice]:
    if not account.sync_enabled or account.imap.needs_sign_in_since:
        return []
    if not folders:
        label = gettext("no folder chosen") if account.folders_listed_at else gettext("first sync is waiting")
        words = (
            gettext("No folder is synced. Choose at least one.")
            if account.folders_listed_at
            else _not_looked_at(has_workers=has_workers)
        )
        remedy = "folders" if account.folders_listed_at else "sync"
        return [AccountNotice("needs" if account.folders_listed_at else "waiting", label, words, remedy=remedy)]
    late = [folder for folder in folders if _is_behind(account, folder, now)]
    if not late:
        return []
    names = _names(late)
    return [
        AccountNotice(
            "needs",
            gettext("behind"),
            gettext("%(names)s was not fetched for more than %(minutes)s minutes.")
            % {"names": names, "minutes": behind_after() // timedelta(minutes=1)},
            kind="behind",
            remedy="sync",
            since=oldest_success(late),
        )
    ]


def _not_looked_at(*, has_workers: bool) -> str:
    if has_workers:
        return gettext("The workers have not looked at this account yet; they do within a minute.")
    return gettext("No worker has looked at this account yet, and none is running: it waits until one is started.")


def _no_worker(folders: Sequence[Folder]) -> AccountNotice:
    words = gettext("Nothing is fetched or sent until a worker is started. What you ask for waits.")
    return AccountNotice("needs", gettext("no worker runs"), words, since=oldest_success(folders), kind="no_worker")


def _is_behind(account: Account, folder: Folder, now: datetime) -> bool:
    state = state_of(folder)
    if state and (state.failure_count or state.stopped_at):
        return False  # _failing_folders() and _stopped() say so, with the reason
    last = state.last_success_at if state else None
    return (last or max(account.created_at, folder.created_at)) < now - behind_after()


def behind_after() -> timedelta:
    """How long a folder may go without a sync before its account counts as behind."""
    return timedelta(seconds=settings.SYNC_PUSHED_SECONDS) + BEHIND_AFTER


def _being_deleted(account: Account) -> AccountNotice:
    words = gettext("Its mail is removed here part by part, and then the account. Nothing is changed on its servers.")
    return AccountNotice("waiting", gettext("being deleted"), words, since=account.deleting_since)


def _deletion_stopped(account: Account) -> list[AccountNotice]:
    if account.deletion_stopped_at is None:
        return []
    return [
        AccountNotice(
            "needs",
            gettext("deletion stopped"),
            gettext(
                "Its deletion had begun when a legal hold was set or mail was written, and was stopped: a part of its "
                "mail may be removed here, and nothing is fetched or sent."
            ),
            advice=gettext("Keep the account, and its mail is fetched again; or delete it when nothing holds it up."),
            kind="deletion_stopped",
            remedy="deletion",
            since=account.deletion_stopped_at,
        )
    ]


def _switches(account: Account) -> list[AccountNotice]:
    found = []
    if account.sending_paused_at:
        words = gettext("New mail is accepted and waits in the outbox until sending is resumed.")
        found.append(
            AccountNotice("needs", gettext("sending paused"), words, remedy="resume", since=account.sending_paused_at)
        )
    if not account.sync_enabled:
        found.append(
            AccountNotice(
                "waiting",
                gettext("fetching is off"),
                gettext("No mail is fetched until it is switched on."),
                remedy="fetch_on",
            )
        )
    if not account.send_enabled:
        words = gettext("This account may not send; switch it on in its settings.")
        found.append(AccountNotice("waiting", gettext("sending is off"), words, remedy="edit"))
    return found


def _all_well(folders: Sequence[Folder], *, has_workers: bool) -> AccountNotice:
    states = [state for folder in folders if (state := state_of(folder))]
    if not any(state.last_success_at for state in states):
        words = _not_looked_at(has_workers=has_workers)
        return AccountNotice("waiting", gettext("first sync is waiting"), words, remedy="sync")
    if not has_workers:
        return _no_worker(folders)
    if any(state.more_waiting for state in states):
        return AccountNotice(
            "fine",
            gettext("fetching"),
            gettext("Older mail is being fetched, batch by batch."),
            since=oldest_success(folders),
        )
    return AccountNotice(
        "fine", gettext("fine"), gettext("Mail is fetched as it comes."), since=oldest_success(folders)
    )
