"""Reports as text, for their page, the command line and alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _

from mailbox.completeness import compare
from mailbox.localized import grouped
from mailbox.models import Completeness

WHAT = {
    compare.MISSING: _("The server has it and it is not here."),
    compare.HIDDEN: _("The server has it and it is hidden here as deleted."),
    compare.SIZE: _("It had %(stored)s bytes when it was fetched; the server states %(stated)s now."),
    compare.DAMAGED: _("The stored copy is lost or damaged."),
    compare.LOST: _("The stored copy is lost or damaged, and the server gives other bytes than when it was fetched."),
    compare.OTHER_BYTES: _("The server gives other bytes than when it was fetched."),
    compare.WAITING: _("It is not fetched yet."),
    compare.EXPUNGED: _("It is no longer on the server."),
    compare.FLAGS: _("Its flags are others on the server."),
}
REMEDIES = {
    compare.FETCH: _("The next sync fetches it."),
    compare.HIDE: _("The next sync hides it."),
    compare.FOLLOW: _("The next sync takes them."),
    compare.STORED: _("It was fetched from the server and stored again."),
    compare.KEPT: _("What was fetched first is kept."),
    compare.RESTORE: _("It could not be stored again: look at the disk, or restore it from a backup."),
}


@dataclass(frozen=True)
class FindingWords:
    """A finding in words. `remedy`: what to do, or "". `differs`: whether it is a difference that needs a person."""

    uid: int
    what: str
    remedy: str
    differs: bool


@dataclass(frozen=True)
class LineWords:
    """One folder of a report as text. `count`: as "12,340 of 12,340". `besides`: the numbers of messages that are not
    among these and are no difference, as "3 not fetched yet". `tone`: the colour on pages."""

    folder: str
    at: datetime | None
    count: str
    differing: str
    besides: list[str]
    sampled: str
    error: str
    differ: int
    tone: str
    findings: list[FindingWords]


def lines_of(row: Completeness | None) -> list[LineWords]:
    """The folders of the last finished comparison; empty while there is none."""
    return lines_of_document(row.document if row else None)


def lines_of_document(document: Mapping[str, Any] | None) -> list[LineWords]:
    """The folders of a signed report in words; [] for an account without one."""
    return [_line(line) for line in (document or {}).get("report", {}).get("folders", [])]


def _line(line: Mapping[str, Any]) -> LineWords:
    counts = {"stored": grouped(line["stored"]), "all": grouped(line["on_server"])}
    sampled, differ = line["sampled"], line["differ"]
    return LineWords(
        folder=line["folder"],
        at=parse_datetime(line["at"]),
        count=gettext("%(stored)s of %(all)s") % counts,
        differing=ngettext("%(number)s differs", "%(number)s differ", differ) % {"number": grouped(differ)},
        besides=_besides(line),
        sampled=ngettext(
            "%(number)s message was fetched anew and compared",
            "%(number)s messages were fetched anew and compared",
            sampled,
        )
        % {"number": grouped(sampled)},
        error=line["error"],
        differ=differ,
        tone="broken" if differ or line["error"] else "fine",
        findings=[_finding(each) for each in line["findings"]],
    )


def _besides(line: Mapping[str, Any]) -> list[str]:
    words = (
        (line["waiting"], gettext("%(number)s not fetched yet")),
        (line["expunged"], gettext("%(number)s no longer on the server")),
        (line.get("other_flags", 0), gettext("%(number)s with other flags on the server")),
        (line["quarantined"], gettext("%(number)s put aside")),
        (line["let_go"], gettext("%(number)s removed by a rule")),
        (line.get("header_only", 0), gettext("%(number)s too large, of which only the header is here")),
    )
    said = [said % {"number": grouped(number)} for number, said in words if number]
    if former := line.get("renumbered_from"):
        numbers = {"former": former, "current": line["uidvalidity"]}
        told = gettext("renumbered by the server (UIDVALIDITY was %(former)s, is %(current)s): the next sync compares")
        said.insert(0, told % numbers)
    if line.get("gone_at"):
        told = ngettext(
            "removed from the server; %(number)s message of it is kept here, hidden",
            "removed from the server; %(number)s messages of it are kept here, hidden",
            line["kept"],
        )
        said.insert(0, told % {"number": grouped(line["kept"])})
    return said


def _finding(finding: Mapping[str, Any]) -> FindingWords:
    sizes = {"stored": grouped(finding["stored_size"] or 0), "stated": grouped(finding["stated_size"] or 0)}
    what, remedy = WHAT.get(finding["what"], ""), REMEDIES.get(finding["remedy"], "")
    said = gettext(what) % sizes if what else finding["what"]
    return FindingWords(finding["uid"], said, gettext(remedy) if remedy else "", finding["what"] in compare.DIFFERENCES)


def sentence(line: LineWords) -> str:
    """One folder as `INBOX: 12,340 of 12,340 at 03:12; 0 differ`, with the time in the site's zone."""
    if line.error:
        return f"{line.folder}: {line.error}"
    at = f" at {timezone.localtime(line.at):%H:%M}" if line.at else ""
    besides = "".join(f", {each}" for each in line.besides)
    return f"{line.folder}: {line.count}{at}; {line.differing}{besides}"


def in_short(report: Mapping[str, Any]) -> str:
    """A whole report as one sentence, in English."""
    said = f"{report.get('account')}, {report.get('finished_at')}: {report.get('differ')} differ"
    besides = (("not_compared", "could not be compared"), ("not_chosen", "not chosen to be fetched"))
    return said + "".join(f"; folders {words}: {report[name]}" for name, words in besides if report.get(name)) + "."


def is_in_order(row: Completeness) -> bool:
    """Whether nothing differs and all folders were compared. True for an account before its first comparison."""
    return not (row.error or row.differing or row.document.get("report", {}).get("not_compared"))


def of_incident(row: Completeness) -> str:
    """How many messages differ, and the first of them, for an incident."""
    number = ngettext(
        "%(number)s message differs from the server's.", "%(number)s messages differ from the server's.", row.differing
    ) % {"number": grouped(row.differing)}
    first = next(((line, each) for line in lines_of(row) for each in line.findings if each.differs), None)
    if first is None:
        return number
    line, each = first
    where = gettext("%(folder)s, UID %(uid)s: %(what)s %(remedy)s")
    return (
        f"{number} {where % {'folder': line.folder, 'uid': each.uid, 'what': each.what, 'remedy': each.remedy}}".strip()
    )
