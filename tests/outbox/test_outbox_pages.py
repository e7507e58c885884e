"""The outbox in the browser: tabs, filters, live rows, one send, the buttons, pausing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from mailbox.models import Account, AccountGrant, AuditEntry
from outbox.models import OutboxCount, OutboxMessage, OutboxRecipient, SendingSwitch
from outbox.tasks import storage as storage_tasks
from outbox.views import selection
from tests.rows import NOWHERE, attempt, letter, letter_with, outbox_row, queries_of, workers_run

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
GREYLISTED = "451 4.7.1 Greylisted, try again"
REFUSED = "550 5.1.1 User unknown"


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture
def other_account(make_account: Callable[..., Account]) -> Account:
    return make_account("other@example.com", **NOWHERE)


@pytest.fixture
def operator(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("operator"))
    return client


@pytest.fixture
def viewer(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("viewer"))
    return client


def in_every_state(account: Account) -> dict[str, OutboxMessage]:
    later = timezone.now() + timedelta(minutes=3)
    return {
        "queued": outbox_row(account, "Queued one"),
        "sending": outbox_row(account, "Sending one", status="sending"),
        "retrying": outbox_row(
            account, "Retrying one", status="failed", retries=2, next_attempt_at=later, error=GREYLISTED
        ),
        "needs_decision": outbox_row(account, "Uncertain one", status="failed", hold="uncertain", error="cut off"),
        "failed_for_good": outbox_row(account, "Refused one", status="failed", hold="permanent", error=REFUSED),
        "sent": outbox_row(account, "Sent one", status="sent"),
        "cancelled": outbox_row(account, "Cancelled one", status="cancelled"),
    }


def get(client: Client, name: str, *args: object, **query: Any) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def post(client: Client, name: str, *args: object, **fields: Any) -> str:
    """Click, follow the redirect, return the page's notices and what it says of an action on several rows."""
    response = client.post(reverse(name, args=args), fields, follow=True)
    assert response.redirect_chain
    said = [str(notice) for notice in response.context["messages"]]
    return " ".join([*said, response.context.get("result", "")]).strip()


def test_each_tab_lists_its_state_and_counts_it(viewer: Client, account: Account) -> None:
    rows = in_every_state(account)
    for state, row in rows.items():
        response = viewer.get(reverse("outbox:list"), {"state": state})
        assert [each.row for each in response.context["rows"]] == [row]
        counts = {tab.tab.name: tab.count for tab in response.context["tabs"] if tab.tab}
        assert counts == dict.fromkeys(rows, "1")


def test_a_row_shows_the_servers_first_line_tries_and_when_it_is_tried_next(viewer: Client, account: Account) -> None:
    workers_run()
    row = in_every_state(account)["retrying"]
    OutboxMessage.objects.filter(pk=row.pk).update(error=f"{GREYLISTED}\nsecond line")
    attempt(row, outcome="transient")
    attempt(row, outcome="transient")
    shown = get(viewer, "outbox:list", state="retrying")
    assert GREYLISTED in shown
    assert "second line" not in shown
    assert "2 tries" in shown
    assert re.search(r"data-countdown>in [23] min<", shown)


def test_filters_stand_in_the_address_and_hold_for_the_tabs_too(
    viewer: Client, account: Account, other_account: Account
) -> None:
    outbox_row(account, "Invoice 4411")
    outbox_row(other_account, "Invoice 4412")
    outbox_row(account, "Newsletter", cc="carol@example.org")

    def subjects(**query: Any) -> set[str]:
        response = viewer.get(reverse("outbox:list"), query)
        queued = next(tab for tab in response.context["tabs"] if tab.tab and tab.tab.name == "queued")
        assert queued.count == str(len(response.context["rows"]))
        return {each.row.subject for each in response.context["rows"]}

    assert subjects(q="invoice") == {"Invoice 4411", "Invoice 4412"}
    assert subjects(q="invoice", account=account.pk) == {"Invoice 4411"}
    assert subjects(q="carol@") == {"Newsletter"}
    assert "Nothing matches" in get(viewer, "outbox:list", q="no such words")


