"""The page that imports accounts: what is refused by its line, what is only looked at, and that no secret shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from mailbox.accounts.connection_tests import begin_more
from mailbox.accounts.declared import IN_FILE
from mailbox.accounts.declared_csv import UnreadableTable, read_table
from mailbox.csv_text import read_cell, safe_cell
from mailbox.models import Account, AuditEntry, ConnectionTest
from mailbox.models.connection_tests import LASTS
from mailbox.views.accounts import account_import
from outbox.tasks import run_connection_test
from tests.mailbox.accounts.account_settings import account

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
__all__ = ["account"]

SECRET = "hunter2-sesame"
HEAD = "email,imap_host,imap_port,smtp_host,smtp_port,password,sync_enabled,display_name\n"
NEW = f"new@example.com,imap.example.com,993,smtp.example.com,587,{SECRET},,New\n"
URL = "/accounts/import/"


def sent(client: Client, content: str | bytes, digest: str = "") -> str:
    data = content.encode() if isinstance(content, str) else content
    given: dict[str, Any] = {"file": SimpleUploadedFile("accounts.csv", data, "text/csv")}
    answer = client.post(URL, given | ({"digest": digest} if digest else {}))
    page = answer.content.decode()
    assert answer.status_code == 200 and SECRET not in page
    return page


def digest_in(page: str) -> str:
    found = re.search(r'name="digest" value="(\w+)"', page)
    return found[1] if found else ""


def lines_of(page: str) -> list[tuple[str, str]]:
    """(state, line) of each row of the table."""
    rows = re.findall(r"<tr>\s*<td>(.*?)</td>\s*<td[^>]*>(\d+)</td>", page, re.S)
    return [(re.sub(r"<svg.*?</svg>|<[^>]+>", "", badge, flags=re.S).strip(), line) for badge, line in rows]


def test_a_file_is_looked_at_confirmed_by_itself_and_carried_out(administrator: Client) -> None:
    page = sent(administrator, HEAD + NEW)
    assert lines_of(page) == [("Add", "2")] and "imap.example.com:993" in page and "Import 1 account<" in page
    assert not Account.objects.exists() and not AuditEntry.objects.exists() and not OrmQ.objects.exists()

    done = sent(administrator, HEAD + NEW, digest_in(page))
    made = Account.objects.with_transports().get()
    assert lines_of(done) == [("Added", "2")] and "1 account was added or changed." in done
    assert reverse("mailbox:account", args=[made.pk]) in done
    assert reverse("mailbox:account_folders", args=[made.pk]) in done
    assert (made.imap.password, made.smtp.password, made.display_name) == (SECRET, SECRET, "New")
    assert AuditEntry.objects.filter(verb="add_account", account=made, user__isnull=False).count() == 1
    click = AuditEntry.objects.get(part_of=None)
    assert (click.verb, click.detail) == ("import_accounts", "1 of 1") and click.user and click.parts.count() == 1
    activity = administrator.get("/activity/").content.decode()
    assert f'imported accounts <a class="in-text" href="?part_of={click.pk}">1 account</a>' in activity
    assert SECRET not in str(list(AuditEntry.objects.values())) and SECRET not in str(list(OrmQ.objects.values()))
    assert SECRET not in str(dict(administrator.session))
    assert ConnectionTest.objects.get(account=made).requested_by and "Both servers of each new account" in done

    AuditEntry.objects.all().delete()
    again = sent(administrator, HEAD + NEW)
    assert lines_of(again) == [("As it is", "2")] and "Nothing is to be imported" in again and not digest_in(again)


@pytest.mark.django_db(transaction=True)
def test_both_servers_of_new_accounts_are_tried_two_accounts_at_a_time(administrator: Client, account: Account) -> None:
    content = (
        HEAD
        + "".join(f"new{number}@example.com,localhost,1,localhost,1,{SECRET},no,\n" for number in range(4))
        + f"{account.email},,,,,,,Other\n"
    )
    sent(administrator, content, digest_in(sent(administrator, content)))
    tests = list(ConnectionTest.objects.waiting())
    assert [each.account.email for each in tests] == [f"new{number}@example.com" for number in range(4)]

    def queued() -> list[int]:
        payloads = [row.task for row in OrmQ.objects.order_by("pk")]
        return [each["args"][0] for each in payloads if each["func"] == "outbox.tasks.run_connection_test"]

    assert queued() == [tests[0].pk, tests[1].pk]
    run_connection_test(tests[0].pk)
    tests[0].refresh_from_db()
    assert tests[0].finished_at and tests[0].imap_ok is False and not tests[0].imap_reply.startswith("Unexpected")
    run_connection_test(tests[0].pk)  # a task that comes twice goes on with nothing
    assert queued() == [tests[0].pk, tests[1].pk, tests[1].pk]
    now = timezone.now()
    ConnectionTest.objects.filter(pk=tests[1].pk).update(started_at=now)
    begin_more(now)
    assert queued()[3:] == [tests[2].pk]
    begin_more(now + LASTS)  # the worker is gone
    assert queued()[4:] == [tests[2].pk, tests[3].pk]


@pytest.mark.parametrize(("said", "is_fetched"), [("", False), ("yes", True), ("no", True)])
def test_nothing_is_fetched_before_folders_are_chosen_unless_the_file_says_so(
    administrator: Client, said: str, is_fetched: bool
) -> None:
    content = HEAD + NEW.replace(f"{SECRET},,", f"{SECRET},{said},")
    sent(administrator, content, digest_in(sent(administrator, content)))
    made = Account.objects.get()
    assert made.folders.get(name="INBOX").sync_enabled is is_fetched and made.sync_enabled is (said != "no")


def test_what_differs_is_changed_and_named(administrator: Client, account: Account) -> None:
    content = (
        f"email;display_name;send_enabled\r\n{account.email};'=Ops;no\r\n".encode()
    )  # as another country writes it
    page = sent(administrator, b"\xef\xbb\xbf" + content)
    assert lines_of(page) == [("Change", "2")]
    assert "<code>display_name</code>" in page and "<code>send_enabled</code>" in page
    assert sent(administrator, b"\xef\xbb\xbf" + content, digest_in(page))
    account.refresh_from_db()
    assert (account.display_name, account.send_enabled) == ("=Ops", False)
    assert AuditEntry.objects.get(verb="edit_account").detail == "send_enabled, display_name"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (NEW.replace("993", SECRET), "imap_port is to be a number."),
        (NEW.replace(f"{SECRET},,", f"{SECRET},perhaps,"), "sync_enabled is to be yes or no."),
        (NEW.replace(SECRET, ""), "Give exactly one of password and oauth_token."),
        (NEW.replace("imap.example.com", ""), "imap_host is missing."),
        (NEW.replace("new@example.com", SECRET), "Enter a valid email address."),
        (NEW.replace("imap.example.com", "imap example com"), "A host name has no spaces"),
        ("ops@example.com,evil.example.com,993,,,,,\n", "Other servers, another user or certificate need the password"),
    ],
)
@pytest.mark.in_part(2)
def test_a_line_that_is_wrong_is_refused_with_its_reason_and_keeps_no_other_away(
    administrator: Client, account: Account, line: str, reason: str
) -> None:
    content = HEAD + NEW.replace("new@", "good@") + line
    page = sent(administrator, content)
    assert lines_of(page) == [("Refused", "3"), ("Add", "2")] and reason in page
    done = sent(administrator, content, digest_in(page))
    assert lines_of(done) == [("Refused", "3"), ("Added", "2")] and reason in done
    account.imap.refresh_from_db()
    assert account.imap.host != "evil.example.com" and account.imap.password == "old imap"
    assert set(Account.objects.values_list("email", flat=True)) == {account.email, "good@example.com"}


def test_another_certificate_needs_the_secret_as_another_server_does(administrator: Client, account: Account) -> None:
    page = sent(administrator, f"email,ca_certificate\n{account.email},anything\n")
    assert lines_of(page) == [("Refused", "2")] and "certificate need the password, too: give password or" in page


def test_an_address_stands_in_one_line(administrator: Client) -> None:
    page = sent(administrator, HEAD + NEW + NEW.replace("new@", "NEW@"))
    assert lines_of(page) == [("Refused", "3"), ("Add", "2")] and "stands in line 2 already" in page


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The submitted file is empty."),
        (HEAD.encode(), "The file names no account below its first line."),
        (HEAD.encode() + NEW.encode() + b"caf\xe9@example.com,,,,,,,\n", "Line 3 is not UTF-8"),
        ((HEAD + NEW).encode("utf-16"), "Line 1 is not UTF-8"),
        (HEAD.encode() + b"a\0@example.com,,,,,,,\n", "Line 2 holds a NUL character"),
        (NEW.encode(), "The first line names the columns, and its column 1 is none of"),
        (b"email,password_env\na@example.com,PRX_EMAIL_SECRET_KEY\n", "its column 2 is none of"),
        (b"email,user,user\n", "names the column user twice"),
        (b"user\nann\n", "The first line names no column email."),
        ((HEAD + NEW + f"ops@example.com,{SECRET}\n").encode(), "Line 3 has 2 cells, and the first line names 8"),
        (f'email,user\n\na@example.com,"{SECRET}\n'.encode(), "Line 3 is no CSV"),
        (f'email,user\na@example.com,"x"{SECRET}\n'.encode(), "Line 2 is no CSV"),
        (b"email\n" + b"a" * account_import.MOST_BYTES, "The file is larger than"),
        (("email\n" + "a@example.com\n" * 201).encode(), "A file has at most 200 accounts"),
    ],
)
@pytest.mark.in_part(3)
def test_a_file_of_another_form_is_refused_as_a_whole_by_its_line(
    administrator: Client, content: bytes, reason: str
) -> None:
    page = sent(administrator, content)
    assert "Nothing was imported." in page and reason in page and not lines_of(page)
    assert not Account.objects.exists()


def test_another_file_than_the_one_that_was_looked_at_is_looked_at_first(administrator: Client) -> None:
    digest = digest_in(sent(administrator, HEAD + NEW))
    page = sent(administrator, HEAD + NEW.replace("imap.example.com", "evil.example.com"), digest)
    assert "This is another file than the one you looked at" in page and "evil.example.com" in page
    assert digest_in(page) not in ("", digest) and not Account.objects.exists()
    assert "This is another file" in sent(administrator, HEAD + NEW, "é")
    assert "Choose the file" in administrator.post(URL, {"digest": digest}).content.decode()
    assert not Account.objects.exists()


def test_a_digest_is_good_for_the_one_who_looked(
    administrator: Client, make_user: Callable[..., User], client: Client
) -> None:
    digest = digest_in(sent(administrator, HEAD + NEW))
    other = Client()
    other.force_login(make_user("administrator", "other"))
    assert "This is another file" in sent(other, HEAD + NEW, digest) and not Account.objects.exists()


def test_who_may_not_add_accounts_imports_none(client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("operator"))
    digest = "0" * 64
    file = SimpleUploadedFile("accounts.csv", (HEAD + NEW).encode(), "text/csv")
    assert client.get(URL).status_code == client.post(URL, {"file": file, "digest": digest}).status_code == 403
    assert URL not in client.get(reverse("mailbox:accounts")).content.decode() and not Account.objects.exists()


def test_the_example_is_a_file_that_can_be_imported(administrator: Client) -> None:
    answer = administrator.get(reverse("mailbox:account_import_csv"))
    content = b"".join(answer.streaming_content)  # type: ignore[arg-type]
    page = sent(administrator, content)
    assert [state for state, _line in lines_of(page)] == ["Add", "Add"]
    assert URL in administrator.get(reverse("mailbox:accounts")).content.decode()


def test_cells_over_several_lines_keep_them_and_count(administrator: Client) -> None:
    rows = read_table(b'email,signature\n"a@example.com","Ann\r\nExample"\n\nb@example.com,\n', IN_FILE.known)
    assert [(row.line, row.values["signature"]) for row in rows] == [(2, "Ann\nExample"), (5, "")]
    with pytest.raises(UnreadableTable, match="Line 4 has 1 cells"):
        read_table(b'email,signature\n"a@example.com","Ann\nExample"\nb@example.com\n', IN_FILE.known)


@pytest.mark.parametrize("text", ["=1+1", "+49 30", "-x", "@a", " =x", "'quoted'", "plain", "", "'"])
def test_a_cell_is_read_as_it_was_meant(text: str) -> None:
    assert read_cell(safe_cell(text)) == text


def test_a_secret_is_read_as_it_stands(administrator: Client) -> None:
    rows = read_table(b"email,password\na@example.com, '=x \n", IN_FILE.known, IN_FILE.names)
    assert rows[0].values["password"] == " '=x " and "=x" not in repr(rows)
