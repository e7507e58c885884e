"""The variables of the environment: each is documented, and one that nothing reads is said."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from prx_email_site import environment
from tests.read_sources import MODULES, ROOT, tree

NAME = re.compile(r"PRX_EMAIL_[A-Z0-9_]+")
FOR_TESTS_ONLY = {"PRX_EMAIL_TEST_DATABASE", "PRX_EMAIL_TEST_FOLDER"}


def read_by(module: str) -> set[str]:
    """The variables that a module names as a whole string, as whoever reads one must."""
    if module == "prx_email_site.environment":  # it lists them
        return set()
    words = {each.value for each in ast.walk(tree(module)) if isinstance(each, ast.Constant)}
    return {word for word in words if isinstance(word, str) and NAME.fullmatch(word) and word != "PRX_EMAIL_"}


def test_every_variable_stands_in_the_table_of_the_operations_page() -> None:
    rows = [line for line in Path(ROOT, "docs/operations.md").read_text().splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in NAME.findall(row.split("|")[1])}
    read = {name for module in MODULES for name in read_by(module)} - FOR_TESTS_ONLY
    assert (sorted(read - documented), sorted(documented - read)) == ([], [])


def test_what_is_read_apart_from_the_settings_is_known_to_the_check() -> None:
    parts = [module for module in MODULES if f"{module}.".startswith("prx_email_site.settings.")]
    assert len(parts) > 1
    settings = set[str]().union(*map(read_by, parts))
    elsewhere = {name for module in MODULES for name in read_by(module)} - settings
    assert elsewhere == environment.READ_ELSEWHERE - FOR_TESTS_ONLY


def check(tmp_path: Path, **variables: str) -> str:
    environ = {**os.environ, "PRX_EMAIL_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "prx_email_site.settings"}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=ROOT, env={**environ, **variables}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_misspelt_variable_is_a_warning_that_names_the_right_one_and_no_other_is(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x" * 60)
    known = {"PRX_EMAIL_BIND": "127.0.0.1:8000", "PRX_EMAIL_SECRET_KEY_FILE": str(key)}
    said = check(tmp_path, PRX_EMAIL_MESSAGEID_DOMAIN="mail.example.org", **known)
    assert "The variable PRX_EMAIL_MESSAGEID_DOMAIN is set, and nothing reads it." in said
    assert "Did you mean PRX_EMAIL_MESSAGE_ID_DOMAIN?" in said
    assert said.count("W001") == 1
