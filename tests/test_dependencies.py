"""The layers of docs/architecture.md: who may import whom, and how large a piece may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
APPS = ("mailbox", "outbox", "alerts", "prx_email_site")

# Each layer imports only what stands at its own height or below. A package (views/) is named by itself.
LAYERS = [
    {"views", "admin", "urls", "management", "templatetags", "dashboard"},
    {"api"},
    {"tasks"},
    {"sync", "runner", "idle", "delivery", "search", "sanitize"},
    {"models", "imap", "smtp", "plan", "compose", "policy", "rawstore", "claims"},
    {"mime", "retry", "credentials", "errors", "endpoints", "logs", "spread"},
]
HEIGHT = {name: height for height, names in enumerate(reversed(LAYERS)) for name in names}

# Dataclasses in, dataclasses out: these know no tables.
WITHOUT_MODELS = {"imap", "smtp", "mime", "plan", "retry", "endpoints"}
TALKS_TO_SERVERS = {"imap", "smtp", "sync", "runner", "delivery", "image_fetch", "outside", "webhook", "notices"}
TALKS_TO_SERVERS |= {"discovery", "discovery_dns", "discovery_probe"}
# What outbox may know of mailbox.
OPEN_TO_OUTBOX = {
    "access",
    "advice",
    "bulk",
    "credentials",
    "endpoints",
    "errors",
    "imap",
    "logs",
    "mime",
    "models",
    "rawstore",
    "row_locks",
    "sanitize",
    "session",
    "signals",
    "storage_use",
    "trouble",
    "words",
}
ONLY_USERS = {
    "imapclient": {"mailbox.imap.session", "mailbox.imap.transport"},
    "imaplib": {"mailbox.imap.session"},
    "smtplib": {"outbox.smtp.session"},
    "mailparser": {"mailbox.mime.message"},
    "dns": {"mailbox.autoconfig.dns"},
    "django_q": {
        "mailbox.tasks.sync",
        "outbox.tasks.delivery",
        "alerts.tasks",
        "alerts.schedules",
        "mailbox.schedules",
        "outbox.schedules",
        "prx_email_site.settings",
        "prx_email_site.schedules",
        "prx_email_site.broker",
        "prx_email_site.management.commands.qcluster",  # the same command, made to take its workers with it
        "prx_email_site.admin_site",  # takes django-q2's tables out of the admin
    },
}
LONGEST_FILE, LONGEST_FUNCTION = 320, 50


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for app in APPS
    for path in sorted((ROOT / app).rglob("*.py"))
    if "migrations" not in path.parts
}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def only_for_types(module: str) -> set[ast.AST]:
    """What stands under `if TYPE_CHECKING:` is not imported when the program runs."""
    blocks = [
        node
        for node in ast.walk(tree(module))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def imports(module: str) -> Iterator[str]:
    """Every module that is imported, at the top or inside a function, by its full name."""
    skipped = only_for_types(module)
    for node in ast.walk(tree(module)):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            # `from mailbox import imap` names a module, `from mailbox.imap.session import ImapSession` does not.
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


def absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def part(module: str) -> str:
    """mailbox.imap.fetch and mailbox.imap are both "imap"; outbox.views.lists is "views"."""
    name = module.split(".")[1] if "." in module else ""
    found = [known for known in sorted(HEIGHT, key=len, reverse=True) if name == known or name.startswith(f"{known}_")]
    return found[0] if found else name


def is_in(module: str, allowed: set[str]) -> bool:
    """Whether the module is one of these, inside one, or split off one: mailbox.imap_fetch belongs to mailbox.imap."""
    return any(module == each or module.startswith((f"{each}.", f"{each}_")) for each in allowed)


def all_imports() -> list[tuple[str, str]]:
    return [(module, target) for module in MODULES for target in imports(module)]


def test_an_import_never_points_up() -> None:
    up = [
        f"{module} imports {target}"
        for module, target in all_imports()
        if module.split(".")[0] in ("mailbox", "outbox") and target.split(".")[0] in ("mailbox", "outbox")
        if part(module) in HEIGHT and part(target) in HEIGHT and HEIGHT[part(target)] > HEIGHT[part(module)]
    ]
    assert up == []


def test_mailbox_never_imports_outbox_and_neither_imports_the_site() -> None:
    """But for the words that templates and views of both apps share."""
    shared = {"prx_email_site.templatetags.prx"}
    wrong = [
        f"{module} imports {target}"
        for module, target in all_imports()
        if (module.startswith("mailbox") and target.split(".")[0] == "outbox")
        or (
            module.split(".")[0] in ("mailbox", "outbox")
            and target.split(".")[0] in ("prx_email_site", "alerts")
            and target not in shared
        )
    ]
    assert wrong == []


def test_mailboxs_migrations_do_not_depend_on_outbox() -> None:
    for path in (ROOT / "mailbox/migrations").glob("*.py"):
        assert "outbox" not in path.read_text(encoding="utf-8"), path.name


def test_outbox_imports_of_mailbox_only_what_is_open_to_it() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in all_imports()
        if module.startswith("outbox.")
        and target.split(".")[0] == "mailbox"
        and part(module) not in ("views", "admin", "urls", "management")
        if part(target) not in OPEN_TO_OUTBOX
    ]
    assert wrong == []


def test_what_talks_to_servers_or_decides_knows_no_models() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in all_imports()
        if part(module) in WITHOUT_MODELS
        if part(target) in {"models", "rawstore"} or target.startswith(("django.db", "django.contrib"))
    ]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(ONLY_USERS))
def test_a_library_that_is_kept_apart_has_one_user(library: str) -> None:
    users = {module for module, target in all_imports() if target.split(".")[0] == library}
    assert {user for user in users if not is_in(user, ONLY_USERS[library])} == set()


def test_views_and_admin_never_touch_the_network() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in all_imports()
        if part(module) in {"views", "admin"}
        if (part(target) in TALKS_TO_SERVERS and target.split(".")[0] in APPS)
        or target in {"imaplib", "smtplib", "urllib.request", "http.client"}
    ]
    assert wrong == []


def test_the_package_that_shadows_a_standard_module_is_empty() -> None:
    assert (ROOT / "mailbox/__init__.py").read_text() == ""


def test_no_file_is_too_long_to_read_at_once() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: lines for module, lines in lengths.items() if lines >= LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {
        f"{module}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines >= LONGEST_FUNCTION} == {}


def test_the_rules_are_checked_against_code_that_is_there() -> None:
    """A renamed module would make a rule above hold for ever without saying so."""
    there = {part(module) for module in MODULES}
    assert {"models", "imap", "mime", "plan", "views", "rawstore"} <= there
    assert ("mailbox.imap.session", "imapclient") in {
        (module, target.split(".")[0]) for module, target in all_imports()
    }
