"""The account that sends the site's own mails, who reads them, and the links in them."""

from __future__ import annotations

import email
import re
from collections.abc import Callable
from email.policy import SMTP
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from mailbox.models import Account
from outbox.delivery import deliver
from people.links import site_mail
from tests.servers.smtp import SmtpServer

GOOD = "correct-horse-battery"


LINK = re.compile(r"http://127\.0\.0\.1:8000(/[^\s\"<]+)")


@pytest.fixture
def boss(make_user: Callable[..., User]) -> User:
    return make_user("administrator", "boss")


@pytest.fixture
def administrator(client: Client, boss: User) -> Client:
    client.force_login(boss)
    return client


@pytest.fixture
def server(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    return smtp_server("tls")


@pytest.fixture
def sender(account_on: Callable[..., Account], server: SmtpServer) -> Account:
    """The account that sends the site's own mails."""
    account = account_on(server, email="no-reply@example.com")
    site_mail.choose(None, account)
    return account


@pytest.fixture
def vera(make_user: Callable[..., User]) -> User:
    vera = make_user("viewer", "vera", "the-old-password")
    User.objects.filter(pk=vera.pk).update(email="Vera@example.test")
    return User.objects.get(pk=vera.pk)


def texts(server: SmtpServer) -> list[str]:
    mails = [email.message_from_bytes(each.raw, policy=SMTP) for each in server.mails()]
    return [str(each.get_content()).replace("\r\n", "\n") for each in mails]


def deliver_all(account: Account, server: SmtpServer) -> list[str]:
    """The links of the mails that went out, newest last."""
    deliver.deliver_account(account.pk)
    found = [match[1] for text in texts(server) if (match := LINK.search(text.split("\n\n", 1)[1])) is not None]
    return [each for each in found if "/link/" in each or "/profile/" in each]


def choose(client: Client, link: str, password: str = GOOD) -> Any:
    client.get(link)
    return client.post(reverse("password_new"), {"new_password1": password, "new_password2": password}, follow=True)


def signs_in(name: str) -> bool:
    answer = Client().post(reverse("login"), {"username": name, "password": GOOD})
    return answer.headers.get("Location") == reverse("dashboard")


def is_over(answer: Any) -> bool:
    return answer.status_code == 410 and "This link is over" in answer.content.decode()


def everything_stored() -> str:
    """Every value of every table, as the database has it."""
    values = []
    with connection.cursor() as cursor:
        for model in apps.get_models():
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            values += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(values)


INVITED = {"email": "Ann@example.test", "full_name": "Ann Lee", "role": "operator", "accounts": ""}


def forget(client: Client, address: str, **more: str) -> Any:
    return client.post(reverse("password_forgotten"), {"email": address}, **more)
