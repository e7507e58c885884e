"""Classifies the text of IMAP refusals and of connection errors as errors of mailbox.errors. Pure."""

from __future__ import annotations

import re
import socket
import ssl

from mailbox.endpoints import Endpoint
from mailbox.errors import (
    MailError,
    NetworkError,
    OverQuota,
    ProviderError,
    SignInRefused,
    Throttled,
    without_secrets,
)
from mailbox.network import NotMade

# RFC 5530 response codes, by the reaction that they need.
_SIGN_IN = re.compile(r"\[(AUTHENTICATIONFAILED|EXPIRED|AUTHORIZATIONFAILED|PRIVACYREQUIRED|CONTACTADMIN)\b", re.I)
# The last three are codes for POP3 (RFC 2449, RFC 3206), which some servers send over IMAP, too.
_WAIT = re.compile(r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG|THROTTLED|IN-USE|SYS/TEMP|LOGIN-DELAY)\b", re.I)
_QUOTA = re.compile(r"\[?OVERQUOTA\b", re.I)
# Exchange says this of a throttled login, and also of a token without a mailbox. Waiting is right for the former.
_EXCHANGE_WAIT = re.compile(r"User is authenticated but not connected|Request is throttled", re.I)
_GMAIL_WAIT = re.compile(r"Too many simultaneous connections|Account exceeded command or bandwidth limits", re.I)
# Texts without a code by which servers report trouble of their own, mostly in answer to LOGIN.
_PASSING = re.compile(
    r"\b(?:system|server|internal|database|proxy|network|i/o|unexpected|unknown) (?:server )?(?:error|failure)"
    r"|(?:server|service|system)s? (?:is |are )?(?:currently |temporarily )?"
    r"(?:unavailable|not available|not ready|too busy|busy|down|going down)"
    r"|no (?:\w+ )?(?:server|backend)s? (?:is |are )?(?:available|reachable)"
    r"|temporar(?:y|ily)\b"
    r"|(?:try|retry) (?:it |(?:your )?(?:request|command) )?(?:again )?(?:later|in (?:a|\d))|\bwait (?:a|\d)"
    r"|rate.?limit|\brate exceeded|too many|\bexcessive\b|overload|\bmaintenance\b|back-?end|gateway|timed? ?out"
    r"|(?:connection|login|session)s? (?:rate |count )?limit|maximum (?:number of )?(?:connection|session|login)"
    r"|limit exceeded|\bexceeded (?:the |your )?(?:limit|maximum|max\b)"
    r"|(?:can ?not|can't|could not|couldn't|unable to|failed to) (?:connect|contact|reach|open|allocate)"
    r"|(?:lost|dropped|refused|reset|closed) (?:the )?connection"
    r"|connection (?:was )?(?:lost|dropped|refused|reset|closed)"
    r"|simultaneous connection|mailbox (?:is )?(?:busy|in use)|shutting down|\bunreachable\b|for inactivity"
    r"|out of memory|disk (?:is )?full|no space|\blookup failed|host not found|mailbox is locked"
    r"|logins? (?:are (?:currently )?|is currently |currently )disabled"
    r"|\bauth\w* (?:server|service|process|daemon)\b.{0,40}"
    r"(?:unavailable|down|died|error|fail|crash|not (?:available|respond))",
    re.I,
)
# The same in other languages.
_PASSING_ELSEWHERE = re.compile(
    r"später erneut|vorübergehend|zu viele|überlastet|serverfehler|trop de|plus tard|temporair|surcharg"
    r"|erreur (?:du )?serveur|più tardi|temporane|troppe|más tarde|temporalmente|demasiad|error del servidor"
    r"|mais tarde|temporári|позже|временн|слишком много|перегруж|ошибка сервера"
    r"|稍后|稍後|稍候|繁忙|频繁|頻繁|频率|过多|過多|暂时|暫時"
    r"|混雑|混み合|しばらく|上限|一時的|サーバーエラー|サーバエラー|多すぎ|나중에|일시적|너무 많",
    re.I,
)
_ABOUT_THE_SECRET_ELSEWHERE = re.compile(
    r"passwor|kennwort|mot de passe|identifiant|contraseña|senha|парол|密码|密碼|口令|授权码|パスワード|비밀번호", re.I
)
# "Try again" asks to wait, unless the text also speaks of the password: then it asks for another password.
_ASKS_AGAIN = re.compile(r"\btry again\b|\bretry\b|\btry later\b", re.I)
_ABOUT_THE_SECRET = re.compile(
    r"invalid|incorrect|wrong|\bbad\b|password|credential|user ?name|denied|authoriz|fail|reject|unknown|no such", re.I
)
# QQ names every cause at once, a wrong password and a busy system among them: a person can only mend the former.
_WRONG_SECRET = re.compile(
    r"(?:password|credentials?) (?:is |are )?(?:incorrect|invalid|wrong)"
    r"|(?<!too many )(?:incorrect|invalid|wrong) (?:password|credentials?)"
    r"|密码错误|密碼錯誤",
    re.I,
)
_ONE_MESSAGE = re.compile(r"\[(SERVERBUG|UNAVAILABLE|LIMIT)\b", re.I)
_BACKOFF = re.compile(r"Suggested Backoff Time:\s*(\d+)", re.I)
# imaplib and imapclient wrap the server's text: "command: LOGIN => ...", "fetch failed: ...", b'...'.
_WRAPPING = re.compile(r"^(?:command: \w+ => |\w+ failed: |\w+ command error: (?:BAD|NO) )+")
MAX_REPLY = 1000


