"""The layers of docs/architecture.md: who may import whom, and how large a piece may grow."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.read_sources import APPS, MODULES, ROOT, all_imports, tree

# From the ground up: a package imports only what stands on a line below its own. A module that lies beside the packages
# (mailbox/errors.py) counts as one.
FLOORS = [
    "mailbox.localized mailbox.chunks mailbox.plain_words",
    "mailbox.credentials mailbox.csv_text mailbox.errors mailbox.lazy_text mailbox.logs "
    "mailbox.network mailbox.signals",
    "mailbox.jitter mailbox.safe_http mailbox.clocks mailbox.resting_batches mailbox.presets mailbox.tracing",
    "mailbox.public_hosts",
    "mailbox.endpoints mailbox.mime mailbox.html mailbox.queueing mailbox.host_slots",
    "mailbox.tls mailbox.sasl mailbox.db",
    "mailbox.models mailbox.imap",
    "mailbox.permissions mailbox.deletions mailbox.schedules",
    "mailbox.features",
    "mailbox.process_heartbeats mailbox.storage mailbox.search mailbox.accounts mailbox.autoconfig mailbox.leases",
    "mailbox.oauth",
    "mailbox.push",
    "mailbox.parsing mailbox.pictures",
    "mailbox.messages mailbox.exports",
    "mailbox.sync",
    "mailbox.completeness mailbox.scheduler",
    "mailbox.tasks",
    "mailbox.apps mailbox.admin mailbox.views mailbox.management",
    "mailbox.urls",
    # outbox stands on mailbox; OPEN_TO_OUTBOX says on what of it.
    "outbox.errors outbox.models outbox.schedules outbox.checks",
    "outbox.retry outbox.tab_counts outbox.legal_holds",
    "outbox.restored_mail",
    "outbox.restore_guard",
    "outbox.account_deletion",
    "outbox.smtp outbox.compose",
    "outbox.actions",
    "outbox.delivery outbox.sent_folder outbox.bounces",
    "outbox.connection_test",
    "outbox.tasks",
    "outbox.answers",
    "outbox.api outbox.forms outbox.policy_form",
    "outbox.apps outbox.views outbox.management",
    "outbox.admin outbox.urls",
    "alerts people",
    "api",
    "prx_email_site",
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}


def words(text: str) -> set[str]:
    return set(text.split())


# Dataclasses in, dataclasses out: these know no tables.
WITHOUT_MODELS = words(
    "mailbox.imap mailbox.mime mailbox.html mailbox.endpoints mailbox.presets mailbox.tls mailbox.sasl "
    "mailbox.safe_http mailbox.public_hosts mailbox.sync.plan mailbox.oauth.providers mailbox.oauth.protocol "
    "mailbox.oauth.id_token mailbox.oauth.client outbox.smtp outbox.retry"
)
TALKS_TO_SERVERS = words(
    "mailbox.imap mailbox.sync mailbox.scheduler mailbox.push mailbox.safe_http mailbox.completeness "
    "mailbox.pictures.image_download mailbox.autoconfig.discover mailbox.autoconfig.probe mailbox.autoconfig.dns "
    "mailbox.oauth.client mailbox.oauth.direct mailbox.oauth.refresh mailbox.oauth.exchange outbox.smtp "
    "outbox.delivery alerts.http_post alerts.notice_delivery"
)
# What a page may know of those: they write rows or words, and ask no server.
PAGES_MAY_KNOW = words("mailbox.sync.folders mailbox.sync.uidvalidity mailbox.completeness.words")
# What outbox may know of mailbox; its pages, admin and commands may know more.
OPEN_TO_OUTBOX = words(
    "accounts clocks credentials db endpoints errors features host_slots html imap lazy_text leases "
    "localized logs messages mime models network oauth parsing permissions public_hosts queueing resting_batches sasl "
    "schedules signals storage sync tls"
)
ONLY_USERS = {
    "imapclient": {"mailbox.imap"},
    "imaplib": {"mailbox.imap"},
    "smtplib": {"outbox.smtp"},
    "mailparser": {"mailbox.mime"},
    "dns": {"mailbox.autoconfig.dns"},
    "django_q": {
        "mailbox.tasks",
        "outbox.tasks",
        "alerts.tasks",
        "alerts.schedules",
        "people.schedules",
        "mailbox.queueing",
        "mailbox.schedules",
        "outbox.schedules",
        "prx_email_site.settings",
        "prx_email_site.broker",
        "prx_email_site.management.commands.qcluster",
        "prx_email_site.workers",  # watches its processes
        "prx_email_site.monitoring.task_traces",  # listens to its signals
        "prx_email_site.admin_site",  # takes django-q2's tables out of the admin
    },
}
LONGEST_FILE, LONGEST_FUNCTION = 320, 50
# The two engines, read by whoever looks for a lost or doubled mail.
ENGINES, LONGEST_OF_ENGINES = ("mailbox.scheduler", "mailbox.sync", "outbox.delivery", "outbox.smtp"), 300


def package(module: str) -> str:
    """mailbox.imap.fetch lies in mailbox.imap; alerts, people, api and the site count as one package each."""
    app, _, rest = module.partition(".")
    return (
        app if app in ("alerts", "people", "api", "prx_email_site") or not rest else f"{app}.{rest.partition('.')[0]}"
    )


def is_in(module: str, allowed: set[str]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in allowed)


def cycle(needs: dict[str, set[str]]) -> list[str]:
    """Some modules that need each other in a circle; [] when there are none."""
    try:
        tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        return [str(module) for module in error.args[1]]
    return []


def test_every_package_has_its_floor() -> None:
    there = {package(module) for module in MODULES if "." in module}
    assert there - set(FLOOR) == set()
    assert set(FLOOR) - there == set()


def test_an_import_never_points_up_or_sideways() -> None:
    """So no two packages need each other, however far around."""
    wrong = [
        f"{module} imports {target}"
        for module, target in all_imports()
        if package(target) in FLOOR and package(module) != package(target)
        if FLOOR[package(target)] >= FLOOR.get(package(module), len(FLOORS))
    ]
    assert wrong == []


def test_no_two_files_need_each_other() -> None:
    needs: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, target in all_imports():
        if target in MODULES and target != module:
            needs[module].add(target)
    assert cycle(needs) == []


def test_mailbox_never_imports_outbox_and_neither_imports_the_site() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in all_imports()
        if (module.startswith("mailbox") and target.split(".")[0] == "outbox")
        or (module.split(".")[0] in ("mailbox", "outbox") and target.split(".")[0] in APPS[2:])
    ]
    assert wrong == []


def test_mailboxs_migrations_do_not_depend_on_outbox() -> None:
    for path in (ROOT / "mailbox/migrations").glob("*.py"):
        assert "outbox" not in path.read_text(encoding="utf-8"), path.name


def test_outbox_imports_of_mailbox_only_what_is_open_to_it() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in all_imports()
        if module.startswith("outbox.") and target.startswith("mailbox.")
        if package(module) not in ("outbox.views", "outbox.admin", "outbox.urls", "outbox.management")
        if package(target).removeprefix("mailbox.") not in OPEN_TO_OUTBOX
    ]
    assert wrong == []


def test_what_talks_to_servers_or_decides_knows_no_models() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in all_imports()
        if is_in(module, WITHOUT_MODELS)
        if package(target) in {"mailbox.models", "outbox.models", "mailbox.storage"}
        or target.startswith(("django.db", "django.contrib"))
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
        if package(module).endswith((".views", ".admin")) or module.endswith((".views", ".admin"))
        if (is_in(target, TALKS_TO_SERVERS) and not is_in(target, PAGES_MAY_KNOW))
        or target in {"imaplib", "smtplib", "urllib.request", "http.client"}
    ]
    assert wrong == []


def test_the_package_that_shadows_a_standard_module_is_empty() -> None:
    assert (ROOT / "mailbox/__init__.py").read_text() == ""


def test_no_file_is_too_long_to_read_at_once() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: lines for module, lines in lengths.items() if lines >= LONGEST_FILE} == {}
    engines = {module: lines for module, lines in lengths.items() if package(module) in ENGINES}
    assert len(engines) > 50
    assert {module: lines for module, lines in engines.items() if lines > LONGEST_OF_ENGINES} == {}


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
    named = WITHOUT_MODELS | TALKS_TO_SERVERS | PAGES_MAY_KNOW | {f"mailbox.{each}" for each in OPEN_TO_OUTBOX}
    named |= {user for users in ONLY_USERS.values() for user in users}
    assert {each for each in named if not any(is_in(module, {each}) for module in MODULES)} == set()
    assert ("mailbox.imap.session", "imapclient") in {
        (module, target.split(".")[0]) for module, target in all_imports()
    }
