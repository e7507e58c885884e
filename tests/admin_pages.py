"""Who opens Django's admin, and the address of a row there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account
from tests.rows import NOWHERE


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE, imap_password="imap sesame", smtp_password="smtp sesame")


@pytest.fixture
def superuser(client: Client, make_user: Callable[..., User]) -> Client:
    user = make_user("")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    client.force_login(User.objects.get(pk=user.pk))
    return client


@pytest.fixture
def staff(client: Client, make_user: Callable[..., User]) -> Client:
    """An administrator who is staff, but no superuser."""
    user = make_user("administrator")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=user.pk))
    return client


def change(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
