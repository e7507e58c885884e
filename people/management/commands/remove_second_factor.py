"""manage.py remove_second_factor NAME: for a user who has lost phone, passkeys and recovery codes, or when the
encryption key of the factor's secret is lost."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from mailbox.models import AuditEntry
from people.sessions.own_sessions import end_sessions
from people.sign_in import audit


class Command(BaseCommand):
    help = "Remove a person's second factors and end the person's sessions; the password stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username}.")
        with transaction.atomic():
            Authenticator.objects.filter(user=user).delete()
            end_sessions(user)
            target = audit.target_of(user)
            AuditEntry.objects.create(verb="second_factor_removed", target=target, detail="command line")
        self.stdout.write(f"{username} has no second factor any more, and is signed out everywhere.")
