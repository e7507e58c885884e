"""The fixture of an account whose IMAP server is the test file's own fixture `server`, a ScriptedImap."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailbox.models import Account
from tests.servers.imap_script import ScriptedImap


@pytest.fixture
def account(make_account: Callable[..., Account], server: ScriptedImap) -> Account:
    return make_account(
        imap_host="localhost", imap_port=server.port, ca_certificate=server.certificates.ca_pem,
        smtp_host="localhost", smtp_port=1,
    )  # fmt: skip
