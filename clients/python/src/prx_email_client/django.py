"""Django's e-mail backend: EMAIL_BACKEND = "prx_email_client.django.EmailBackend".

A mail counts as sent once the site has queued it durably.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from prx_email_client.calls import ClientError
from prx_email_client.client import Client


class EmailBackend(BaseEmailBackend):
    """Settings: PRX_EMAIL_URL, PRX_EMAIL_TOKEN, and PRX_EMAIL_TIMEOUT (seconds). Raises ClientError."""

    def __init__(self, fail_silently: bool = False, client: Client | None = None, **_of_other_backends: Any) -> None:
        super().__init__(fail_silently=fail_silently)
        self._client, self._lock, self._opened_by_caller = client, threading.RLock(), client is not None

    def open(self) -> bool:
        """Make the client, if there is none; returns whether this call made it. Raises ImproperlyConfigured."""
        with self._lock:
            if self._client is not None:
                return False
            try:
                url, token = settings.PRX_EMAIL_URL, settings.PRX_EMAIL_TOKEN
            except AttributeError as error:
                raise ImproperlyConfigured("Set PRX_EMAIL_URL and PRX_EMAIL_TOKEN.") from error
            self._client = Client(url, token, timeout=getattr(settings, "PRX_EMAIL_TIMEOUT", 30.0))
            return True

    def close(self) -> None:
        """Close the client, unless the caller gave it."""
        with self._lock:
            if self._client is not None and not self._opened_by_caller:
                self._client.close()
                self._client = None

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Submit the mails; returns how many the site accepted. Raises the first ClientError, unless fail_silently."""
        is_ours = self.open()
        try:
            return sum(self._send(message) for message in email_messages)
        finally:
            if is_ours:
                self.close()

    def _send(self, message: EmailMessage) -> bool:
        recipients, sender = message.recipients(), parseaddr(message.from_email)[1]
        if not recipients:
            return False
        addresses = [parseaddr(each)[1] for each in recipients]
        content = message.message().as_bytes()  # only once, as each call makes another Message-ID, the idempotency key
        assert self._client is not None
        try:
            self._client.submit(sender, addresses, content)
        except ClientError:
            if not self.fail_silently:
                raise
            return False
        return True
