"""Every column of text in every table is looked into for a person, or it is said why not."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.apps import apps
from django.db.models import CharField, Field, JSONField, TextField

from prx_email_site.personal_data.address import digest, normal, placeholder, stands_in, without
from prx_email_site.personal_data.decisions import KEY_IS_KNOWN_FOR, ErasureOutcome, Facts, decide
from prx_email_site.personal_data.tables import NOT_SEARCHED, TABLES, PersonalTable, Way
from tests.personal_data.everywhere import EVE, NOW, OTHER

# By their type or name, no text of people: words of a list, keys and digests made here, what is encrypted.
ENDINGS = ("_digest", "digest", "_token", "token")


def is_text(field: Field) -> bool:  # type: ignore[type-arg]
    if not isinstance(field, CharField | TextField | JSONField) or getattr(field, "choices", None):
        return False
    return not field.name.endswith(ENDINGS) and not field.name.startswith("encrypted_")


def test_every_column_of_text_is_looked_into_or_has_a_reason() -> None:
    searched = {f"{table.label}.{name}" for table in TABLES for name in (*table.columns, *table.mentions)}
    columns = {
        f"{model._meta.label}.{field.name}" for model in apps.get_models() for field in model._meta.concrete_fields
        if is_text(field)
    }  # fmt: skip
    unnamed = {each for each in columns - searched if each.rpartition(".")[0] not in NOT_SEARCHED}
    assert unnamed - set(NOT_SEARCHED) == set()
    there = {model._meta.label for model in apps.get_models()}
    named = {name.rpartition(".")[0] if name.count(".") == 2 else name for name in NOT_SEARCHED}
    assert named - there == set(), "what is named must be there"
    assert {name for name in NOT_SEARCHED if name.count(".") == 2} - columns == set()
    assert searched & set(NOT_SEARCHED) == set()
    assert {table.label for table in TABLES if table.way == Way.KEEP and not table.why} == set()


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        (EVE, True),
        (f"Eve <{EVE.upper()}>,", True),
        (f"RCPT TO:<{EVE}> ORCPT=rfc822;{EVE}", True),
        (f"q=from%3A{EVE.replace('@', '%40')}&state=sent", True),
        (f"Write to {EVE}.", True),
        (f"mailto:{EVE}?subject=x", True),
        (f"('{EVE}')", True),
        (OTHER, False),
        (f"eve.{EVE}", False),
        (f"{EVE}.example.com", False),
        (f"{EVE}work", False),
        ("x+" + EVE, False),
        ([{"a": {"b": f"x\n{EVE}"}}], True),
        ({EVE: 1}, True),
        (None, False),
    ],
)
def test_an_address_is_found_whole_and_never_as_a_part_of_another(text: object, stands: bool) -> None:
    assert stands_in(EVE, text) is stands
    after = without(EVE, text, placeholder(EVE))
    assert not stands_in(EVE, after) and (after == text) is not stands


@pytest.mark.parametrize("written", ["eve@bücher.example", "Eve@BÜCHER.example", "eve@xn--bcher-kva.example"])
def test_an_international_domain_is_found_in_both_of_its_forms(written: str) -> None:
    forms = ["Eve <EVE@XN--BCHER-KVA.EXAMPLE>", "eve@bücher.example", "to=eve%40b%C3%BCcher.example"]
    address = normal(written)
    assert [stands_in(address, each) for each in forms] == [True] * 3
    assert {without(address, forms[1], placeholder(address)), placeholder("eve@xn--bcher-kva.example")} == {
        placeholder("eve@bücher.example")
    }
    assert not stands_in(address, "eve@bucher.example")


@pytest.mark.parametrize("written", ["ünal@x.example", "Ünal@x.example", "ÜNAL@X.EXAMPLE"])
def test_letters_beyond_ascii_are_found_in_either_case_and_encoded(written: str) -> None:
    address = normal("Ünal@x.example")
    for text in (written, f"mailto:{quote(written)}", f"?to={quote(written, safe='')}"):
        assert stands_in(address, text), text


def test_what_was_said_to_a_server_holds_the_address_in_its_own_encoding() -> None:
    address = "eve+shop=1@example.net"
    said = "RCPT TO:<eve+shop=1@example.net> ORCPT=rfc822;eve+2Bshop+3D1@example.net"
    assert without(address, said, "X") == "RCPT TO:<X> ORCPT=rfc822;X"
    assert not stands_in("shop+3d1@example.net", said)


def test_what_stands_for_an_address_is_the_same_each_time_and_tells_nothing() -> None:
    assert placeholder(EVE) == placeholder(EVE) != placeholder(OTHER)
    assert "eve" not in placeholder(EVE) and placeholder(EVE).endswith("@erased.invalid") and len(digest(EVE)) == 16
    assert normal(" Eve@Example.NET ") == EVE
    assert [normal(each) for each in ("eve", "@x", "a@b@c", "Eve <e@x>", "a b@c", "a" * 330 + "@b")] == [""] * 6


@pytest.mark.parametrize(
    ("way", "facts", "outcome"),
    [
        (Way.RECEIVED, Facts(), ErasureOutcome.REMOVED),
        (Way.RECEIVED, Facts(is_held=True), ErasureOutcome.HELD),
        (Way.RECEIVED, Facts(is_theirs=False), ErasureOutcome.MENTIONED),
        (Way.SENT, Facts(is_over=False), ErasureOutcome.WAITS),
        (Way.SENT, Facts(), ErasureOutcome.EMPTIED),
        (Way.SENT, Facts(is_held=True, is_over=False), ErasureOutcome.HELD),
        (Way.SENT, Facts(has_key=True, written_at=NOW), ErasureOutcome.KEY),
        (Way.SENT, Facts(has_key=True, written_at=NOW - KEY_IS_KNOWN_FOR), ErasureOutcome.EMPTIED),
        (Way.MASK, Facts(is_over=False), ErasureOutcome.WAITS),
        (Way.MASK, Facts(), ErasureOutcome.MASKED),
        (Way.REMOVE, Facts(is_theirs=False), ErasureOutcome.MASKED),
        (Way.KEEP, Facts(is_held=True), ErasureOutcome.KEPT),
    ],
)
def test_what_becomes_of_a_row(way: Way, facts: Facts, outcome: ErasureOutcome) -> None:
    assert decide(way, facts, NOW, mentions=False) == outcome
    assert PersonalTable("a.B", (), way).why == ""


@pytest.mark.parametrize(
    ("way", "outcome"), [(Way.RECEIVED, ErasureOutcome.REMOVED), (Way.SENT, ErasureOutcome.EMPTIED)]
)
def test_mail_that_only_mentions_the_address_goes_as_a_whole_where_it_is_meant(
    way: Way, outcome: ErasureOutcome
) -> None:
    assert decide(way, Facts(is_theirs=False), NOW, mentions=True) == outcome
