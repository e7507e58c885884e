"""Which refusals say that we send too fast, and not that something is wrong with a mail. Pure.

Neither code nor enhanced code tells: 450, 451, 452 and 454 all occur, and 4.7.1 is greylisting as often as a limit. So
the words decide, after what surely is about one recipient or one mail was taken out. The tests of this module
hold the replies that servers are known to give.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

USUAL_SECONDS = 30.0  # before the first doubling; see retry.unavailable_seconds
_STATED_WAIT = re.compile(
    r"(?:try(?:ing)? again|retry|wait|come back)\D{0,20}(\d{1,5})\s*(s|sec|second|m|min|minute|h|hr|hour)s?\b",
    re.IGNORECASE,
)
_SECONDS_OF = {"s": 1, "m": 60, "h": 3600}

# The recipient's address or mailbox (RFC 3463: X.1.X, X.2.X; Gmail's 450 4.2.1 is about everybody who writes to one of
# its users), too many recipients of one mail (RFC 5321, 4.5.3.1.10), and greylisting, which is about sender and
# recipient: no reason to keep all other mail waiting.
_NOT_OUR_PACE = re.compile(r"\b4\.[12]\.\d{1,3}\b|\b4\.5\.3\b|gr[ae]y-?\s?list", re.IGNORECASE)


@dataclass(frozen=True)
class Rule:
    words: re.Pattern[str]
    seconds: float


def _rule(words: str, seconds: float = USUAL_SECONDS) -> Rule:
    return Rule(re.compile(words, re.IGNORECASE | re.DOTALL), seconds)


# The first that is found counts.
RULES = (
    # So many a second (Amazon SES): over within moments, and minutes of silence would be most of the rate.
    _rule(r"\bmaximum\b.{0,20}\bsending rate exceeded", 2.5),
    _rule(r"\b(daily|24.?hour)\b.{0,40}\b(quota|limit)\b.{0,20}\bexceeded|\bexceeded\b.{0,40}\bdaily\b", 450.0),
    _rule(r"\bhourly\b.{0,40}\b(quota|limit)\b|\bper hour\b|\bhour\b.{0,20}\b(limit|exceeded)", 150.0),
    _rule(r"\bthrottl"),
    _rule(r"\brate.?limit|\brate\b.{0,60}\bexceed|\bexceed.{0,60}\brate\b|\bunusual rate\b"),
    _rule(r"\btoo (fast|quickly|frequent)|\bslow(ing)? down\b|\bunexpected volume\b"),
    # Not "too many recipients" alone: that is this one mail. Postfix's "from" says whom it counts.
    _rule(r"\btoo (many|much) (?!recipients\b(?! from)|hops|received|errors? in)(\w+ ){0,3}?"
          r"(mails?|e-?mails?|messages?|connections?|sessions?|logins?|attempts?|requests?|recipients?|auth\w*)\b"),
    _rule(r"\b(connections?|threads?) (rate )?limit\b"),
    # Exchange Online slows down what it does not know yet: 451 4.7.500 to 4.7.699.
    _rule(r"\b4\.7\.[56]\d\d\b"),
)  # fmt: skip


def seconds_to_wait(code: int, words: str) -> float | None:
    """What a refusal with this code and these words asks us to wait at first; None: it does not say that we send too
    fast. Only what is refused for now can."""
    if not 400 <= code < 500 or _NOT_OUR_PACE.search(words):
        return None
    if found := next((rule for rule in RULES if rule.words.search(words)), None):
        return found.seconds
    # "4.7.x, try again in 60 seconds": a policy (RFC 3463, X.7.X) that names a time is a limit, too.
    return USUAL_SECONDS if re.search(r"\b4\.7\.\d", words) and stated_wait_seconds(words) else None


def stated_wait_seconds(words: str) -> float:
    """The wait a server names in its words ("try again in 5 minutes"), an hour at most, 0 when it names none."""
    if not (found := _STATED_WAIT.search(words)):
        return 0.0
    return float(min(int(found[1]) * _SECONDS_OF[found[2][0].lower()], 3600))
