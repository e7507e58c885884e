"""The folders of an account: rows made from LIST. A person chooses which of them are synced.

A renamed folder keeps its row and its messages. The messages of a deleted folder are hidden, and kept for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

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
# These hold each message of a Gmail account once; every other folder that Gmail lists is a label on those messages.
GMAIL_FOLDERS = ("\\All", "\\Junk", "\\Trash")
NAMED = ("delimiter", "special_use", "selectable", "is_subscribed", "is_name_encoded", "is_label", "gone_at")


def canonical(name: str) -> str:
    """The folder's name; INBOX is written in capitals, since only its case does not matter (RFC 3501, 5.1)."""
    return "INBOX" if name.upper() == "INBOX" else name


def listing_is_due(account: Account, now: datetime) -> bool:
    """Whether the account's folders were never listed, or last LISTING_EVERY ago. LIST costs a round trip."""
    return is_due(account.folders_listed_at, LISTING_EVERY, now)


def folder_for(account_id: int, name: str) -> Folder:
    """The row of a folder that the server has just opened. A new row is chosen for sync only when it is INBOX."""
    name = canonical(name)
    folder, _ = Folder.objects.get_or_create(
        account_id=account_id, name=name, defaults={"sync_enabled": name == "INBOX"}
    )
    return folder


def discover(account: Account, imap: ImapSession, now: datetime) -> list[Folder]:
    """Update the account's folder rows from LIST and return those that exist. Raises MailError.

    New folders get rows (INBOX is chosen for sync), renamed ones get their new name, deleted ones get `gone_at`. An
    empty LIST deletes nothing.
    """
    found = [each for each in imap.list_folders() if 0 < len(each.name) <= MAX_NAME]
    if found and not any(canonical(each.name) == "INBOX" for each in found) and _has_inbox(imap):
        found.append(ListedFolder("INBOX", found[0].delimiter, "", selectable=True))
    # Of two lines for one name the one that says "selectable" is believed.
    by_worth = sorted(with_common_uses(found), key=lambda each: each.selectable)
    listed = {canonical(each.name): each for each in by_worth}
    labels = _labels(imap, listed.values())
    known = {folder.name: folder for folder in Folder.objects.filter(account=account).select_related("sync_state")}
    missing = [
        folder for name, folder in known.items() if name not in listed and name != "INBOX" and not folder.gone_at
    ]
    fresh = [name for name in listed if name not in known or known[name].gone_at is not None]
    for folder, name in _renamed(imap, missing, [name for name in fresh if listed[name].selectable]):
        _rename(folder, name, known)
        missing.remove(folder)
    with transaction.atomic():
        is_first = not any(folder.gone_at is None for folder in known.values() if folder.name != "INBOX")
        # With INBOX not chosen, a person is asked to choose the folders.
        is_first = is_first and ("INBOX" not in known or known["INBOX"].sync_enabled)
        new = [_row(account, each, name, labels, is_first) for name, each in listed.items() if name not in known]
        Folder.objects.bulk_create(new, ignore_conflicts=True)
        for name, each in listed.items():
            if name in known:
                _bring_in_line(known[name], each, name in labels)
        if labels and is_first:  # INBOX was chosen before the listing showed that All Mail holds its mail too
            Folder.objects.filter(account=account, name__in=labels).update(sync_enabled=False)
        Account.objects.filter(pk=account.pk).update(folders_listed_at=now)
    account.folders_listed_at = now
    for folder in missing if listed else ():
        if _is_gone(imap, folder.name):
            _hide(folder, now)
    return list(Folder.objects.filter(account=account, gone_at=None))


def _labels(imap: ImapSession, folders: Collection[ListedFolder]) -> set[str]:
    """The names of Gmail folders that are labels: all but GMAIL_FOLDERS. None when All Mail is hidden from IMAP."""
    if not imap.has_gmail_labels or not any(each.special_use == "\\All" for each in folders):
        return set()
    return {canonical(each.name) for each in folders if each.special_use not in GMAIL_FOLDERS}


def _row(account: Account, each: ListedFolder, name: str, labels: set[str], is_first: bool) -> Folder:
    is_chosen = is_first and each.special_use in GMAIL_FOLDERS if labels else name == "INBOX"
    return Folder(
        account=account,
        name=name,
        delimiter=each.delimiter[:4],
        special_use=each.special_use,
        selectable=each.selectable,
        is_subscribed=each.is_subscribed,
        is_name_encoded=each.is_name_encoded,
        is_label=name in labels,
        sync_enabled=is_chosen,
    )


