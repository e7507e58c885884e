"""The activity: one line for a click on many, opening into its rows; found by person, account, verb, day and text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.csv_text import LONGEST_CELL, safe_cell
from mailbox.models import Account, AccountGrant, AuditEntry
from mailbox.views.activity import activity as views_activity
from outbox import api
from outbox.actions import bulk as actions_bulk
from outbox.compose.build import Request
from outbox.compose.create import SendRequest
from outbox.models import Operation, OutboxMessage
from tests.rows import NOWHERE, letter, outbox_row, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def words(client: Client, **query: object) -> list[str]:
    response = client.get("/activity/", query)
    assert response.status_code == 200
    return [str(line.words) for line in response.context["entries"]]


def test_a_click_on_ticked_rows_is_one_line_that_opens_into_them(administrator: Client, account: Account) -> None:
    rows = [outbox_row(account, f"Bill {number}", status="failed", hold="permanent") for number in range(3)]
    ticked = {"action": "cancel", "confirmed": "1", "pk": [f"{row.pk}.0" for row in rows]}
    administrator.post(reverse("outbox:bulk"), ticked)
    assert words(administrator) == ["cancelled several sends"]
    page = administrator.get("/activity/").content.decode()
    opened = re.search(r'href="\?(part_of=\d+)">3 mails<', page)
    assert opened
    parts = administrator.get(f"/activity/?{opened[1]}").content.decode()
    assert all(f"Bill {number}</a>" in parts for number in range(3))
    assert words(administrator, account=account.pk) == ["cancelled a send"] * 3  # of an account: all there is


def test_a_click_on_ticked_rows_that_changes_nothing_leaves_no_line(administrator: Client, account: Account) -> None:
    rows = [outbox_row(account, status="sent") for _ in range(2)]
    ticked = {"action": "retry", "pk": [f"{row.pk}.0" for row in rows]}
    administrator.post(reverse("outbox:bulk"), ticked)
    assert words(administrator) == []


def test_what_workers_do_for_all_that_match_is_part_of_the_click(administrator: Client, account: Account) -> None:
    for number in range(3):
        outbox_row(account, f"Bill {number}", status="failed", hold="permanent")
    user = User.objects.get(pk=administrator.session["_auth_user_id"])
    operation = Operation.objects.create(
        verb="cancel", user=user, upto_pk=10**9, total=3, expected=3, asked_at=timezone.now() + timedelta(seconds=5)
    )
    click = AuditEntry.objects.create(user=user, verb="bulk_cancel", target=f"operation:{operation.pk}")
    actions_bulk.run(operation.pk)
    assert OutboxMessage.objects.filter(status="cancelled").count() == 3
    assert click.parts.count() == 3
    assert words(administrator) == ["finished an action on all that match", "asked to cancel all that match"]


def test_each_line_names_the_mail_it_is_about_unless_one_may_not_see_it(
    client: Client, administrator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    user = make_user("")
    row, message = outbox_row(account, "Secret <b>offer</b>"), store(account, letter("Secret order"))
    for target in (f"outbox:{row.pk}", f"message:{message.pk}", "outbox:", "outbox:x", "outbox:99999"):
        AuditEntry.objects.create(user=user, account=account, verb="retry", target=target)
    page = administrator.get("/activity/").content.decode()
    assert "Secret &lt;b&gt;offer&lt;/b&gt;" in page
    assert "Secret order" in page
    client.force_login(user)  # who did it, and has lost the account since
    page = client.get("/activity/").content.decode()
    assert page.count("<tr>") == 6
    assert "Secret" not in page


def test_filters_narrow_by_person_account_verb_day_and_text(
    administrator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    ann, now = make_user("operator"), timezone.now()
    AuditEntry.objects.create(
        user=ann, account=account, verb="retry", at=now - timedelta(days=2), detail="greylisted in Überlingen"
    )
    AuditEntry.objects.create(verb="cancel", at=now)
    day = timezone.localtime(now - timedelta(days=2)).date().isoformat()
    queries: list[dict[str, object]] = [{"who": ann.username.upper()}, {"account": account.pk}, {"verb": "retry"}]
    queries += [{"day": day}, {"q": "grey", "verb": "retry", "day": day}]
    for query in [*queries, {"q": "GREY"}, {"q": "in überl"}, {"q": "ÜBER"}]:
        assert words(administrator, **query) == ["retried a send"], query
    assert words(administrator, q="grey", verb="cancel") == []
    assert "Nothing fits these filters." in administrator.get("/activity/?q=nothing").content.decode()
    for bad in ("verb=fly", "day=yesterday", "day=9999-12-31", "before=x"):
        assert administrator.get(f"/activity/?{bad}").status_code == 400, bad


def test_a_text_is_found_in_the_subject_and_the_account(
    administrator: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    other = make_account("desk@example.org", **NOWHERE)
    row, message = outbox_row(account, "Bill for Ümit"), store(account, letter("Order of May"))
    AuditEntry.objects.create(account=account, verb="retry", target=f"outbox:{row.pk}")
    AuditEntry.objects.create(account=account, verb="fetch_now", target=f"message:{message.pk}")
    AuditEntry.objects.create(account=other, verb="cancel", target="outbox:not a number")
    AuditEntry.objects.create(account=other, verb="undo", target=f"outbox:{'9' * 30}")
    assert words(administrator, q="BILL") == words(administrator, q="ÜMIT") == ["retried a send"]
    assert words(administrator, q="order of") == ["asked for the whole of a too large message"]
    assert words(administrator, q="desk@") == ["undid a send", "cancelled a send"]
    assert words(administrator, q="bill", account=account.pk) == ["retried a send"]
    assert words(administrator, q="bill", account=other.pk) == []


def test_a_click_on_many_is_found_by_the_subject_of_one_of_them(administrator: Client, account: Account) -> None:
    rows = [outbox_row(account, f"Bill {number}", status="failed", hold="permanent") for number in range(3)]
    ticked = {"action": "cancel", "confirmed": "1", "pk": [f"{row.pk}.0" for row in rows]}
    administrator.post(reverse("outbox:bulk"), ticked)
    assert words(administrator, q="bill 2") == ["cancelled several sends"]
    click = AuditEntry.objects.get(verb="ticked_cancel")
    assert words(administrator, q="bill 2", part_of=click.pk) == ["cancelled a send"]


def test_no_subject_is_guessed_by_searching(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    user, other = make_user(""), make_account("other@example.com", **NOWHERE)
    AccountGrant.objects.create(user=user, account=other, role="operator")
    row, message = outbox_row(account, "Secret offer"), store(account, letter("Secret order"))
    click = AuditEntry.objects.create(user=user, verb="ticked_retry")
    for target in (f"outbox:{row.pk}", f"message:{message.pk}"):  # what they did before the account was taken away
        AuditEntry.objects.create(user=user, account=account, verb="retry", target=target)
        AuditEntry.objects.create(user=user, account=account, verb="retry", target=target, part_of=click)
    client.force_login(user)
    assert words(client, q="retry") == []  # it is no verb that is searched
    assert len(words(client)) == 3
    assert words(client, q="secret") == []
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    assert len(words(client, q="secret")) == 3


def test_the_short_list_of_an_account_names_its_mails(
    administrator: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    foreign = outbox_row(make_account("other@example.com", **NOWHERE), "Not of this one")
    row, message = outbox_row(account, "Bill <1>"), store(account, letter(""))
    targets = (f"outbox:{row.pk}", f"message:{message.pk}", f"outbox:{foreign.pk}", f"account:{account.pk}")
    for target in targets:
        AuditEntry.objects.create(account=account, verb="retry", target=target)
    page = administrator.get(f"/accounts/{account.pk}/").content.decode()
    said = re.findall(r"retried a send(?: · <a [^>]*>([^<]*)</a>)?", page)
    assert said == ["", f"mail no. {foreign.pk} of the outbox", f"message no. {message.pk}", "Bill &lt;1&gt;"]


def test_a_text_is_looked_for_stretch_by_stretch(
    administrator: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views_activity, "STRETCH", 3)
    AuditEntry.objects.create(verb="retry", detail="needle")
    AuditEntry.objects.bulk_create(AuditEntry(verb="cancel") for _ in range(5))
    response = administrator.get("/activity/", {"q": "needle"})
    assert "Older ones may." in response.content.decode()
    monkeypatch.setattr(views_activity, "CSV_STRETCH", 3)
    file = administrator.get("/activity/", {"q": "needle", "format": "csv"})
    assert file.headers["Location"] == "/lists/activity/export/?q=needle"  # workers look through all of it
    further = administrator.get("/activity/" + response.context["next_url"])
    assert [str(line.words) for line in further.context["entries"]] == ["retried a send"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1+1"])
def test_no_cell_of_a_csv_begins_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell("plain") == "plain"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("Hi;=cmd|'/C calc'!A0;", "Hi;'=cmd|'/C calc'!A0;"),
        (";=1", ";'=1"),
        ("Hi; \t-1", "Hi; \t'-1"),
        ('Hi;"=1"', 'Hi;"\'=1"'),
        ("one\n@SUM(A1)", "one\n'@SUM(A1)"),
        ("a; b - c", "a; b - c"),
    ],
)
def test_no_cell_begins_a_formula_where_a_semicolon_parts_cells(text: str, cell: str) -> None:
    assert safe_cell(text) == cell


@pytest.mark.parametrize("letter", ["x", "\U0001f4a9"])
def test_no_cell_is_so_long_that_a_spreadsheet_begins_another_row_in_it(letter: str) -> None:
    for number in (LONGEST_CELL, LONGEST_CELL + 1, 3 * LONGEST_CELL):
        cell = safe_cell(f"{letter * number}=1+1")
        assert len(cell.encode("utf-16-le")) // 2 <= LONGEST_CELL and cell.startswith(letter) and cell.endswith(" …")
    whole = letter * (LONGEST_CELL * 2 // len(letter.encode("utf-16-le")))
    assert safe_cell(whole) == whole


def test_the_csv_holds_what_the_filters_show_and_nothing_one_may_not_see(
    client: Client, administrator: Client, account: Account, make_account: Callable[..., Account], make_user: object
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    row = outbox_row(account, '=HYPERLINK("http://evil")')
    AuditEntry.objects.create(account=account, verb="retry", target=f"outbox:{row.pk}", detail="a\nb, c")
    AuditEntry.objects.create(account=other, verb="cancel")

    def lines(**query: str) -> list[list[str]]:
        response = client.get("/activity/", query | {"format": "csv"})
        assert response["Content-Disposition"] == 'attachment; filename="activity.csv"'
        text = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
        return list(csv.reader(io.StringIO(text)))

    head, first, second = lines()
    assert head[:4] == ["at", "who", "verb", "words"]
    assert (first[2], second[2]) == ("cancel", "retry")
    assert second[4:] == ["ops@example.com", f"outbox:{row.pk}", '\'=HYPERLINK("http://evil")', "a\nb, c"]
    assert len(lines(verb="retry")) == 2
    user = make_user("")  # type: ignore[operator]
    AccountGrant.objects.create(user=user, account=other, role="viewer")
    client.force_login(user)
    assert [line[4] for line in lines()[1:]] == ["other@example.com"]


def test_what_no_person_did_is_said_of_what_did_it(administrator: Client, account: Account) -> None:
    for verb in ("found_in_sent", "sign_in_failed", "send"):
        AuditEntry.objects.create(verb=verb)
    own = SendRequest(Request("ops@example.org", "An alert", "Something fails.", auto_submitted=True))
    assert api.queue_request(account.pk, own).ok
    found = administrator.get("/activity/").context["entries"]
    assert [line.who for line in found] == ["the site", "command line", "not signed in", "a worker"]
