"""LIST, LSUB and STATUS: which folders there are, which are subscribed to, and which one a name stands for."""

from __future__ import annotations

import contextlib
import imaplib
import re
from dataclasses import dataclass, replace
from typing import Any

from imapclient.exceptions import IMAPClientError

from mailbox.imap import folder_names
from mailbox.imap.fetch import ListedFolder, listed, text

MOST_NAMESPACES = 10
_MAILBOX_ID = re.compile(rb"MAILBOXID \(([A-Za-z0-9_-]{1,255})\)", re.I)
_NUMBER = re.compile(rb"(UIDVALIDITY|UIDNEXT) (\d+)", re.I)


@dataclass(frozen=True)
class FolderIdentity:
    """What STATUS says by which a folder is known again under another name."""

    uidvalidity: int | None
    uidnext: int | None
    mailbox_id: str  # RFC 8474; "" where the server has none


def list_folders(client: Any) -> list[ListedFolder]:
    """All folders, with special use (RFC 6154) and subscription (RFC 5258, else LSUB)."""
    if client.has_capability("LIST-EXTENDED"):
        wanted = "SUBSCRIBED SPECIAL-USE" if client.has_capability("SPECIAL-USE") else "SUBSCRIBED"
        rows = _listed_everywhere(client, f"RETURN ({wanted})")
        return [_folder(client, row, "\\subscribed" in {text(flag).lower() for flag in row[0]}) for row in rows]
    rows = _listed_everywhere(client)
    try:
        subscribed = {_folder(client, row, None).name for row in _listed(client, "LSUB")}
    except IMAPClientError:  # IMAP4rev2 has no LSUB any more; who says neither says nothing of subscriptions
        return [_folder(client, row, None) for row in rows]
    folders = [_folder(client, row, None) for row in rows]
    return [replace(folder, is_subscribed=folder.name in subscribed) for folder in folders]


def _listed_everywhere(client: Any, *more: str) -> list[tuple[Any, Any, Any]]:
    """Also what others share (RFC 2342): some servers leave it out of LIST "" "*", as Courier's #shared."""
    rows = _listed(client, "LIST", *more)
    for prefix in _foreign_prefixes(client):
        if not any(str(row[2]).startswith(prefix.rstrip("/.\\")) for row in rows):
            with contextlib.suppress(IMAPClientError, imaplib.IMAP4.readonly):
                rows += _listed(client, "LIST", *more, pattern=f"{prefix}*")
    return rows


def _foreign_prefixes(client: Any) -> list[str]:
    """Of other users' and shared folders; none where the server refuses or does not say."""
    if not client.has_capability("NAMESPACE"):
        return []
    try:
        spaces = client.namespace()
    except (IMAPClientError, ValueError, TypeError, IndexError):
        return []
    found = [*(spaces.other or ()), *(spaces.shared or ())]
    return [prefix for prefix, _ in found if prefix][:MOST_NAMESPACES]


def _listed(client: Any, command: str, *more: str, pattern: str = "*") -> list[tuple[Any, Any, Any]]:
    beneath = client._imap
    beneath.untagged_responses.pop(command, None)
    status, lines = beneath._simple_command(command, '""', client._normalise_folder(pattern), *more)
    client._checkok(command.lower(), status, lines)
    _, found = beneath._untagged_response(status, lines, command)
    return [row for each in _rows(found) if (row := _row(client, each)) is not None]


def _rows(found: list[Any]) -> list[list[Any]]:
    """imaplib gives a name that came as a literal in two pieces."""
    rows: list[list[Any]] = []
    continued = False
    for item in found:
        if item in (b"", None):
            continued = False
        elif continued:
            rows[-1].append(item)
            continued = isinstance(item, tuple)
        else:
            rows.append([item])
            continued = isinstance(item, tuple)
    return rows


def _row(client: Any, items: list[Any]) -> tuple[Any, Any, Any] | None:
    """One folder; None for an answer that makes no sense, which must not hide the others."""
    encoded, client.folder_encode = client.folder_encode, False
    try:
        [(flags, delimiter, name)] = client._proc_folder_list(items)
    except (ValueError, TypeError, IMAPClientError, AssertionError):
        return None
    finally:
        client.folder_encode = encoded
    if name is None or not isinstance(flags, tuple | list):  # NIL is no name
        return None
    flags = [flag for flag in flags if isinstance(flag, bytes)]
    delimiter = (
        delimiter if isinstance(delimiter, bytes) else None
    )  # a number is none, and no reason to lose the folder
    if not encoded:
        return flags, delimiter, text(name)
    shown = folder_names.decoded(name)
    written = name if isinstance(name, bytes) else str(name).encode()
    if folder_names.ways_to_write(shown)[0] != written:
        client.written_names[shown] = written
    return flags, delimiter, shown


def _folder(client: Any, row: tuple[Any, Any, Any], is_subscribed: bool | None) -> ListedFolder:
    flags, delimiter, name = row
    delimiter = delimiter if isinstance(delimiter, bytes) else None
    return replace(
        listed(flags, delimiter, name), is_subscribed=is_subscribed, is_name_encoded=name not in client.written_names
    )


def identity_of(client: Any, folder: str) -> FolderIdentity:
    """STATUS of a folder that is not open. Raises IMAPClientError when the server refuses, as for one that is gone."""
    beneath = client._imap
    items = "UIDVALIDITY UIDNEXT" + (" MAILBOXID" if client.has_capability("OBJECTID") else "")
    beneath.untagged_responses.pop("STATUS", None)
    status, lines = beneath._simple_command("STATUS", client._normalise_folder(folder), f"({items})")
    client._checkok("status", status, lines)
    _, found = beneath._untagged_response(status, lines, "STATUS")
    answer = b" ".join(part for item in found or [] for part in (item if isinstance(item, tuple) else [item]) if part)
    answer = answer[answer.rfind(b"(UIDVALIDITY") if b"(UIDVALIDITY" in answer else 0 :]
    numbers = {key.upper(): int(value) for key, value in _NUMBER.findall(answer)}
    mailbox_id = _MAILBOX_ID.search(answer)
    return FolderIdentity(
        numbers.get(b"UIDVALIDITY"), numbers.get(b"UIDNEXT"), text(mailbox_id[1]) if mailbox_id else ""
    )