def _bring_in_line(folder: Folder, each: ListedFolder, is_label: bool) -> None:
    stated = (each.delimiter[:4], each.special_use, each.selectable, each.is_subscribed, each.is_name_encoded)
    wanted = (*stated, is_label, None)
    if wanted == tuple(getattr(folder, name) for name in NAMED):
        return
    came_back = folder.gone_at
    for name, value in zip(NAMED, wanted, strict=True):
        setattr(folder, name, value)
    folder.save(update_fields=NAMED)
    if came_back is not None:
        _show_again(folder, came_back)


def _renamed(imap: ImapSession, missing: Sequence[Folder], fresh: Sequence[str]) -> list[tuple[Folder, str]]:
    """(folder, new name) of missing folders that were surely renamed.

    Sure means: the same MAILBOXID (RFC 8474) or, without it, UIDVALIDITY; no other candidate; and the same messages at
    the sampled UIDs.
    """
    missing = [folder for folder in missing if _state(folder) is not None]
    if not missing or not fresh:
        return []
    pairs = []
    for name in fresh:
        try:
            identity = imap.identity_of(name)
        except ProviderError:
            continue
        same_id = [folder for folder in missing if identity.mailbox_id and folder.mailbox_id == identity.mailbox_id]
        fitting = [
            folder
            for folder in missing
            if (state := _state(folder))
            and not (identity.mailbox_id and folder.mailbox_id)
            and state.uidvalidity == identity.uidvalidity
            and (identity.uidnext or 0) > state.cursor
        ]
        pairs += [(folder, name) for folder in same_id or fitting]
    # Some servers give several folders one UIDVALIDITY: with more than one candidate nothing is sure.
    sole = [
        (folder, name)
        for folder, name in pairs
        if sum(other is folder for other, _ in pairs) == 1 and sum(other == name for _, other in pairs) == 1
    ]
    return [(folder, name) for folder, name in sole if _has_the_same_mail(imap, folder, name)]


def _state(folder: Folder) -> SyncState | None:
    state = getattr(folder, "sync_state", None)
    return state if state is not None and state.uidvalidity else None


def _has_the_same_mail(imap: ImapSession, folder: Folder, name: str) -> bool:
    """Whether sampled UIDs of the folder have the same INTERNALDATE and size under the new name."""
    state = _state(folder)
    if state is None or imap.examine(name).uidvalidity != state.uidvalidity:
        return False
    rows = MessagePlace.objects.present().filter(folder=folder, uidvalidity=state.uidvalidity).order_by("uid")
    ends = [*rows[:SAMPLED], *rows.reverse()[:SAMPLED]]
    ours = {place.uid: (place.received_at, place.size) for place in ends}
    metas = imap.fetch_meta_around(sorted(ours))
    # Without a size: the server refused this UID.
    theirs = {meta.uid: (meta.internal_date, meta.size) for meta in metas if meta.size}
    return bool(theirs) and all(_is_the_same(ours[uid], seen) for uid, seen in theirs.items())


def _is_the_same(ours: tuple[datetime, int], theirs: tuple[datetime | None, int]) -> bool:
    """Whether (INTERNALDATE, size) agree; a date that the server does not state agrees with any."""
    return ours[1] == theirs[1] and theirs[0] in (None, ours[0])


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


def _has_inbox(imap: ImapSession) -> bool:
    """Whether the account has an INBOX, which some servers leave out of LIST."""
    try:
        imap.identity_of("INBOX")
    except ProviderError:
        return False
    return True


def _is_gone(imap: ImapSession, name: str) -> bool:
    """Whether a folder that LIST left out is really gone: STATUS must be refused too, as a LIST may be cut short.

    STATUS of INBOX, which always exists (RFC 3501, 5.1), must be answered: some servers refuse every STATUS at times.
    Raises MailError when it is not.
    """
    try:
        imap.identity_of(name)
    except ProviderError:
        imap.identity_of("INBOX")
        return True
    return False


def _hide(folder: Folder, now: datetime) -> None:
    """Mark the folder as gone and hide its messages, except those that lie in another folder too."""
    rows = MessagePlace.objects.present().filter(folder=folder)
    while pks := list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        with transaction.atomic():
            places.drop(Q(pk__in=pks), now)
    Folder.objects.filter(pk=folder.pk).update(gone_at=now)  # last, so that a crash in between repeats the rest


def _show_again(folder: Folder, gone_at: datetime) -> None:
    """The folder is back: show the messages that were hidden with it, and have the next sync compare all of them."""
    rows = MessagePlace.objects.filter(folder=folder, gone_at=gone_at)
    while found := list(rows.order_by("pk").values_list("pk", "message_id")[:CHUNK]):
        with transaction.atomic():
            MessagePlace.objects.filter(pk__in=[pk for pk, _ in found]).update(gone_at=None)
            places.aggregate({message for _, message in found}, gone_at)
    SyncState.objects.filter(folder=folder).update(exists=None, compared_at=None)
