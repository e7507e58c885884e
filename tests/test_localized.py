"""Numbers, sizes and lists of words, as each language writes them, and that no list of words on a page is joined
otherwise."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.template import Context, Template
from django.template.defaultfilters import filesizeformat, floatformat
from django.utils import translation

from mailbox.lazy_text import spoken
from mailbox.localized import grouped, listed, listed_apart, percent
from tests.read_sources import MODULES, ROOT, tree

pytestmark = [pytest.mark.pages]


@pytest.mark.parametrize("language", ["en", "ar", "ja", "ko", "zh-hans"])
def test_a_number_is_grouped_by_thousands_and_has_a_point_for_its_decimals(language: str) -> None:
    with translation.override(language):
        assert (grouped(999), grouped(1234567), grouped(-1234)) == ("999", "1,234,567", "-1,234")
        assert floatformat(1.25, 2) == "1.25"
        assert filesizeformat(1536).startswith("1.5")
        assert "1,234" in spoken(1234 * 86400)


def test_a_language_of_ones_own_has_the_separators_that_django_knows() -> None:
    with translation.override("de"):
        assert (grouped(1234567), floatformat(1.5, 1)) == ("1.234.567", "1,5")


@pytest.mark.parametrize(
    ("language", "written"), [("en", "45 %"), ("ar", "45%"), ("ja", "45%"), ("ko", "45%"), ("zh-hans", "45%")]
)
def test_a_percentage_is_written_as_the_language_does(language: str, written: str) -> None:
    with translation.override(language):
        assert percent(45) == written


@pytest.mark.parametrize(
    ("language", "words", "parts"),
    [
        ("en", "a, b, c", "a, b; c"),
        ("ar", "a، b، c", "a, b؛ c"),
        ("ja", "a、b、c", "a, b、c"),
        ("ko", "a, b, c", "a, b; c"),
        ("zh-hans", "a、b、c", "a, b\N{FULLWIDTH SEMICOLON}c"),
    ],
)
def test_words_are_listed_with_the_commas_of_the_language(language: str, words: str, parts: str) -> None:
    with translation.override(language):
        assert listed(["a", "b", "c"]) == words
        assert listed_apart(["a, b", "c"]) == parts
        assert (listed([]), listed(["{more}"]), listed_apart([1])) == ("", "{more}", "1")


def test_what_a_template_writes_into_an_address_or_a_value_has_plain_digits() -> None:
    """The reason why numbers are grouped one by one."""
    assert settings.USE_THOUSAND_SEPARATOR is False
    page = Template('{% load prx %}<a href="?pk={{ n }}">{{ n|number }}</a><input value="{{ n }}">')
    for language in ("en", "ar", "ja", "ko", "zh-hans"):
        with translation.override(language):
            assert page.render(Context({"n": 1234})) == '<a href="?pk=1234">1,234</a><input value="1234">'


# Where a module that has texts for people joins by a comma what is not for them. Each with its reason.
FOR_PROGRAMS = {
    "api.tokens._note": "a detail of the activity, which is stored in English",
    "api.v1.protocol.finishing._not_allowed": "a header of HTTP",
    "mailbox.admin.accounts.AccountAdmin.save_model": "a detail of the activity",
    "mailbox.admin.accounts.TransportAdmin.save_model": "a detail of the activity",
    "mailbox.html.sanitizer._body_background": "a style sheet",
    "mailbox.models.oauth.OAuthGrant.when_key_is_lost": "a line of the command line",
    "mailbox.models.installation_health.Counter.add_each": "SQL",
    "mailbox.oauth.exchange.check": "an error that is stored in English",
    "mailbox.views.accounts.account_edit.save_form": "a detail of the activity",
    "mailbox.views.accounts.account_import._carried_out.note": "a detail of the activity",
    "mailbox.views.accounts.folders.choose": "a detail of the activity",
    "outbox.actions.correcting._mail": "a header of a mail",
    "outbox.actions.filters.OutboxFilters.in_english": "a detail of the activity",
    "outbox.actions.filters.OutboxFilters.pairs": "a parameter of an address",
    "outbox.admin.PolicyAdmin.save_model": "a detail of the activity",
    "outbox.compose.addresses.text_of": "a header of a mail",
    "outbox.compose.create._allowed_recipients": "a detail of the activity",
    "outbox.compose.submit": "SQL",
    "outbox.compose.submitted_mail.frozen": "a header of a mail",
    "outbox.delivery.finalization.finalize": "SQL",
    "outbox.sent_folder.looked_words.quoted": "stored in English; in_words() puts the language's comma",
    "outbox.views.attachments.attachments.save_policy": "a detail of the activity",
    "people.links.invitations.create": "a detail of the activity",
    "prx_email_site.personal_data.requests._record": "a detail of the activity",
    "prx_email_site.profile.profile": "a detail of the activity",
}
SPEAKS = {"gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}


def speaks_to_people(module: str) -> bool:
    imports = (node for node in ast.walk(tree(module)) if isinstance(node, ast.ImportFrom))
    return any(
        node.module == "django.utils.translation" and SPEAKS & {each.name for each in node.names} for node in imports
    )


def joins(node: ast.AST, place: str) -> Iterator[str]:
    """The function in which words are joined by a comma or a semicolon, once for each join."""
    for child in ast.iter_child_nodes(node):
        within = f"{place}.{child.name}" if isinstance(child, ast.FunctionDef | ast.ClassDef) else place
        if (
            isinstance(child, ast.Call)
            and isinstance(child.func, ast.Attribute)
            and child.func.attr == "join"
            and isinstance(child.func.value, ast.Constant)
            and str(child.func.value.value).strip() in (",", ";")
        ):
            yield within
        yield from joins(child, within)


def test_words_for_people_are_joined_by_the_comma_of_their_language() -> None:
    """Only modules that have texts for people are looked at: the others write SQL, headers and lines of the log."""
    found = {place for module in MODULES if speaks_to_people(module) for place in joins(tree(module), module)}
    assert found == set(FOR_PROGRAMS)


def test_no_template_writes_a_comma_of_its_own_between_words() -> None:
    own = re.compile(r"""\|join:["'][,;]|(?:%\}|\}\})[,;.](?: ?(?:\{%|<)| \{\{)""")
    wrong = []
    for path in sorted((ROOT / "templates").rglob("*.html")):
        # A sentence of the catalogue has its punctuation in it; the API's documentation is English.
        text = re.sub(r"\{% blocktranslate.*?endblocktranslate %\}", "", path.read_text(encoding="utf-8"), flags=re.S)
        if path.name != "documentation.html":
            wrong += [f"{path.relative_to(ROOT)}: {each[0]}" for each in own.finditer(text)]
    assert wrong == []
