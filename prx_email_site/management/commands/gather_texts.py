"""`make messages` (manage.py gather_texts): writes the texts of the sources into locale/. Needs GNU gettext."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.commands import makemessages

from prx_email_site import catalogues

# Folders without texts of pages.
IGNORED = ("var", ".venv", "tests", "demo", "benchmarks", "scripts", "node_modules", "*/static/*", "*/migrations/*")
HEAD = "# The texts of PRX-Email Site; see docs/translating.md.\n"
_DATE = re.compile(r'^"POT-Creation-Date: .*\n', re.MULTILINE)  # removed, as it would change in each run
_NOBODY = re.compile(r"\A# SOME DESCRIPTIVE TITLE\.\n(?:#.*\n)+")  # the placeholders of a new file
_UNKNOWN = re.compile(
    r'^"(?:Project-Id-Version|PO-Revision-Date|Last-Translator|Language-Team): [A-Z].*\n', re.MULTILINE
)


class Command(makemessages.Command):
    help = "Bring locale/*/LC_MESSAGES/django.po in step with the sources; --locale de begins a new language."

    # Sorted, so that a diff of a catalogue shows only real changes.
    # No fuzzy matching: gettext's guesses for changed texts are never shown, so changed texts are translated again.
    msgmerge_options = ["-q", "--backup=none", "--no-fuzzy-matching", "--update", "--sort-output"]
    msgattrib_options = ["--no-obsolete", "--sort-output"]
    xgettext_options = ["--from-code=UTF-8", "--add-comments=Translators", "--sort-output"]

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--locale", "-l", action="append", default=[], help="Begin this language, such as pt_BR.")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path("locale")
        folder.mkdir(exist_ok=True)
        known = [path.parent.parent.name for path in folder.glob("*/LC_MESSAGES/django.po")]
        super().handle(
            *args,
            **options
            | {
                "locale": sorted({settings.LANGUAGE_CODE, *known, *options["locale"]}),
                "exclude": [],
                "domain": "django",
                "all": False,
                "extensions": ["html", "py"],
                "symlinks": False,
                "ignore_patterns": list(IGNORED),
                "use_default_ignore_patterns": True,
                "no_wrap": True,
                "no_location": False,
                "add_location": "file",
                "no_obsolete": True,
                "keep_pot": False,
            },
        )
        for path in folder.glob("*/LC_MESSAGES/django.po"):
            text = path.read_text(encoding="utf-8")
            if _NOBODY.match(text):
                text = _UNKNOWN.sub("", _NOBODY.sub(HEAD, text))
                text = text.replace('"Language: \\n"', f'"Language: {path.parent.parent.name}\\n"')
            path.write_text(_DATE.sub("", text), encoding="utf-8")
        for path in catalogues.written_in([folder]):
            self.stdout.write(str(catalogues.progress(path)))
