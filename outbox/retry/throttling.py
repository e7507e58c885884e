"""Recognises refusals that say that we send too fast or too much, rather than that a mail is wrong. Pure.

Codes do not tell: 450, 451, 452 and 454 all occur, and 4.7.1 is greylisting as often as a limit. So the words decide,
after refusals that are surely about one recipient or one mail were excluded. The tests contain replies of known
servers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

USUAL_SECONDS = 30.0  # first wait, which is then doubled; see policy.unavailable_seconds
_STATED_WAIT = re.compile(
    r"(?:try(?:ing)? again|retry|wait|come back)\D{0,20}(\d{1,5})\s*(s|sec|second|m|min|minute|h|hr|hour)s?\b",
    re.IGNORECASE,
)
_SECONDS_OF = {"s": 1, "m": 60, "h": 3600}

# The recipient's address or mailbox (RFC 3463: X.1.X, X.2.X; Gmail's 450 4.2.1 is about everybody who writes to one of
# its users), what the recipient gets too much of, too many recipients of one mail (RFC 5321, 4.5.3.1.10), and
# greylisting, which is about sender and recipient: no reason to keep all other mail waiting. "Your mailbox has", "the
# sender's mailbox is" and "mailbox has sent" are about ours.
_NOT_OUR_PACE = re.compile(
    r"\b4\.[12]\.\d{1,3}\b|\b4\.5\.3\b|gr[ae]y-?\s?list|\brecipient (?:has|is)\b"
    r"|(?<!your )(?<!sender )(?<!sender's )\bmailbox (?:has|is)\b(?!.{0,40}\bsen(?:t|d|ding)\b)",
    re.IGNORECASE,
)
# A limit on what goes out, by its name, counts whatever else is said: IONOS says it behind "mailbox unavailable".
# SendGrid's credits are the mails that were paid for.
_OUT = r"(?:send|sending|outgoing|outbound|submission|messaging) (?:rate )?(?:limit|quota)s?"
_OUTGOING_LIMIT = re.compile(
    rf"\b{_OUT} (?:(?:has|have) been |was |is )?(?:exceeded|reached)\b"
    rf"|\b(?:exceeded|reached) (?:your|its|the) (?:(?:hourly|daily) )?{_OUT}(?= for|[^\w ]|$)"
    r"|\b(?:message count quota|maximum credits) exceeded\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ThrottlingRule:
    """Words in a reply that ask for a slower pace, and the seconds to wait the first time."""

    words: re.Pattern[str]
    seconds: float


def _rule(words: str, seconds: float = USUAL_SECONDS) -> ThrottlingRule:
    return ThrottlingRule(re.compile(words, re.IGNORECASE | re.DOTALL), seconds)


# The first rule that matches counts.
RULES = (
    # Limits per second (Amazon SES) are over within moments: waiting minutes would waste most of the rate.
    _rule(r"\bmaximum\b.{0,20}\bsending rate exceeded", 2.5),
    _rule(r"\b(daily|24.?hour)\b.{0,40}\b(quota|limit)\b.{0,20}\bexceeded|\bexceeded\b.{0,40}\bdaily\b", 450.0),
    _rule(r"\bhourly\b.{0,40}\b(quota|limit)\b|\bper hour\b|\bhour\b.{0,20}\b(limit|exceeded)", 150.0),
    _rule(r"\bthrottl"),
    _rule(r"\brate.?(?:limit|control)|\brate\b.{0,60}\bexceed|\bexceed.{0,60}\brate\b|\bunusual rate\b"),
    _rule(r"\btoo (fast|quickly|frequent)|\bslow(ing)? down\b|\bunexpected volume\b"),
    # Not "too many recipients" alone, which is about this mail. With "from", Postfix counts those of a client.
    _rule(r"\btoo (many|much) (?!recipients\b(?! from)|hops|received|errors? in)(\w+ ){0,3}?"
          r"(mails?|e-?mails?|messages?|connections?|sessions?|logins?|attempts?|requests?|recipients?|auth\w*)\b"),
    _rule(r"\b(connections?|threads?) (rate )?limit\b"),
    _rule(r"\bfrequency limit"),  # QQ
    _rule(r"\b(?:MI:(?:SFQ|DMC)|RP:(?:QRC|DRC|TRC)|HL:(?:IFC|ICC))\b", 450.0),  # NetEase's signs
    _rule(r"\b(?:sending|outgoing|outbound|submission) (?:limit|quota)\b", 450.0),
    _rule(r"\btemporarily deferred\b"),  # Yahoo, of all mail from an address of ours
    # Exchange Online slows down what it does not know yet: 451 4.7.500 to 4.7.699.
    _rule(r"\b4\.7\.[56]\d\d\b"),
)  # fmt: skip


# Limits reported with 5xx, as if the mail were at fault: the account has used up its hour or day, or was blocked as a
# source of spam. Waiting helps, or a person at the provider.
_SPENT_SECONDS = 450.0
_WHILE = (
    r"(?:(?:per|an?|each|every|within|in|the last|for(?: the| this)?)\s+(?:(?:the )?(?:last|past)\s+)?(?:\d+\s*-?\s*)?"
    r"(?:hours?|days?|minutes?|h)\b|today\b)"
)
# Exchange Online's own names: of its exceptions when an account sent too much, or has no room for its copies of what it
# sends, and of its block of an account that was taken for a source of spam.
_OF_OUR_ACCOUNT = re.compile(
    r"SubmissionQuotaExceeded|OutboundSpam|MessageSubmissionRate|bad outbound sender|STOREDRV\.Submission\S*Quota"
    r"|\b5\.(?:7\.(?:50[123]|705|708|750)|1\.90)\b|\bunusual (?:sending )?(?:activity|rate|volume)\b|\brate.?limited\b"
    r"|\bsending (?:is |has been )?(?:paused|suspended|disabled)\b"
    r"|\boutgoing (?:is )?blocked\b"  # Zoho: 554 5.1.8 Email Outgoing Blocked
    r"|\byour account (?:is|was|has been) (?:\w+ )?(?:suspended|disabled|blocked|locked|restricted)\b",
    re.I,
)
LIMIT_RULES = (
    _rule(r"\bexceed\w* (?:your|its|the|his) (?:[\w-]+ ){0,3}(?:quota|limit|allowance)\b", _SPENT_SECONDS),
    _rule(r"\b(?:exceed\w*|reached|over|limit\w*|quota|max\w*|too (?:many|much))\b.{0,80}\b" + _WHILE, _SPENT_SECONDS),
    _rule(r"\b" + _WHILE + r".{0,30}\b(?:exceed\w*|reached|limit\w*|quota)\b", _SPENT_SECONDS),
    _rule(r"\b(?:hourly|daily|24.?hour)\b.{0,60}\b(?:limit|quota|allowance|max\w*)", _SPENT_SECONDS),
    _rule(r"\b(?:sending|send|outgoing|outbound|submission|relay\w*|sender'?s?)\b.{0,40}\b(?:limits?|quota|rate|volume)\b",
          _SPENT_SECONDS),
    _rule(r"\b(?:mails?|e-?mails?|messages?) (?:limit|quota)\b.{0,20}\b(?:exceed|reach)|\btoo (?:fast|quickly)\b",
          _SPENT_SECONDS),
    _rule(r"\b(?:limit|quota|rate)\b.{0,40}\b(?:sending|sent|outgoing|outbound|submission)\b", _SPENT_SECONDS),
    _rule(r"\b(?:sent|sending) too (?:many|much)\b|\btoo (?:many|much) (?:\w+ ){0,2}(?:mails?|e-?mails?|messages?)\b",
          _SPENT_SECONDS),
    _rule(r"\brate.?limit|\bthrottl|\brate\b.{0,40}\bexceed|\bexceed.{0,40}\brate\b", _SPENT_SECONDS),
    _rule(r"\b(?:MI:(?:SFQ|DMC)|RP:(?:QRC|DRC|TRC)|HL:(?:IFC|ICC))\b|\bfrequency limit", _SPENT_SECONDS),  # NetEase, QQ
)  # fmt: skip
# The same in other languages: a limit on what we send, and that it was reached.
_LIMIT_ELSEWHERE = re.compile(
    r"(?:发信|发送|发件|投递|寄信|送信).{0,12}(?:频率|过高|过快|过多|超|上限|限制|頻率|過高)|频率(?:过高|过快|受限|限制)|今日发"
    r"|送信(?:数|量|回数|制限|上限)?.{0,10}(?:制限|上限|超え|超過)|발송.{0,10}(?:초과|제한|한도)"
    r"|(?:лимит|квот|ограничени)\w*.{0,30}(?:отправк|рассылк|исходящ|писем|сообщений)"
    r"|(?:отправк|рассылк|исходящ)\w*.{0,30}(?:лимит|квот|превыш)"
    r"|sende(?:limit|kontingent|quota)|versand(?:limit|kontingent)|zu viele (?:e-?mails|nachrichten|mails)"
    r"|(?:limite|quota|plafond) d['’]envoi|trop de (?:messages|courriels|e-?mails)"  # noqa: RUF001
    r"|l[ií]mite de env[ií]o|demasiados (?:mensajes|correos)|limite di invio|troppi messaggi|troppe e-?mail",
    re.I,
)
# About this mail (its size, its text), or about the recipient's mailbox and what it takes in.
_NO_LIMIT_OF_OURS = re.compile(
    r"\b5\.(?:1\.[0-79]|2\.[1-4]|3\.4|5\.[23]|6\.\d)\d*\b|\bsize\b|\btoo (?:large|big|long)\b|\bbytes\b|\battachment"
    r"|\b(?:mailbox|inbox|storage|disk)\b.{0,40}\b(?:full|quota|limit)|\bover.?quota\b|\bhops?\b"
    r"|\btrying to (?:contact|reach)\b|\brecipients? (?:has|have|is|exceed)"
    r"|大小|容量|附件|サイズ|크기|размер|вложени|größe|taille|tamaño|dimension|收件人",
    re.IGNORECASE | re.DOTALL,
)


def _limit_seconds(words: str) -> float | None:
    if _OF_OUR_ACCOUNT.search(words):
        return _SPENT_SECONDS
    if _NO_LIMIT_OF_OURS.search(words):
        return None
    if _LIMIT_ELSEWHERE.search(words):
        return _SPENT_SECONDS
    return next((rule.seconds for rule in LIMIT_RULES if rule.words.search(words)), None)


def seconds_to_wait(code: int, words: str) -> float | None:
    """The first wait, in seconds, for a refusal because we send too fast or too much; None for any other refusal."""
    if 400 <= code < 600 and _OUTGOING_LIMIT.search(words):
        return _SPENT_SECONDS
    if 500 <= code < 600:
        return _limit_seconds(words)
    if not 400 <= code < 500 or _NOT_OUR_PACE.search(words):
        return None
    if found := next((rule for rule in RULES if rule.words.search(words)), None):
        return found.seconds
    # "4.7.x, try again in 60 seconds": a policy (RFC 3463, X.7.X) that states a time is a limit as well.
    return USUAL_SECONDS if re.search(r"\b4\.7\.\d", words) and stated_wait_seconds(words) else None


def stated_wait_seconds(words: str) -> float:
    """The wait stated in the server's words ("try again in 5 minutes"), in seconds; at most an hour; 0 for none."""
    if not (found := _STATED_WAIT.search(words)):
        return 0.0
    return float(min(int(found[1]) * _SECONDS_OF[found[2][0].lower()], 3600))
