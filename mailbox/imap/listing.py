"""LIST, LSUB and STATUS: the folders of an account, their subscriptions, and the identity of a folder."""

from __future__ import annotations

import contextlib
import imaplib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from imapclient.exceptions import IMAPClientError

from mailbox.imap import folder_names
from mailbox.imap.fetch import ListedFolder, listed, text

MOST_NAMESPACES = 10
_MAILBOX_ID = re.compile(rb"MAILBOXID \(([A-Za-z0-9_-]{1,255})\)", re.I)
# Attributes, delimiter and name; the name may be followed by extended data (RFC 5258): `("CHILDINFO" ("SUBSCRIBED"))`.
_ROW = re.compile(rb"\s*+(?:\(([^()]*+)\)|NIL)\s++(\"\\\"|\"[^\"]{0,3}+\"|'.'|[^\s\"]++)\s++(.*)", re.I | re.S)
_QUOTED_NAME = re.compile(rb'"((?:[^"\\]|\\.|(?!))*+)"', re.S)
_EXTENDED_DATA = re.compile(rb' \("[^\r\n]*+\Z')
_NUMBER = re.compile(rb"(UIDVALIDITY|UIDNEXT) (\d+)", re.I)


@dataclass(frozen=True)
class FolderIdentity:
    """Values of STATUS by which a renamed folder is recognised."""

    uidvalidity: int | None
    uidnext: int | None
    mailbox_id: str  # RFC 8474; "" where the server has none


def list_folders(client: Any) -> list[ListedFolder]:
    """List all folders, with special use (RFC 6154) and subscription (RFC 5258, else LSUB)."""
    if client.has_capability("LIST-EXTENDED"):
        with _unless_refused():
            wanted = "SUBSCRIBED SPECIAL-USE" if client.has_capability("SPECIAL-USE") else "SUBSCRIBED"
            rows = _listed_everywhere(client, f"RETURN ({wanted})")
            return [_folder(client, row, "\\subscribed" in {text(flag).lower() for flag in row[0]}) for row in rows]
    rows = _listed_everywhere(client)
    try:
        subscribed = {_folder(client, row, None).name for row in _listed(client, "LSUB")}
    except IMAPClientError:  # IMAP4rev2 has no LSUB: without LIST-EXTENDED the subscriptions are unknown
        return [_folder(client, row, None) for row in rows]
    folders = [_folder(client, row, None) for row in rows]
    return [replace(folder, is_subscribed=folder.name in subscribed) for folder in folders]


@contextlib.contextmanager
def _unless_refused() -> Iterator[None]:
    """Ignore a refusal of LIST-EXTENDED, as some servers offer it and refuse it; the caller then uses plain LIST."""
    try:
        yield
    except (IMAPClientError, imaplib.IMAP4.error) as error:
        if isinstance(error, imaplib.IMAP4.abort):
            raise


def _listed_everywhere(client: Any, *more: str) -> list[tuple[Any, Any, Any]]:
    """LIST "" "*", and a LIST of each namespace of shared folders (RFC 2342) that is missing from its answer.

    Some servers leave those out, as Courier does with #shared.
    """
    rows = _listed(client, "LIST", *more)
    for prefix in _foreign_prefixes(client):
        if not any(str(row[2]).startswith(prefix.rstrip("/.\\")) for row in rows):
            with contextlib.suppress(IMAPClientError, imaplib.IMAP4.readonly):
                rows += _listed(client, "LIST", *more, pattern=f"{prefix}*")
    return rows


def _foreign_prefixes(client: Any) -> list[str]:
    """Prefixes of the namespaces of other users' and shared folders; [] where the server states none or refuses."""
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
    rows = [row for each in _rows(found) if (row := _row(each)) is not None]
    names = {name for *_, name in rows}
    return [(flags, delimiter, _shown(client, name, names)) for flags, delimiter, name in rows]


def _rows(found: list[Any]) -> list[list[Any]]:
    """Group imaplib's items by folder: a name that is a literal comes in two items."""
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


def _row(items: list[Any]) -> tuple[list[bytes], bytes | None, bytes] | None:
    """Attributes, delimiter and raw name of one folder. None for a malformed row, so that the others are still
    listed."""
    first = items[0]
    head, literal = first if isinstance(first, tuple) else (first, None)
    found = _ROW.fullmatch(head) if isinstance(head, bytes) else None
    if found is None:
        return None
    name = _name_in(found[3], literal)
    if not name:  # an empty name or NIL: the row only states the delimiter (RFC 3501, 6.3.8)
        return None
    return (found[1] or b"").split(), _delimiter(found[2]), name


def _shown(client: Any, name: bytes, beside: Collection[bytes]) -> str:
    """The folder's name as text; the same name gets the same text in every listing of this connection."""
    if not client.folder_encode:
        return text(name)
    shown = next((known for known, written in client.written_names.items() if written == name), "")
    shown = shown or folder_names.decoded(name, beside)
    if folder_names.ways_to_write(shown)[0] != name:
        client.written_names[shown] = name
    return shown


def _delimiter(written: bytes) -> bytes | None:
    """The hierarchy delimiter: one character in quotes. None for NIL, which means flat names (RFC 3501, 7.2.2)."""
    bare = written.strip(b"\"'") or (b'"' if written == b'"\\""' else b"")
    return None if written.upper() == b"NIL" or not bare or bare.isdigit() else bare[-1:]


def _name_in(written: bytes, literal: bytes | None) -> bytes | None:
    """The raw name from a literal, a quoted string or an atom (in which some servers write spaces). None for NIL."""
    if literal is not None:
        return literal
    if quoted := _QUOTED_NAME.match(written):
        return re.sub(rb'\\(["\\])', rb"\1", quoted[1])
    bare = _EXTENDED_DATA.sub(b"", written).strip(b" ")  # no tabs: Exchange has names that end in one
    return None if not bare or bare.upper() == b"NIL" else bare


def _folder(client: Any, row: tuple[Any, Any, Any], is_subscribed: bool | None) -> ListedFolder:
    flags, delimiter, name = row
    delimiter = delimiter if isinstance(delimiter, bytes) else None
    return replace(
        listed(flags, delimiter, name), is_subscribed=is_subscribed, is_name_encoded=name not in client.written_names
    )


def identity_of(client: Any, folder: str) -> FolderIdentity:
    """STATUS of a folder that is not open. Raises IMAPClientError when the server refuses, as for a missing folder."""
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
