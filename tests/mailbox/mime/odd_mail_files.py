"""The damaged and unusual messages as files, for trying other readers: N.eml, and N.json with what must be read.

usage: python -m tests.mailbox.mime.odd_mail_files FOLDER
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from tests.mailbox.mime import odd_damage, odd_edges, odd_forms, odd_headers, odd_mail, odd_names
from tests.mailbox.mime.odd_mail import OddMail


def odd_mails() -> list[OddMail]:
    modules = (odd_mail, odd_names, odd_forms, odd_damage, odd_headers, odd_edges)
    recipes = [recipe for module in modules for recipe in module.RECIPES]
    return [mail for text in odd_mail.TEXTS for recipe in recipes for mail in recipe(text)]


def expected(mail: OddMail) -> dict[str, object]:
    """The words of the text in their order, the subject, and each file's SHA-256 by its name."""
    files = {name: hashlib.sha256(octets).hexdigest() for name, octets in mail.files.items()}
    return {"kind": mail.kind, "subject": mail.subject, "text": mail.text.split(), "files": files}


def write(folder: Path) -> int:
    """Returns how many messages were written."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, mail in enumerate(mails := odd_mails()):
        (folder / f"{number:04}.eml").write_bytes(mail.raw)
        (folder / f"{number:04}.json").write_text(json.dumps(expected(mail), ensure_ascii=False), encoding="utf-8")
    return len(mails)


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
