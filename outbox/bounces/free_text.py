"""Reads delivery reports that are only text, as qmail, Exim, Exchange, Domino and others write. Pure.

Such text has no format (except qmail's QSBMF and Exim's X-Failed-Recipients) and changes with version and language. So
a mail is a report only if a mail system sent it, it returns our Message-ID or X-PRX-Attempt, and it says that
something failed or is delayed. `matching` compares the addresses that it names with the mail's recipients.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mailbox.mime import addresses, charsets, html_text
from mailbox.mime.part import Part
from outbox.bounces.report import MAX_ADDRESS, MAX_RECIPIENTS, ParsedReport, RecipientReport, Stamps, clean, status_code

MAX_TEXT = 500_000  # characters; a text-only report ends with the returned mail, whose header comes first
MAX_LINES = 20  # lines after an address that are kept as the words about it
# How the sender addresses of mail systems begin, Exchange's hidden mailbox among them.
SENDERS = (
    *("mailer-daemon", "mailer_daemon", "mailerdaemon", "maildaemon", "mail-daemon", "mail.daemon", "smtp-daemon"),
    *("daemon", "postmaster", "bounce", "microsoftexchange", "mdaemon", "mailadmin", "mail-admin", "administrator"),
)
# Fields of automatic replies: autoresponders of hosting panels, Gmail, FirstClass, and Exchange's inbox rules.
_ANSWER_FIELDS = (
    *("x-autoreply", "x-autorespond", "x-autoresponse", "x-auto-response", "x-auto-reply", "x-autoreply-from"),
    *("x-mail-autoreply", "x-ms-exchange-inbox-rules-loop"),
)
_PRECEDENCES = ("precedence", "x-precedence", "preference")
_NAMES = ("mail delivery", "mailer-daemon", "postmaster", "microsoft outlook", "microsoft exchange")
_STAMP = re.compile(r"^[> \t]{0,8}+(Message-ID|X-PRX-Attempt):[ \t]*+(?:\r?\n[ \t]++)?(\S{1,998})", re.I | re.M)
_ADDRESS = re.compile(
    r"(?<![^\s<>\"'(:;,\[：；，（「。、])([^\s<>\"'():;,\[\]@：；，（）「」。、]{1,64}"  # noqa: RUF001 (full-width signs)
    r"@[^\s<>\"'():;,\[\]@：；，（）「」。、]{1,255})"  # noqa: RUF001
)
_WORD = re.compile(r"\w")
# The line where the returned mail begins, in a report without MIME parts (qmail, Exim, Exchange, Domino, sendmail 8.6).
_COPY = re.compile(
    r"^(?:-{2,} ?(?:(?:Below this line|Enclosed|This) is a copy|Returned (?:Message|mail)|Unsent message)"
    r"|Original message headers|Return-Path:|Received: )",
    re.I | re.M,
)
_FAILED = re.compile(
    r"fail(?:ed|ure)|undeliver|returned (?:to sender|mail)|message returned|reject|refus|unknown|not (?:listed|found)"
    r"|did not reach|(?:gave|given|giving) (?:it )?up|bounced|blocked|does(?: not|n't) exist|no such|over.?quota"
    r"|may not exist|permission to (?:post|send)"
    r"|(?:mailbox|inbox) (?:is )?full|(?:not|n't|unable to|cannot) (?:be |able to )?deliver|permanent"
    r"|\b5[0-7]\d\b|\b5\.\d{1,3}\.\d{1,3}\b"
    # The same in German, French, Spanish, Portuguese, Italian, Dutch, Polish, Russian and twenty more.
    r"|nicht (?:\w+ ){0,2}(?:zugestellt|zustellbar|zustellen|erreicht)|unzustellbar|fehlgeschlagen"
    r"|n[\u2019']a (?:pas|pu)|non remis|échec|impossible|inconnu"
    r"|no (?:se )?(?:ha )?(?:pudo|puede|podido|existe)|no entregad|fallid|rechazad"
    r"|não (?:pôde|pode|foi|existe)|falhou|non (?:è stat|può|consegn|recapit|esiste)|impossibile"
    r"|niet (?:\w+ ){0,2}(?:bezorgd|afgeleverd)|onbestelbaar|nie (?:mogła|można|została|dostarcz)"
    r"|не (?:доставлен|удалось|может|существует)|невозможно|退信|无法|無法|失败|失敗|退回|不存在|不達"
    r"|не (?:може|беше)|teslim edil|bulunamad|kunde inte|kunne ikke|ikke (?:leveret|levert)|ei (?:voi|õnnestu)"
    r"|nepodař|nepodari|nelze|nedoruč|nem (?:kézbesít|sikerült)|sikertelen|nu (?:a putut|poate)"
    r"|nije (?:isporuč|mogu|uspje)"
    r"|δεν (?:ήταν|παραδ|βρέθηκε|μπόρεσε)|αποτυχ|تعذر|فشل|لم يتم|غير موجود|לא (?:ניתן|נמסר|נמצא)|נכשל"
    r"|ไม่(?:สามารถ|พบ)|ล้มเหลว|không (?:thể|gửi|tồn)|thất bại|tidak (?:terkirim|dapat|ditemukan)|gagal|exceed(?:s|ed)\b"
    r"|でき(?:ません|なかった)|存在しません|실패|반송|못했",
    re.I,
)
_DELAYED = re.compile(
    r"delayed|\(delay\)|not yet been delivered|will (?:keep trying|be retried|continue|try again)|still trying"
    r"|for (?:the )?past \d+ (?:hours|minutes)|delivery incomplete|will retry"
    r"|verzögert|retardé|retrasad|ritardat|in ritardo|atrasad|vertraagd|försen|forsink|opóźni|zpožd|késik|gecik"
    r"|задерж|затрим|延迟|延遲|遅延|遅れ|지연",
    re.I,
)


def read(root: Part, parts: Sequence[Part], stamps: Stamps) -> ParsedReport | None:
    """Read a report from its text; returns None if it is none.

    stamps: those of a mail that was returned as a part; if they are empty, they are searched for in the text.
    """
    failed = root.get("x-failed-recipients")
    if not failed and not _is_of_mail_system(root):
        return None
    whole = "\n".join(texts(parts))[:MAX_TEXT].replace("\r\n", "\n")
    copy = _COPY.search(whole)
    said = whole[: copy.start()] if copy else whole
    if stamps == Stamps():
        stamps = stamps_in(whole)
    if stamps == Stamps():
        return None
    found = _recipients(said, failed)
    return ParsedReport(stamps, "", found, is_in_free_text=not failed) if found else None


def _is_of_mail_system(root: Part) -> bool:
    """Whether a mail system sent it, by its sender or by the null reverse-path of notifications (RFC 5321 4.5.5)."""
    if "".join(root.get("return-path").split()) == "<>" and not _is_automatic_answer(root):
        return True
    for each in addresses.read(root.get("from"))[:1]:
        return each.address.lower().startswith(SENDERS) or str(each).lower().lstrip('"').startswith(_NAMES)
    return root.get("from").strip() == "<>"


def _is_automatic_answer(root: Part) -> bool:
    """Whether it is an automatic reply, such as a vacation notice, by its header (RFC 3834 5).

    Such a reply may have a null reverse-path too (RFC 3834 4).
    """
    is_said = any(root.get(name).strip().lower() in ("auto_reply", "auto-reply") for name in _PRECEDENCES)
    return (
        is_said or root.get("auto-submitted").lower().startswith("auto-replied") or any(map(root.get, _ANSWER_FIELDS))
    )


def texts(parts: Sequence[Part]) -> Iterator[str]:
    """The text parts, decoded. HTML parts only if there is no plain text, as they say the same."""
    plain = [part for part in parts if part.content_type == "text/plain"]
    for part in plain or [part for part in parts if part.content_type == "text/html"]:
        octets = charsets.cut(part.octets()[0], 2 * MAX_TEXT)
        text, _ = charsets.decode_text(octets, part.parameter("content-type", "charset"))
        yield (text if plain else html_text.html_lines(text, MAX_TEXT)).replace("\0", " ")  # PostgreSQL takes no NUL


def stamps_in(text: str) -> Stamps:
    """The first Message-ID and X-PRX-Attempt in a text, as a returned header has them; "" for one that is not there."""
    found: dict[str, str] = {}
    for match in _STAMP.finditer(text):
        found.setdefault(match[1].lower(), match[2])
    return Stamps(clean(found.get("message-id", ""), 998), clean(found.get("x-prx-attempt", ""), 64))


def _recipients(said: str, failed: str) -> tuple[RecipientReport, ...]:
    # Exim's X-Failed-Recipients: all of these failed.
    stated = [clean(each.address, MAX_ADDRESS) for each in addresses.read(failed)[:MAX_RECIPIENTS]]
    has_failed = _FAILED.search(said) is not None
    action = "delayed" if _DELAYED.search(said) and not stated else "failed" if has_failed or stated else ""
    if not action:
        return ()
    named = _said_of_each(said)
    found = [
        RecipientReport(address, address, action, status_code(words if len(named) > 1 else said), words)
        for address in stated or named
        for words in [named.get(address, "")]
    ]
    return tuple(found) or (RecipientReport("", "", action, status_code(said), clean(said)),)


def _said_of_each(said: str) -> dict[str, str]:
    """The words about each address: the first line that names it and the lines after it, up to the next address."""
    found: dict[str, list[str]] = {}
    lines = list[str]()
    for line in said.split("\n"):
        named = _ADDRESS.search(line[: 2 * MAX_ADDRESS])
        if named is not None:
            address = named[1].strip(".")
            if address not in found and len(found) == MAX_RECIPIENTS:
                break
            lines = found.setdefault(address, [])
            line = line if _WORD.search(line.replace(address, "")) else ""
        if line.strip() and len(lines) < MAX_LINES:
            lines.append(line)
    return {address: clean(" ".join(words)) for address, words in found.items()}
