"""python -m tests.fuzz TARGET FOLDER [libFuzzer options]: the corpus is FOLDER/TARGET, with what was found before.

An input that fails is written beside it, as TARGET-crash-... or TARGET-timeout-...; `python -m tests.fuzz TARGET FOLDER
FILE` runs it once more.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris
from django.conf import settings

settings.configure(EHLO_NAME="client.example.com", USE_I18N=False)
with atheris.instrument_imports(include=["mailbox", "outbox"]):
    from tests.fuzz.targets import TARGETS

LIMITS = ("-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1")


def main(target: str, folder: str, *options: str) -> None:
    from tests.fuzz import seeds

    corpus = Path(folder) / target
    print(f"{target}: {seeds.write(target, corpus)} seeds")
    given = [each for each in options if not each.startswith("-")]
    prefix = f"-artifact_prefix={folder}/{target}-"
    atheris.Setup([sys.argv[0], *LIMITS, prefix, *options, *([] if given else [str(corpus)])], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
