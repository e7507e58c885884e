"""The folders of an account: rows made from LIST. A person chooses which of them are synced.

A renamed folder keeps its row and its messages. The messages of a deleted folder are hidden, and kept for a while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction

from mailbox.clocks import is_due
from mailbox.errors import ProviderError
from mailbox.imap.session import ImapSession, ListedFolder
from mailbox.imap.special_use import with_common_uses
from mailbox.messages import places
from mailbox.models import Account, Folder, MessagePlace, SyncState

LISTING_EVERY = timedelta(days=1)
MAX_NAME = 500  # characters; the column's size
CHUNK = 500  # places in one transaction
SAMPLED = 25  # oldest, and as many newest, UIDs that are compared before a folder counts as renamed
# The columns that a listing changes of a row that is there; gone_at becomes None.
STATED = ["delimiter", "special_use", "selectable", "is_subscribed", "is_name_encoded", "is_label", "gone_at"]
# These hold each message of a Gmail account once; every other folder that Gmail lists is a label on those messages.
GMAIL_FOLDERS = ("\\All", "\\Junk", "\\Trash")


def canonical(name: str) -> str:
    """The folder's name; INBOX is written in capitals, since only its case does not matter (RFC 3501, 5.1)."""
    return "INBOX" if name.upper() == "INBOX" else name


def listing_is_due(account: Account, now: datetime) -> bool:
    """Whether the account's folders were never listed, or last LISTING_EVERY ago. LIST costs a round trip."""
    return is_due(account.folders_listed_at, LISTING_EVERY, now)


def folder_for(account_id: int, name: str) -> Folder:
    """The row of a folder, by its canonical name. A new row is chosen for sync only when it is INBOX."""
    folder, _ = Folder.objects.get_or_create(
        account_id=account_id, name=name, defaults={"sync_enabled": name == "INBOX"}
    )
    return folder


def discover(account: Account, imap: ImapSession, now: datetime) -> None:
    """Update the account's folder rows from LIST. Raises MailError.

    New folders get rows (INBOX is chosen for sync), renamed ones get their new name, deleted ones get `gone_at`. An
    empty LIST deletes nothing.
    """
    listed = _listed(imap)
    labels = _labels(imap, listed.values())
    known = {folder.name: folder for folder in Folder.objects.filter(account=account).select_related("sync_state")}
    missing = [each for name, each in known.items() if name not in listed and name != "INBOX" and not each.gone_at]
    fresh = [name for name, each in listed.items() if each.selectable and _is_away(known.get(name))]
    for folder, name in _renamed(imap, missing, fresh):
        _rename(folder, name, known)
        missing.remove(folder)
    with transaction.atomic():
        _write(account, listed, labels, known, now)
    account.folders_listed_at = now
    for folder in missing if listed else ():
        if _is_gone(imap, folder.name):
            _hide(folder, now)


def _listed(imap: ImapSession) -> dict[str, ListedFolder]:
    """Name -> folder. INBOX is among them though some servers leave it out."""
    found = [each for each in imap.list_folders() if 0 < len(each.name) <= MAX_NAME]
    if found and all(each.name != "INBOX" for each in found) and _exists(imap, "INBOX"):
        found.append(ListedFolder("INBOX", found[0].delimiter, "", selectable=True))
    # Of two lines for one name the one that says "selectable" is believed.
    return {each.name: each for each in sorted(with_common_uses(found), key=lambda each: each.selectable)}


def _is_away(folder: Folder | None) -> bool:
    return folder is None or folder.gone_at is not None


def _write(
    account: Account, listed: dict[str, ListedFolder], labels: set[str], known: dict[str, Folder], now: datetime
) -> None:
    """Save the rows of the listed folders. Of a row that is there, only its columns STATED change."""
    inbox = known.get("INBOX")
    # At the first listing folders are chosen; with INBOX not chosen, a person is asked to choose them.
    is_first = all(_is_away(each) for name, each in known.items() if name != "INBOX")
    is_first = is_first and (inbox is None or inbox.sync_enabled)
    rows = [
        Folder(
            account=account,
            sync_enabled=is_first and each.special_use in GMAIL_FOLDERS if labels else name == "INBOX",
            is_label=name in labels,
            **vars(replace(each, delimiter=each.delimiter[:4])),
        )
        for name, each in listed.items()
    ]
    Folder.objects.bulk_create(rows, update_conflicts=True, unique_fields=["account", "name"], update_fields=STATED)
    for name in listed:
        if name in known and (gone_at := known[name].gone_at) is not None:
            _show_again(known[name], gone_at)
    if labels and is_first:  # INBOX was chosen before the listing showed that All Mail holds its mail too
        Folder.objects.filter(account=account, name__in=labels).update(sync_enabled=False)
    Account.objects.filter(pk=account.pk).update(folders_listed_at=now)