def test_a_reason_finds_the_rows_held_for_it(viewer: Client, account: Account) -> None:
    in_every_state(account)
    response = viewer.get(reverse("outbox:list"), {"reason": "permanent"})
    assert [each.row.subject for each in response.context["rows"]] == ["Refused one"]


@pytest.mark.parametrize("query", [{"state": "lost"}, {"reason": "bad luck"}, {"limit": "501"}, {"limit": "0"}])
def test_an_address_that_asks_for_what_there_is_not_gets_a_sentence(viewer: Client, query: dict[str, str]) -> None:
    response = viewer.get(reverse("outbox:list"), query)
    assert response.status_code == 400
    assert re.search(r"Choose one|a number from 1 to 500", response.content.decode())


def test_pages_go_on_by_key_and_keep_the_filters(viewer: Client, account: Account) -> None:
    pks = [outbox_row(account, f"Invoice {number}").pk for number in range(5)]
    url, seen = f"{reverse('outbox:list')}?state=queued&limit=2&q=Invoice", []
    while url:
        response = viewer.get(url)
        seen += [each.row.pk for each in response.context["rows"]]
        following = response.context["next_url"]
        assert not following or ("state=queued" in following and "q=Invoice" in following)
        url = reverse("outbox:list") + following if following else ""
    assert seen == sorted(pks, reverse=True)


def test_the_list_costs_the_same_queries_however_many_rows_it_has(operator: Client, account: Account) -> None:
    in_every_state(account)

    def add_rows() -> None:
        for _round in range(3):
            for row in in_every_state(account).values():
                attempt(row)

    before, after = queries_of(operator, reverse("outbox:list"), add_rows)
    assert before == after <= 12


def test_a_count_that_grows_without_end_is_cut(
    viewer: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "COUNTED_AT_MOST", 2)
    for _number in range(3):
        outbox_row(account, status="sent")
    tabs = viewer.get(reverse("outbox:list")).context["tabs"]
    assert next(tab.count for tab in tabs if tab.label == "Sent") == "2+"


def count_of(client: Client, label: str, **query: Any) -> str:
    tabs = client.get(reverse("outbox:list"), query).context["tabs"]
    return str(next(tab.count for tab in tabs if tab.label == label))


def test_what_is_over_shows_the_number_that_the_clock_counted(
    viewer: Client, account: Account, other_account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "COUNTED_AT_MOST", 2)
    for _number in range(3):
        outbox_row(account, status="sent")
        outbox_row(other_account, status="sent")
    outbox_row(account, status="cancelled")
    storage_tasks.count_storage()
    assert count_of(viewer, "Sent") == "6"
    assert count_of(viewer, "Sent", account=account.pk) == "3"
    assert "Counted at" in viewer.get(reverse("outbox:list")).content.decode()
    # Few enough to be counted at this moment are.
    outbox_row(account, status="cancelled")
    assert count_of(viewer, "Cancelled") == "2"
    # Another filter narrows the list, and the clock knows nothing of it.
    assert count_of(viewer, "Sent", domain="example.com") == "2+"


def test_a_count_of_the_clock_is_right_again_after_each_count(viewer: Client, account: Account) -> None:
    rows = [outbox_row(account, status="sent") for _number in range(3)]
    storage_tasks.count_storage()
    OutboxCount.objects.update(number=77)
    rows[0].delete()
    storage_tasks.count_storage()
    assert list(OutboxCount.objects.values_list("status", "number")) == [("sent", 2)]


