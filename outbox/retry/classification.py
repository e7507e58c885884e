"""Classifies failures: by their phase first, then by reply code, enhanced status code and words. Pure.

`policy` decides what then becomes of the mail, and when it is tried again.

RFC 5321 4.2 (reply codes) and 3.8 (a lost connection counts as 451), RFC 3463 (enhanced codes; X.4.X is the network and
routing), RFC 4954 6 (codes of AUTH). The tests of this module hold providers' own sentences.
"""

from __future__ import annotations

import re

from outbox.retry import throttling
from outbox.retry.faults import AFTER_DOT, OPENING, Fault, Kind, Phase, Verdict

# 530 "authentication required", 534 "mechanism too weak" and Google's "log in with your browser", 535 "credentials
# invalid", 538 "encryption required for this mechanism" (RFC 4954 6), 525 "user account disabled" (RFC 5248).
_SIGN_IN_CODES = (525, 530, 534, 535, 538)
# RFC 4954 6: 432 4.7.12 "a password transition is needed". The code alone does not tell: by 432 4.3.2 Exchange Online
# refuses more connections than it takes at once.
_TRANSITION = re.compile(r"\b4\.7\.12\b|\bpassword transition\b", re.IGNORECASE)
_SIGN_IN_WORDS = re.compile(
    r"\b5\.7\.(?:3|8|9|13|14|30|57|60|139)\b"
    r"|\bauth\w*\b.{0,40}\b(?:fail\w*|unsuccessful|invalid|rejected|denied|disabled)\b"
    r"|\b(?:invalid|incorrect|bad|wrong)\b.{0,20}\b(?:user\w*|login|password|credentials?)\b"
    r"|\b(?:user ?name|password|credentials?)\b.{0,40}\b(?:not accepted|invalid|incorrect|wrong|rejected)\b"
    r"|\b(?:account|user|mailbox)\b.{0,30}\b(?:disabled|locked|suspended|blocked|inactive|no permission)\b",
    re.IGNORECASE | re.DOTALL,
)
# Temporary trouble of the server, reported with the code for a wrong password, unless words about the secret are there.
_PASSING_WORDS = re.compile(
    r"\b535[ -]4\.\d\.\d|\btemporar(?:y|ily)\b|\btry (?:again )?later\b|\btoo many\b"
    r"|\b(?:system|server) (?:is )?busy\b"
    r"|\b(?:lost|closed|dropped)\b.{0,20}\bconnection\b|\bconnection (?:lost|closed)\b|\binternal (?:server )?error\b"
    r"|(?<!reason )\bunavailable\b|\btimed? ?out\b|系统繁忙|稍后",
    re.IGNORECASE | re.DOTALL,
)
_ABOUT_THE_SECRET = re.compile(r"\b(?:password|credentials?|user ?name)\b|密码|授权码", re.I)
_SIGN_IN_FIRST = re.compile(
    r"\bauth\w* (?:is )?(?:required|needed|first)\b"
    r"|\b(?:must|need to|please|should) (?:first )?(?:be )?(?:auth\w*|log ?in|sign in)\b"
    r"|\bnot (?:authenticated|logged in)\b(?! by)|\bturn on (?:smtp )?auth|\bwithout auth\w*",
    re.I,
)
# Exchange's words for a recipient who takes mail of colleagues only.
_OF_THE_RECIPIENT = re.compile(
    r"\bRESOLVER\.RST\b|\b5\.7\.13[34]\b|\bsending to this (?:group|mailbox|recipient)\b", re.I
)
# "550 Greylisted", "554 temporarily deferred": transient refusals with 5xx codes.
_FOR_NOW_WORDS = re.compile(
    r"gr[ae]y-?\s?list|\btemporar(?:y|ily)\b|\b(?:try|retry)(?: it)?(?: again)? (?:later|in (?:a|\d))"
    r"|\bcome back later\b|(?<!permanently )\bdeferred\b",
    re.I,
)
_FOR_NOW_ELSEWHERE = re.compile(
    r"später (?:erneut|noch ?einmal|wieder)|vorübergehend|plus tard|temporair|más tarde|temporalmente|più tardi"
    r"|temporane|mais tarde|tempor[aá]ri[ao]|позже|временн|稍后|稍後|暂时|暫時|しばらく|一時的|나중에|일시적"
    r"|灰名单|灰名單",
    re.I,
)
_OF_THE_SESSION = re.compile(
    r"\bcommand\b.{0,40}\b(?:un)?(?:recogni[sz]ed|known|implemented)\b|\bunknown command\b", re.I
)
# X.4.X anywhere in the words (qmail writes "(#4.4.1)"), but not as part of an IP address.
_NETWORK_STATUS = re.compile(r"(?<![\d.])[245]\.4\.\d{1,3}(?!\.?\d)")
_PARTY = (
    r"(?:connections?|sessions?|links?|channel|conversation|socket|peer|remote|relay|prox(?:y|ied)|backend|upstream)"
)
_BROKEN = r"(?:lost|dropped|broken|aborted|reset|interrupted|terminated|closed|gone|died|disconnect\w*|unexpectedly)"
# Words of a server that has lost the connection to its relay, or waited too long: it cannot know what the relay did.
_LOST_WORDS = re.compile(
    r"time[ds]?[\s-]?outs?\b|\btiming out\b|\bdeadline exceeded|\btook too long\b|\btoo slow\b|\btime limit\b"
    rf"|\b{_PARTY}\b.{{0,60}}\b{_BROKEN}\b|\b{_BROKEN}\b.{{0,40}}\b{_PARTY}\b"
    r"|\bdisconnect(?:ed|ion)?\b|\bbroken pipe\b|\bend[ -]of[ -]file\b|\bEOF\b|\bhung up\b|\bwent away\b"
    r"|\b(?:not|never|stopped) (?:respond|answer|reply)\w*|\bno (?:response|answer|reply)\b"
    r"|\bnetwork (?:error|failure|problem|trouble)\b|\bcommunication (?:error|failure|problem)\b"
    r"|\bPRX\d\b"  # Exchange's front end: its proxy session to the mailbox server failed
    r"|超时|超時|逾時|连接(?:中断|断开|丢失)|タイムアウト",
    re.IGNORECASE | re.DOTALL,
)
# A 5xx with a reason in the mail, its addresses or a policy, or about the number of hops, is a definite answer, even if
# it mentions the connection.
_REASON_IN_THE_MAIL = re.compile(r"\b5\.[1267]\.\d{1,3}\b|\bhops?\b|\b(?:mail|routing) loop", re.I)
_TOO_MANY_RECIPIENTS = re.compile(
    r"\b[45]\.5\.3\b|\btoo many (?:recipients|rcpts?|addresses)\b"
    r"|\b(?:recipients?|rcpts?)(?: count| per \w+)? (?:limit|exceed)"
    r"|\b(?:max\w*|exceed\w*|more than|at most|limit of) (?:(?:number of|the|\d+) ){0,2}(?:recipients|rcpts?)\b",
    re.I,
)


