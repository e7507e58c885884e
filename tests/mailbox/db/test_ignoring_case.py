"""Texts are found in either case of their letters on both databases, whatever letters the database's locale knows."""

from __future__ import annotations

import pytest
from django.db.models import F

from mailbox.db import ignoring_case
from mailbox.models import Account, Folder
from tests.rows import folder_of

pytestmark = pytest.mark.django_db
PAIRS = [
    ("Ünal", "üNAL"),
    ("ÖZ.(x)+1@X.org", "öz.(x)+1@x.org"),
    ("Привет", "пРИВЕТ"),
    ("Ελλάς", "ΕΛΛΆΣ"),
    ("a b#c&d~e-f\\g%h_iÜ", "A B#C&D~E-F\\G%H_Iü"),
    ("東京", "東京"),
]


@pytest.mark.parametrize(("written", "asked"), [*PAIRS, *((asked, written) for written, asked in PAIRS)])
def test_a_text_is_found_in_either_case(account: Account, written: str, asked: str) -> None:
    folder = folder_of(account, f"<{written}>")
    exact = folder_of(account, written)
    folder_of(account, "Another")
    assert set(Folder.objects.filter(ignoring_case.contains("name", asked))) == {folder, exact}
    found = Folder.objects.filter(ignoring_case.expression_contains(F("name"), asked))  # type: ignore[arg-type]
    assert set(found) == {folder, exact}
    assert Folder.objects.get(ignoring_case.equals("name", asked)) == exact
