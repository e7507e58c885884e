"""Reads settings from the environment, and makes the keys on the first run.

Each variable may instead be given as NAME_FILE, the path of a file with the value, as container secrets are. This
module does not import Django, so that the settings can use it.
"""

from __future__ import annotations  # `make run` imports it by any Python, before it says that one is too old

import contextlib
import ipaddress
import os
import secrets
from datetime import date
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})


# Variables that are not read by the settings, but by the launcher, `prepare` or tests.
READ_ELSEWHERE = frozenset(
    {
        "PRX_EMAIL_ADMIN_PASSWORD",
        "PRX_EMAIL_ADMIN_USER",
        "PRX_EMAIL_ALERTS_SECONDS",
        "PRX_EMAIL_BIND",
        "PRX_EMAIL_IMAP_OAUTH_EXPIRES_AT",
        "PRX_EMAIL_IMAP_OAUTH_TOKEN",
        "PRX_EMAIL_LOG_FORMAT",
        "PRX_EMAIL_SMTP_OAUTH_EXPIRES_AT",
        "PRX_EMAIL_SMTP_OAUTH_TOKEN",
        "PRX_EMAIL_STOP_SECONDS",
        "PRX_EMAIL_TEST_FOLDER",
    }
)
_read: set[str] = set()


class SettingError(Exception):
    """An environment variable has a value that cannot be used; the text says which and what to do."""


def text(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file NAME_FILE points to, or the default.

    Raises SettingError when both are set, or when the file cannot be read.
    """
    _read.add(name)
    value, path = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if value is not None and path:
        raise SettingError(f"{name} and {name}_FILE are both set; keep one of them.")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingError(f"{name}_FILE points to {path}, which cannot be read: {error}") from error
    return default if value is None else value.strip()


def integer(name: str, default: int, *, minimum: int = 0) -> int:
    """Return the variable as a whole number of at least `minimum`; raises SettingError."""
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError as error:
        raise SettingError(f"{name} must be a whole number, not {value!r}.") from error
    if number < minimum:
        raise SettingError(f"{name} must be at least {minimum}, not {number}.")
    return number


def boolean(name: str, default: bool) -> bool:
    """Return the variable as yes or no; raises SettingError for any other word."""
    value = text(name, "1" if default else "0").lower()
    if value in TRUE_WORDS:
        return True
    if value in FALSE_WORDS:
        return False
    raise SettingError(f"{name} must be 1 or 0, not {value!r}.")


def one_of(name: str, choices: tuple[str, ...]) -> str:
    """Return the variable, which must be one of these words; the first is the default. Raises SettingError."""
    value = text(name, choices[0])
    if value not in choices:
        raise SettingError(f"{name} must be {' or '.join(choices)}, not {value!r}.")
    return value


def words(name: str, default: str = "") -> list[str]:
    """Return the variable split at commas, without empty parts."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def pairs(name: str) -> dict[str, str]:
    """Return the variable, KEY=VALUE separated by commas; the key may contain "=", as LDAP names do.

    Raises SettingError.
    """
    parts = [word.rpartition("=") for word in words(name)]
    if any(not key or not value for key, _, value in parts):
        raise SettingError(f"{name} must be GROUP=ROLE, separated by commas.")
    return {key.strip(): value.strip() for key, _, value in parts}


def day(name: str) -> date | None:
    """Return the variable as a date; None if it is not set. Raises SettingError."""
    given = text(name)
    try:
        return date.fromisoformat(given) if given else None
    except ValueError as error:
        raise SettingError(f"{name} must be a date like 2027-11-30, not {given!r}.") from error


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the variable as addresses and networks (CIDR), separated by commas; raises SettingError."""
    try:
        return [ipaddress.ip_network(word) for word in words(name)]
    except ValueError as error:
        raise SettingError(f"{name} must be addresses or networks such as 127.0.0.1,10.0.0.0/8: {error}.") from error


def site_address(name: str, default: str) -> SplitResult:
    """Return the variable as http(s)://HOST[:PORT]; raises SettingError. The site cannot lie below a path."""
    given = text(name, default).rstrip("/")
    try:
        parts = urlsplit(given)
        is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or f"{parts.scheme}://{parts.netloc}".lower() != given.lower() or "@" in given:
        raise SettingError(
            f"{name} must be an address such as https://mail.example.org, without a path, not {given!r}."
        )
    return parts


def hosts(names: list[str]) -> list[str]:
    """Return host names as requests state them (RFC 9110, 7.2): an IPv6 address is in brackets."""
    return [f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name for name in names]


def kept_secret(path: Path, *, value: str | None = None) -> str:
    """Return the secret in the file `path`; create the file (mode 600) if it does not exist.

    Web server and workers start at the same time: a temporary file (O_EXCL) and a hard link ensure that exactly one of
    them creates the complete file; the others read it.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write((value or secrets.token_urlsafe(50)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text(encoding="ascii").strip()


def known() -> list[str]:
    """The names of variables that the software reads."""
    return sorted(_read | READ_ELSEWHERE)


def unknown() -> list[str]:
    """The names in the environment that begin with PRX_EMAIL_ but are not read; most are misspelt."""
    names = known()
    ours = (name for name in os.environ if name.startswith("PRX_EMAIL_"))
    return sorted(name for name in ours if name not in names and name.removesuffix("_FILE") not in names)
