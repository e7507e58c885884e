"""python -m benchmarks.inside: runs what it is asked, a JSON line a call, in a Django process of an installation."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import django


def _functions() -> dict[str, Callable[..., Any]]:
    """The functions of the modules below, by name."""
    from benchmarks import inside_pages, inside_sync
    from benchmarks.outbox_suite import inside_outbox
    from benchmarks.programs_suite import inside_programs

    modules = (inside_sync, inside_outbox, inside_pages, inside_programs)
    return {name: value for module in modules for name, value in vars(module).items() if callable(value)}


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else prints does not get between the answers
    django.setup()
    functions = _functions()
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"result": functions[name](**arguments)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