def is_transient_code(code: int) -> bool:
    """Whether the code is transient: 4xx (RFC 5321 4.2.1), and 503 "bad sequence", as a new session may succeed."""
    return 400 <= code < 500 or code == 503


def is_for_now(code: int | None, words: str) -> bool:
    """Whether a recipient with this refusal is tried again.

    So is 552 "too many recipients", which means 452 (RFC 5321 4.5.3.1.10), and 5xx about a limit on what we send.
    """
    if code is None or is_transient_code(code):
        return True
    is_limit = throttling.seconds_to_wait(code, words) is not None
    return bool(_TOO_MANY_RECIPIENTS.search(words)) or _is_said_for_now(words) or is_limit


def classify(fault: Fault) -> Verdict:
    """The meaning of a failure for the mail that was tried."""
    if fault.kind in (Kind.NETWORK, Kind.PROTOCOL):
        return Verdict.UNCERTAIN if fault.phase in AFTER_DOT else Verdict.TRANSIENT
    if fault.kind in (Kind.UNKNOWN, Kind.AWAY):
        return Verdict.TRANSIENT
    if fault.kind is Kind.LOCAL or fault.code is None:
        return Verdict.TRANSIENT if fault.phase in OPENING else Verdict.PERMANENT
    if fault.phase in OPENING:
        return _of_opening(fault.phase, fault.code, fault.reply)
    return _of_mail(fault.phase, fault.code, fault.reply)


