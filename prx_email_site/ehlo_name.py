"""The host name that we send to SMTP servers with EHLO (RFC 5321 4.1.1.1)."""

from __future__ import annotations

import ipaddress
import re

from prx_email_site.environment import SettingError

_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*", re.I
)


def ehlo_name(setting: str, base_host: str, machine: str) -> str:
    """The setting, else the host of the base URL, else the machine's name; "" if none of them is a host name.

    An IP address is not used: address literals such as [127.0.0.1] are for clients without a name (RFC 5321 4.1.3),
    and servers refuse them: Google's relay with 421, others with 550. Raises SettingError for an invalid setting.
    """
    if setting and not _host_name(setting):
        raise SettingError(f"PRX_EMAIL_EHLO_NAME is no host name: {setting!r}. Give one such as mail.example.org.")
    return next((name for name in map(_host_name, (setting, base_host, machine)) if name), "")


def _host_name(text: str) -> str:
    try:
        name = text.strip().rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return name if _NAME.fullmatch(name) and not _is_address(name) and name.lower() != "localhost" else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