def _labels(imap: ImapSession, folders: Collection[ListedFolder]) -> set[str]:
    """The names of Gmail folders that are labels: all but GMAIL_FOLDERS. None when All Mail is hidden from IMAP."""
    if not imap.has_gmail_labels or not any(each.special_use == "\\All" for each in folders):
        return set()
    return {each.name for each in folders if each.special_use not in GMAIL_FOLDERS}


def _renamed(imap: ImapSession, missing: Sequence[Folder], fresh: Sequence[str]) -> list[tuple[Folder, str]]:
    """(folder, new name) of missing folders that were surely renamed.

    Sure means: the same MAILBOXID (RFC 8474) or, without it, UIDVALIDITY; no other candidate; and the same messages at
    the sampled UIDs.
    """
    states = [state for folder in missing if (state := getattr(folder, "sync_state", None)) and state.uidvalidity]
    pairs: list[tuple[SyncState, str]] = []
    for name in fresh if states else ():
        try:
            identity = imap.identity_of(name)
        except ProviderError:
            continue
        same_id = [state for state in states if identity.mailbox_id and state.folder.mailbox_id == identity.mailbox_id]
        fitting = [
            state
            for state in states
            if not (identity.mailbox_id and state.folder.mailbox_id)
            and state.uidvalidity == identity.uidvalidity
            and (identity.uidnext or 0) > state.cursor
        ]
        pairs += [(state, name) for state in same_id or fitting]
    # Some servers give several folders one UIDVALIDITY: with more than one candidate nothing is sure.
    candidates = Counter(each for pair in pairs for each in pair)
    return [
        (state.folder, name)
        for state, name in pairs
        if candidates[state] == candidates[name] == 1 and _has_the_same_mail(imap, state, name)
    ]


def _has_the_same_mail(imap: ImapSession, state: SyncState, name: str) -> bool:
    """Whether sampled UIDs of the folder have the same INTERNALDATE and size under the new name."""
    if imap.examine(name).uidvalidity != state.uidvalidity:
        return False
    rows = MessagePlace.objects.present().filter(folder=state.folder, uidvalidity=state.uidvalidity).order_by("uid")
    ours = {place.uid: place for place in (*rows[:SAMPLED], *rows.reverse()[:SAMPLED])}
    # Without a size: the server refused this UID.
    theirs = [meta for meta in imap.fetch_meta(sorted(ours)).values() if meta.size]
    return bool(theirs) and all(places.agrees(ours[meta.uid], meta) for meta in theirs)


def _rename(folder: Folder, name: str, known: dict[str, Folder]) -> None:
    """Give the row its new name. A row that has this name belongs to a folder that is gone, and is renamed out of the
    way."""
    former, folder.name = folder.name, name
    with transaction.atomic():
        if (other := known.get(name)) is not None:
            Folder.objects.filter(pk=other.pk).update(name=f"{name[:400]} (gone {other.pk})")
        Folder.objects.filter(pk=folder.pk).update(name=name)
    known.pop(former)
    known[name] = folder


def _exists(imap: ImapSession, name: str) -> bool:
    """Whether the server answers STATUS of this folder."""
    try:
        imap.identity_of(name)
    except ProviderError:
        return False
    return True


def _is_gone(imap: ImapSession, name: str) -> bool:
    """Whether a folder that LIST left out is really gone: STATUS must be refused too, as a LIST may be cut short.

    STATUS of INBOX, which always exists (RFC 3501, 5.1), must be answered: some servers refuse every STATUS at times.
    Raises MailError when it is not.
    """
    if _exists(imap, name):
        return False
    imap.identity_of("INBOX")
    return True


def _hide(folder: Folder, now: datetime) -> None:
    """Mark the folder as gone and hide its messages, except those that lie in another folder too."""
    places.drop_in_parts(MessagePlace.objects.present().filter(folder=folder), now, transaction.atomic)
    Folder.objects.filter(pk=folder.pk).update(gone_at=now)  # last, so that a crash in between repeats the rest


def _show_again(folder: Folder, gone_at: datetime) -> None:
    """The folder is back: show the messages that were hidden with it, and have the next sync compare all of them."""
    rows = MessagePlace.objects.filter(folder=folder, gone_at=gone_at)
    while found := list(rows.order_by("pk").values_list("pk", "message_id")[:CHUNK]):
        with transaction.atomic():
            MessagePlace.objects.filter(pk__in=[pk for pk, _ in found]).update(gone_at=None)
            places.aggregate({message for _, message in found}, gone_at)
    SyncState.objects.filter(folder=folder).update(exists=None, compared_at=None)