def server_words(error: BaseException, endpoint: Endpoint) -> str:
    """An error's text without the libraries' wrapping and without secrets of the endpoint."""
    words = _WRAPPING.sub("", str(error)).strip()
    if words.startswith("[b'") and words.endswith("']"):
        words = words[3:-2]
    elif words.startswith("b'") and words.endswith("'"):
        words = words[2:-1]
    words = words.removeprefix("* BYE ")
    return without_secrets(words, endpoint.secrets())[:MAX_REPLY]


def refused(words: str, *, signing_in: bool) -> MailError:
    """Classify the text of a NO, BAD or BYE: Throttled, OverQuota, SignInRefused or ProviderError.

    By RFC 5530's codes first. A refusal of LOGIN or AUTHENTICATE without a code is a SignInRefused, as older servers
    mean it, unless its text is about trouble of the server: then it is Throttled.
    """
    if _EXCHANGE_WAIT.search(words) or _GMAIL_WAIT.search(words) or _WAIT.search(words) or _BACKOFF.search(words):
        stated = _BACKOFF.search(words)
        wait = int(stated.group(1)) / 1000 if stated else None
        return Throttled(f"The server asks to wait: {words}", reply=words, wait_seconds=wait)
    if _QUOTA.search(words):
        return OverQuota(f"{OverQuota.WORDS}: {words}", reply=words)
    if signing_in and not _SIGN_IN.search(words) and _is_passing(words):
        return Throttled(f"The server is in trouble: {words}", reply=words)
    if signing_in or _SIGN_IN.search(words):
        return SignInRefused(f"The server refused the sign-in: {words}", reply=words)
    return ProviderError(f"The server refused: {words}", reply=words)


def _is_passing(words: str) -> bool:
    asks_again = _ASKS_AGAIN.search(words) and not _ABOUT_THE_SECRET.search(words)
    elsewhere = _PASSING_ELSEWHERE.search(words) and not _ABOUT_THE_SECRET_ELSEWHERE.search(words)
    return bool(_PASSING.search(words) or asks_again or elsewhere) and not _WRONG_SECRET.search(words)


def is_refusal(error: MailError) -> bool:
    """Whether a refused FETCH concerns the message, rather than the account or the connection.

    It also does with SERVERBUG, UNAVAILABLE or LIMIT, which usually ask to wait: some servers send them for a message
    that they cannot read.
    """
    sounds_like_wait = isinstance(error, Throttled) and error.wait_seconds is None
    return type(error) is ProviderError or (sounds_like_wait and bool(_ONE_MESSAGE.search(error.reply)))


def unreachable(error: BaseException, endpoint: Endpoint, *, connecting: bool) -> NetworkError:
    """NetworkError for a failure of the socket or of TLS: a plain sentence, with the library's text behind it."""
    where = f"{endpoint.host}:{endpoint.port}"
    words = server_words(error, endpoint)
    if isinstance(error, NotMade):
        return NetworkError(str(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        sentence = (
            f"The certificate of {where} is not trusted: {error.verify_message}. If this is a private server, give the "
            "account its CA certificate."
        )
    elif isinstance(error, ssl.SSLError):
        sentence = f"{where} does not speak TLS on this port: {words}"
    elif isinstance(error, TimeoutError):
        sentence = f"{where} did not answer in time: {words}"
    elif isinstance(error, socket.gaierror):
        sentence = f"The host name {endpoint.host} was not found: {words}"
    elif isinstance(error, ConnectionRefusedError):
        sentence = f"{where} refused the connection; is the port right? {words}"
    elif connecting:
        sentence = f"{where} could not be reached: {words}"
    else:
        sentence = f"The connection to {where} broke: {words}"
    return NetworkError(sentence, reply=words)
