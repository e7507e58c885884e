"""The catalogue of texts: in step with the sources, and nothing of this machine in it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbox.accounts import troubleshooting
from tests import pseudo_locale
from tests.pseudo_locale import CATALOGUE, ROOT
from tests.read_sources import APPS, MODULES, tree

MARKERS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext", "npgettext"}
pytestmark = [pytest.mark.pages]


def test_each_advice_about_a_failed_connection_is_in_the_catalogue() -> None:
    texts = {text for _context, text, _plural in pseudo_locale.entries(CATALOGUE)}
    assert [sentence for _pattern, sentence in troubleshooting._RULES if sentence not in texts] == []


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Path]:
    """A copy of what the catalogue is made from."""
    if shutil.which("xgettext") is None:
        if os.environ.get("CI"):
            pytest.fail("xgettext is missing: apt-get install gettext")
        pytest.skip("xgettext is missing: apt-get install gettext")
    for name in (*APPS, "templates", "locale"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    for name in ("manage.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    yield tmp_path


def test_the_catalogue_is_in_step_with_the_sources(sources: Path) -> None:
    made = sources / CATALOGUE.relative_to(ROOT)
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "prx_email_site.settings"}
    command = [sys.executable, "manage.py", "gather_texts"]
    subprocess.run(command, cwd=sources, env=environment, check=True, capture_output=True, timeout=120)
    here, now = set(pseudo_locale.entries(CATALOGUE)), set(pseudo_locale.entries(made))
    assert (sorted(now - here), sorted(here - now)) == ([], []), "type: make messages"
    assert made.read_text(encoding="utf-8") == CATALOGUE.read_text(encoding="utf-8")


def test_no_text_is_marked_within_an_f_string() -> None:
    """xgettext before 0.22 does not look there, so the text would be in the catalogue of some machines only."""
    inside = [
        f"{module}:{call.lineno}"
        for module in MODULES
        for text in ast.walk(tree(module))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).rpartition(".")[2] in MARKERS
        and any(isinstance(given, ast.Constant) for given in call.args)
    ]
    assert inside == []


def test_no_catalogue_names_this_machine_or_a_day() -> None:
    text = CATALOGUE.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert "POT-Creation-Date" not in text
    assert not re.search(r"^#: \S+:\d", text, re.MULTILINE)
