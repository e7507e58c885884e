"""What every page's frame shows: kept to constant cost, as it runs for each page."""

from dataclasses import dataclass
from mailbox import access
from mailbox.access import Role
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from outbox.models import SendingSwitch


@dataclass(frozen=True)
class NavItem:
    label: str
    url: str
    current: bool
    count: int = 0
    count_title: str = ""


SECTIONS = (
    ("Dashboard", "dashboard"),
    ("Messages", "mailbox:messages"),
    ("Outbox", "outbox:list"),
    ("Attachments", "outbox:attachments"),
    ("Accounts", "mailbox:accounts"),
)


def _navigation(path: str) -> list[NavItem]:
    urls = [(label, reverse(name)) for label, name in SECTIONS]
    best = max((url for _label, url in urls if path.startswith(url)), key=len, default="")
    return [NavItem(label, url, current=url == best) for label, url in urls]


def _role(request: HttpRequest) -> str:
    if request.user.is_superuser:
        return "administrator of everything"
    for role in reversed(access.ROLES):
        if access.has_role_everywhere(request.user, role):
            return f"{role.label} of all accounts"
    return "access to some accounts"


def _chrome(request: HttpRequest) -> dict[str, Any]:
    switch = SendingSwitch.objects.filter(pk=1, paused_at__isnull=False).first()
    return {
        "nav": _navigation(request.path),
        "role": _role(request),
        "sending_paused": switch,
        "may_administer": access.has_role_everywhere(request.user, Role.ADMINISTRATOR),
        "may_operate": access.has_role_somewhere(request.user, Role.OPERATOR),
    }


def chrome(request: HttpRequest) -> dict[str, Any]:
    """Lazy: partial updates and pages without a frame ask nothing of the database."""
    return {"chrome": SimpleLazyObject(lambda: _chrome(request))}