def test_counts_of_accounts_one_may_not_see_are_not_in_it(
    client: Client, make_user: Callable[..., User], account: Account, other_account: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(selection, "COUNTED_AT_MOST", 2)
    in_every_state(other_account)
    for _number in range(3):
        outbox_row(account, status="sent")
        outbox_row(other_account, status="sent")
    outbox_row(account, status="pending")
    storage_tasks.count_storage()
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    client.force_login(user)
    counts = {tab.label: tab.count for tab in client.get(reverse("outbox:list")).context["tabs"]}
    assert counts == {
        "All": "", "Queued": "1", "Sending": "0", "Retrying": "0", "Needs a decision": "0", "Failed": "0",
        "Sent": "3", "Cancelled": "0",
    }  # fmt: skip
    assert count_of(client, "Queued", account=other_account.pk) == "0"


def test_a_text_is_looked_for_stretch_by_stretch(
    viewer: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [outbox_row(account, f"Invoice {number}", status="sent").pk for number in range(2)]
    for _number in range(5):
        outbox_row(account, "Other", status="sent")
    monkeypatch.setattr(selection, "LOOKED_AT", 3)
    first = viewer.get(reverse("outbox:list"), {"q": "invoice"})
    assert first.context["rows"] == []
    assert "Look further back" in first.content.decode()
    assert next(tab.count for tab in first.context["tabs"] if tab.label == "Sent") == "0+"
    seen, url = [], first.context["next_url"]
    while url:
        page = viewer.get(reverse("outbox:list") + url)
        seen += [each.row.pk for each in page.context["rows"]]
        url = page.context["next_url"]
    assert seen == sorted(wanted, reverse=True)


def test_ages_are_exact_where_keys_and_times_go_against_each_other(viewer: Client, account: Account) -> None:
    now = timezone.now()
    ages = {
        "new": timedelta(minutes=1),
        "old": timedelta(hours=3),
        "newer": timedelta(minutes=2),
        "oldest": timedelta(9),
    }
    for subject, age in ages.items():
        OutboxMessage.objects.filter(pk=outbox_row(account, subject, status="sent").pk).update(created_at=now - age)

    def subjects(age: str) -> list[str]:
        page = viewer.get(reverse("outbox:list"), {"age": age})
        return [each.row.subject for each in page.context["rows"]]

    assert subjects("under-1h") == ["newer", "new"]
    assert subjects("over-1h") == ["oldest", "old"]
    assert subjects("over-7d") == ["oldest"]
    assert subjects("under-7d") == ["newer", "old", "new"]


def test_a_live_update_holds_only_what_changed_and_no_checkbox(operator: Client, account: Account) -> None:
    rows = in_every_state(account)
    poll = operator.get(reverse("outbox:list")).context["poll"]
    quiet = operator.get(poll).content.decode()
    assert "hx-swap-oob" not in quiet
    OutboxMessage.objects.filter(pk=rows["queued"].pk).update(status="sent")
    update = operator.get(poll).content.decode()
    assert f'id="row-{rows["queued"].pk}-state" hx-swap-oob="true"' in update
    assert f"row-{rows['retrying'].pk}-" not in update
    assert 'id="outbox-tabs"' in update
    assert "checkbox" not in update
    assert "<tr" not in update


def test_new_rows_wait_behind_their_number(operator: Client, account: Account) -> None:
    outbox_row(account)
    poll = operator.get(reverse("outbox:list")).context["poll"]
    outbox_row(account, "the new one")
    outbox_row(account, "another")
    update = operator.get(poll).content.decode()
    assert "2 new: show them" in update
    assert "the new one" not in update


BUTTONS = {
    "queued": ["Cancel"],
    "sending": [],
    "retrying": ["Send now", "Cancel"],
    "needs_decision": ["Mark as sent", "Send again"],
    "failed_for_good": ["Retry", "Cancel"],
    "sent": [],
    "cancelled": [],
}


@pytest.mark.parametrize("state", BUTTONS)
def test_each_state_offers_the_buttons_that_mend_it_to_operators_only(
    client: Client, make_user: Callable[..., User], account: Account, state: str
) -> None:
    row = in_every_state(account)[state]
    client.force_login(make_user("operator"))
    found = re.findall(r'<button id="choice-[^>]*>([^<]*)<', get(client, "outbox:detail", row.pk))
    assert found == BUTTONS[state]
    client.force_login(make_user("viewer"))
    assert "choice-" not in get(client, "outbox:detail", row.pk)


def test_dangerous_buttons_ask_with_the_consequence(operator: Client, account: Account) -> None:
    row = in_every_state(account)["needs_decision"]
    assert "The recipient may get it twice." in get(operator, "outbox:detail", row.pk)


def test_a_send_shows_its_recipients_attempts_words_and_who_did_what(
    operator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    row = in_every_state(account)["failed_for_good"]
    OutboxRecipient.objects.filter(outbox=row).update(status="refused", reply=REFUSED, reply_code=550)
    transcript = [{"at": timezone.now().isoformat(), "phase": "rcpt", "reply": "550 in the transcript"}]
    attempt(row, phase="rcpt", outcome="permanent", reply=REFUSED, transcript=transcript)
    AuditEntry.objects.create(user=make_user(username="kim"), verb="retry", target=f"outbox:{row.pk}")
    shown = get(operator, "outbox:detail", row.pk)
    assert "refused it for good" in shown
    for words in (
        REFUSED,
        "550 in the transcript",
        'rcpt<span class="visually-hidden">: stopped here',
        "web1/3",
        "kim",
    ):
        assert words in shown
    assert f"&lt;outbox-{row.pk}-0@example.com&gt;" in shown


def test_the_page_of_a_send_polls_while_something_may_happen_and_answers_204_when_nothing_did(
    viewer: Client, account: Account
) -> None:
    rows = in_every_state(account)
    for state, row in rows.items():
        response = viewer.get(reverse("outbox:detail", args=[row.pk]))
        polls = reverse("outbox:state", args=[row.pk]) in response.content.decode()
        assert polls == (state in ("queued", "sending", "retrying"))
    row = rows["queued"]
    seen = viewer.get(reverse("outbox:detail", args=[row.pk])).context["print"]
    poll = reverse("outbox:state", args=[row.pk])
    assert viewer.get(poll, {"seen": seen}).status_code == 204
    OutboxMessage.objects.filter(pk=row.pk).update(status="sent", sent_at=timezone.now())
    update = viewer.get(poll, {"seen": seen}).content.decode()
    assert "has accepted it" in update
    assert "hx-get" not in update


def test_the_frozen_mail_and_its_attachments_are_served_exactly(viewer: Client, account: Account) -> None:
    content = bytes(range(256)) * 9
    raw = letter_with(content, "契約.pdf")
    row = outbox_row(account, raw=raw)
    eml = viewer.get(reverse("outbox:eml", args=[row.pk]))
    assert eml.content == raw
    file = viewer.get(reverse("outbox:attachment", args=[row.pk, 0]))
    assert file.content == content
    for response in (eml, file):
        assert response["Content-Disposition"].startswith("attachment")
        assert response["Content-Security-Policy"].startswith("sandbox")
    assert viewer.get(reverse("outbox:attachment", args=[row.pk, 5])).status_code == 404


def test_the_html_of_a_send_stands_in_a_sandboxed_frame(viewer: Client, account: Account) -> None:
    row = outbox_row(account, body_html="<p>hi</p><script>bad()</script>", raw=letter(html="<p>hi</p>"))
    response = viewer.get(reverse("outbox:html", args=[row.pk]))
    assert response["Content-Security-Policy"].startswith("sandbox")
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert b"bad()" not in response.content


def test_retry_lifts_a_refusal_and_a_worker_is_asked(
    operator: Client, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    row = in_every_state(account)["failed_for_good"]
    with django_capture_on_commit_callbacks(execute=True):
        assert "handed to a worker, which tries it again" in post(operator, "outbox:retry", row.pk)
    row.refresh_from_db()
    assert row.hold == ""
    assert row.next_attempt_at <= timezone.now()
    assert OrmQ.objects.count() == 1
    entry = AuditEntry.objects.get(target=f"outbox:{row.pk}")
    assert (entry.verb, entry.detail) == ("retry", "The server had refused it for good.")


def test_send_now_does_not_wait_and_is_recorded_with_who_and_why(operator: Client, account: Account) -> None:
    row = in_every_state(account)["retrying"]
    assert "handed to a worker, which sends it now" in post(operator, "outbox:send_now", row.pk)
    row.refresh_from_db()
    assert row.next_attempt_at <= timezone.now()
    entry = AuditEntry.objects.select_related("user").get(target=f"outbox:{row.pk}")
    assert entry.user and (entry.verb, entry.detail) == ("send_now", "Before its next attempt was due.")


@pytest.mark.parametrize("state", ["sent", "sending", "cancelled", "needs_decision"])
def test_what_cannot_be_retried_says_why(operator: Client, account: Account, state: str) -> None:
    row = in_every_state(account)[state]
    before = OutboxMessage.objects.filter(pk=row.pk).values().get()
    assert re.search(r"The mail (is|may have)", post(operator, "outbox:retry", row.pk))
    assert OutboxMessage.objects.filter(pk=row.pk).values().get() == before


def test_an_uncertain_mail_is_decided_by_a_person(operator: Client, account: Account) -> None:
    first, second = in_every_state(account)["needs_decision"], in_every_state(account)["needs_decision"]
    assert "marked as sent" in post(operator, "outbox:mark_as_sent", first.pk, attempt=0, confirmed=1)
    assert "with the same Message-ID" in post(operator, "outbox:send_again", second.pk, attempt=0, confirmed=1)
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.status == "sent"
    assert (second.status, second.hold, second.retries) == ("failed", "", 0)


def test_cancel_is_final(operator: Client, account: Account) -> None:
    rows = in_every_state(account)
    assert "it is never sent" in post(operator, "outbox:cancel", rows["queued"].pk, confirmed=1)
    rows["queued"].refresh_from_db()
    assert rows["queued"].status == "cancelled"
    assert "too late to cancel" in post(operator, "outbox:cancel", rows["sent"].pk, confirmed=1)


def test_a_bulk_click_tells_honestly_what_came_of_it(operator: Client, account: Account) -> None:
    rows = in_every_state(account)
    chosen = [rows[state].pk for state in ("failed_for_good", "retrying", "needs_decision", "sent")]
    said = post(operator, "outbox:bulk", action="retry", pk=chosen)
    assert said.startswith("2 handed to a worker to be retried, 2 skipped: ")
    for reason in ("it may have gone out already and needs", "The mail is sent"):
        assert f"1 because: {reason}" in said
    assert OutboxMessage.objects.get(pk=rows["needs_decision"].pk).hold == "uncertain"
    assert post(operator, "outbox:bulk", action="send_now", pk=[rows["retrying"].pk]).startswith("1 handed to a worker")
    assert "Tick up to 500 rows first" in post(operator, "outbox:bulk", action="retry")
    assert "Nothing was changed" in post(operator, "outbox:bulk", action="explode", pk=chosen)


def test_a_bulk_click_changes_no_row_of_an_account_that_is_not_the_users_to_operate(
    client: Client,
    make_user: Callable[..., User],
    make_account: Callable[..., Account],
    account: Account,
    other_account: Account,
) -> None:
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    client.force_login(user)
    seen, unseen = outbox_row(account), outbox_row(other_account)
    chosen = [seen.pk, unseen.pk]
    assert client.post(reverse("outbox:bulk"), {"action": "cancel", "pk": chosen}).status_code == 403
    AccountGrant.objects.create(user=user, account=make_account("third@example.com", **NOWHERE), role="operator")
    said = post(client, "outbox:bulk", action="cancel", pk=chosen, confirmed=1)
    assert said.startswith("0 cancelled, 2 skipped")
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {"pending"}


def test_an_administrator_pauses_and_resumes_all_sending(client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("administrator"))
    assert "All sending is paused" in post(client, "outbox:pause_sending", reason="maintenance", confirmed=1)
    switch = SendingSwitch.objects.get()
    assert switch.paused_at is not None
    assert "maintenance" in get(client, "outbox:list")
    assert "Sending is resumed" in post(client, "outbox:resume_sending", paused_at=switch.paused_at.isoformat())
    switch.refresh_from_db()
    assert switch.paused_at is None
    assert {entry.verb for entry in AuditEntry.objects.all()} == {"pause_sending", "resume_sending"}


def test_resume_of_an_old_page_does_not_lift_the_pause_of_a_restored_database(
    client: Client, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("administrator"))
    post(client, "outbox:pause_sending", reason="maintenance", confirmed=1)
    old_page = get(client, "outbox:list")
    shown = re.search('name="paused_at" value="([^"]+)"', old_page)
    later = timezone.now() + timedelta(minutes=1)
    SendingSwitch.objects.update(paused_at=later, reason="The database was restored.")
    assert shown and "was paused anew" in post(client, "outbox:resume_sending", paused_at=shown[1])
    assert SendingSwitch.objects.get().paused_at == later
    now_shown = re.search('name="paused_at" value="([^"]+)"', get(client, "outbox:list"))
    assert now_shown and "Sending is resumed" in post(client, "outbox:resume_sending", paused_at=now_shown[1])


def test_pausing_everything_needs_an_administrator(operator: Client) -> None:
    for name in ("outbox:pause_sending", "outbox:resume_sending"):
        assert operator.post(reverse(name)).status_code == 403
    assert "Pause all sending" not in get(operator, "outbox:list")


def test_a_form_returns_only_to_pages_of_ours(operator: Client, account: Account) -> None:
    row = outbox_row(account)
    response = operator.post(
        reverse("outbox:cancel", args=[row.pk]), {"next": "https://evil.example/", "confirmed": "1"}
    )
    assert response["Location"] == reverse("outbox:detail", args=[row.pk])


READ = ("outbox:detail", "outbox:state", "outbox:html", "outbox:eml")
CLICKS = ("outbox:retry", "outbox:send_now", "outbox:cancel", "outbox:mark_as_sent", "outbox:send_again")


def test_whoever_is_signed_out_is_sent_to_sign_in(client: Client, account: Account) -> None:
    row = outbox_row(account, raw=letter_with(b"%PDF", "a.pdf"))
    urls = [reverse(name, args=[row.pk]) for name in READ + CLICKS]
    urls += [reverse(f"outbox:{name}") for name in ("list", "changes", "bulk", "pause_sending", "resume_sending")]
    for url in [*urls, reverse("outbox:attachment", args=[row.pk, 0])]:
        for response in (client.get(url), client.post(url)):
            assert response.status_code == 302
            assert response["Location"].startswith(reverse("login"))


def test_a_row_of_an_account_the_user_may_not_see_does_not_exist_for_them(
    client: Client, make_user: Callable[..., User], account: Account, other_account: Account
) -> None:
    row = outbox_row(other_account, "not for you", raw=letter_with(b"%PDF", "a.pdf"))
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="administrator")
    client.force_login(user)
    for name in READ:
        assert client.get(reverse(name, args=[row.pk])).status_code == 404
    assert client.get(reverse("outbox:attachment", args=[row.pk, 0])).status_code == 404
    for name in CLICKS:
        assert client.post(reverse(name, args=[row.pk])).status_code == 404
    assert "not for you" not in get(client, "outbox:list")
    assert f"row-{row.pk}-" not in get(client, "outbox:changes", rows=f"{row.pk}-x")
    assert [tab.count for tab in client.get(reverse("outbox:list")).context["tabs"]][1:] == ["0"] * 7


def test_a_viewer_clicks_in_vain_and_a_link_clicks_nothing(
    client: Client, make_user: Callable[..., User], account: Account
) -> None:
    row = outbox_row(account)
    client.force_login(make_user("viewer"))
    for name in CLICKS:
        assert client.post(reverse(name, args=[row.pk])).status_code == 403
        assert client.get(reverse(name, args=[row.pk])).status_code == 405
    for name in ("outbox:bulk", "outbox:pause_sending", "outbox:resume_sending"):
        assert client.get(reverse(name)).status_code == 405
    assert client.post(reverse("outbox:list")).status_code == 405
    row.refresh_from_db()
    assert row.status == "pending"