def _of_opening(phase: Phase, code: int, words: str) -> Verdict:
    """A failure before MAIL: never permanent for a row; the account's queue waits, or a new sign-in is needed."""
    is_passing = _PASSING_WORDS.search(f"{code} {words}") and not _ABOUT_THE_SECRET.search(words)
    if phase is Phase.AUTH and code == 535 and is_passing:
        return Verdict.THROTTLED
    is_sign_in = code in _SIGN_IN_CODES or (code == 432 and _TRANSITION.search(words))
    if phase is Phase.AUTH and (is_sign_in or (code >= 500 and _SIGN_IN_WORDS.search(words))):
        return Verdict.SIGN_IN
    if code == 421 or (code == 454 and phase is Phase.AUTH) or throttling.seconds_to_wait(code, words) is not None:
        return Verdict.THROTTLED
    return Verdict.TRANSIENT


def _of_mail(phase: Phase, code: int, words: str) -> Verdict:
    if code in (530, 535) or (code >= 500 and phase not in AFTER_DOT and _asks_to_sign_in(words)):
        return Verdict.SIGN_IN
    if phase in AFTER_DOT and is_outcome_unknown(code, words):
        return Verdict.UNCERTAIN
    if code == 421 or (code == 454 and "4.7.0" in words) or throttling.seconds_to_wait(code, words) is not None:
        return Verdict.THROTTLED
    if is_transient_code(code) or (code >= 500 and _is_said_for_now(words)):
        return Verdict.TRANSIENT
    if code in (500, 502) and phase is Phase.MAIL and _OF_THE_SESSION.search(words):
        return Verdict.TRANSIENT  # client and server are out of step: not the mail's fault
    if 500 <= code < 600:
        return Verdict.PERMANENT
    # A 2xx or 3xx in the wrong place: client and server are out of step.
    return Verdict.UNCERTAIN if phase in AFTER_DOT else Verdict.TRANSIENT


def _is_said_for_now(words: str) -> bool:
    return bool(_FOR_NOW_WORDS.search(words) or _FOR_NOW_ELSEWHERE.search(words))


def _asks_to_sign_in(words: str) -> bool:
    return bool(_SIGN_IN_FIRST.search(words)) and not _OF_THE_RECIPIENT.search(words)


def is_outcome_unknown(code: int, words: str) -> bool:
    """Whether a refusal after the end of the mail leaves its outcome unknown.

    The server may be a proxy whose relay took the mail before the connection between the two broke. Dovecot's
    submission service then answers "421 4.4.0 Lost connection to relay server".
    """
    if code >= 500 and (_REASON_IN_THE_MAIL.search(words) or throttling.seconds_to_wait(code, words) is not None):
        return False
    if _LOST_WORDS.search(words):
        return True
    status = _NETWORK_STATUS.search(words)
    # Sendmail says "452 4.4.5 Insufficient disk space" of its own storage (452: RFC 5321 4.2.3).
    if 440 <= code < 450 or (status and (code, status[0]) != (452, "4.4.5")):
        return True  # some servers use 44x for what others report as X.4.X
    # x2z is about the connection (RFC 5321 4.2.1). Where it says that we send too much, it was a decision.
    return code in (420, 421) and throttling.seconds_to_wait(code, words) is None
