"""What an IMAP server's words mean. Pure: text in, an error of ours out."""

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

# RFC 5530 response codes, by what they ask of us.
_SIGN_IN = re.compile(r"\[(AUTHENTICATIONFAILED|EXPIRED|AUTHORIZATIONFAILED|PRIVACYREQUIRED|CONTACTADMIN)\b", re.I)
# The last three are RFC 2449's and 3206's for POP3, which some servers say here, too.
_WAIT = re.compile(r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG|THROTTLED|IN-USE|SYS/TEMP|LOGIN-DELAY)\b", re.I)
_QUOTA = re.compile(r"\[?OVERQUOTA\b", re.I)
# Exchange answers a throttled login with this, and a token without a mailbox as well: waiting is right for the first.
_EXCHANGE_WAIT = re.compile(r"User is authenticated but not connected|Request is throttled", re.I)
_GMAIL_WAIT = re.compile(r"Too many simultaneous connections|Account exceeded command or bandwidth limits", re.I)
# What servers say without a code when it is they who are in trouble, at LOGIN above all.
_PASSING = re.compile(
    r"\b(?:system|server|internal|database|proxy|network|i/o|unexpected|unknown) (?:server )?(?:error|failure)"
    r"|(?:server|service|system)s? (?:is |are )?(?:currently |temporarily )?"
    r"(?:unavailable|not available|not ready|too busy|busy|down|going down)"
    r"|temporar(?:y|ily)\b|(?:try|retry) (?:it )?(?:again )?(?:later|in (?:a|\d))|\bwait (?:a|\d)"
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
# The same in the words of providers elsewhere.
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
# These ask to try again whatever the reason; beside words about the secret they mean another one.
_ASKS_AGAIN = re.compile(r"\btry again\b|\bretry\b|\btry later\b", re.I)
_ABOUT_THE_SECRET = re.compile(
    r"invalid|incorrect|wrong|\bbad\b|password|credential|user ?name|denied|authoriz|fail|reject|unknown|no such", re.I
)
_ONE_MESSAGE = re.compile(r"\[(SERVERBUG|UNAVAILABLE|LIMIT)\b", re.I)
_BACKOFF = re.compile(r"Suggested Backoff Time:\s*(\d+)", re.I)
# imaplib and imapclient wrap what the server said: "command: LOGIN => ...", "fetch failed: ...", b'...'.
_WRAPPING = re.compile(r"^(?:command: \w+ => |\w+ failed: |\w+ command error: (?:BAD|NO) )+")
MAX_REPLY = 1000


def server_words(error: BaseException, endpoint: Endpoint) -> str:
    """Cut the libraries' wrapping and every secret from an error's text."""
    words = _WRAPPING.sub("", str(error)).strip()
    if words.startswith("[b'") and words.endswith("']"):
        words = words[3:-2]
    elif words.startswith("b'") and words.endswith("'"):
        words = words[2:-1]
    return without_secrets(words, endpoint.secrets())[:MAX_REPLY]


def refused(words: str, *, signing_in: bool) -> MailError:
    """The server answered NO, BAD or BYE with these words: say what it means.

    RFC 5530 for the codes; a refusal of LOGIN or AUTHENTICATE without any code is a refused sign-in, which is what
    older servers mean by it, unless its words are about the server's own trouble.
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
    return bool(_PASSING.search(words) or asks_again or elsewhere)


def is_refusal(error: MailError) -> bool:
    """Whether FETCH was refused for a message, rather than for the account or the connection: also in words that sound
    like "wait", which some servers say of a message that they cannot read."""
    sounds_like_wait = isinstance(error, Throttled) and error.wait_seconds is None
    return type(error) is ProviderError or (sounds_like_wait and bool(_ONE_MESSAGE.search(error.reply)))


def unreachable(error: BaseException, endpoint: Endpoint, *, connecting: bool) -> NetworkError:
    """The socket, or TLS on it, failed: say it in a plain sentence with the library's words behind."""
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
