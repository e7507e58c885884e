"""Real servers and real rows for every test. A server that is missing skips on a laptop and fails in CI."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.core.files.storage import FileSystemStorage
from hypothesis import HealthCheck
from pytest_django import DjangoDbBlocker

from mailbox.storage import installations
from mailbox.storage.durable_files import raw_stores
from tests import activity_guard, clean_tables, one_migration, secret_guard
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.oidc import OidcProvider
from tests.servers.ports import ServerMissing
from tests.servers.postgres import Postgres
from tests.servers.redis import RedisServer
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

pytest_plugins = ["tests.servers.chromium", "tests.commands", "tests.accounts_and_people"]
# A machine with much to do is no fault of a test: neither its examples nor their making have a time.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")
clean_tables.use_for_transaction_tests()


CASES_ON_POSTGRESQL = 3  # of the cases of a test each third, in the short run


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what touches a database: only that needs a second run on another one."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("django_db") or fixtures & {"db", "transactional_db"}:
            item.add_marker("database")
    leave_to_the_long_run(items)


def leave_to_the_long_run(items: list[pytest.Item]) -> None:
    """Of the cases of a test marked `in_part(n)` each nth stays in the short run; all others become `long`.

    On PostgreSQL each third of those that are left: SQLite has had all of them, and cases mostly differ in what a
    server or a person says.
    """
    seen: Counter[str] = Counter()
    again = 1 if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3") else CASES_ON_POSTGRESQL
    for item in items:
        mark = item.get_closest_marker("in_part")
        test = item.nodeid.partition("[")[0]
        if seen[test] % ((mark.args[0] if mark else 1) * again):
            item.add_marker("long")
        seen[test] += 1


@pytest.fixture(scope="session")
def _one_migration(django_db_modify_db_settings: None) -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(one_migration.shared())
        yield stack


@pytest.fixture(scope="session")
def django_db_setup(
    _one_migration: contextlib.ExitStack, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> None:
    """pytest-django's own, with the tables made once a run; they are made when this is reached."""
    with django_db_blocker.unblock():
        _one_migration.close()


def missing(reason: object) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI must have every server. {reason}")
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder under a short path: a Unix socket's name has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="prx-servers-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def certificates(server_folder: Path) -> Certificates:
    """A certificate for localhost and 127.0.0.1, and its authority."""
    folder = server_folder / "tls"
    folder.mkdir()
    return make_certificates(folder)


@pytest.fixture(scope="session")
def _relay() -> Iterator[SmtpServer]:
    server = SmtpServer().start()
    yield server
    server.stop()


@pytest.fixture
def sink(_relay: SmtpServer) -> Iterator[SmtpServer]:
    """Records what Dovecot relays; empty and willing at the start of each test."""
    _relay.clear()
    yield _relay
    _relay.clear()


@pytest.fixture(scope="session")
def _dovecot(server_folder: Path, _relay: SmtpServer) -> Iterator[Dovecot]:
    folder = server_folder / "dovecot"
    folder.mkdir()
    try:
        server = Dovecot(folder, _relay).start()
    except ServerMissing as reason:
        missing(reason)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def dovecot(_dovecot: Dovecot) -> Dovecot:
    """One Dovecot a process: give each test its own user (`mail_user`)."""
    return _dovecot


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One of the test's own, which it may kill."""
    server = RedisServer(tmp_path)
    try:
        yield server.start()
    except ServerMissing as reason:
        missing(reason)
    finally:
        server.kill()


@pytest.fixture
def postgres(server_folder: Path) -> Iterator[Postgres]:
    """One of the test's own, which it may freeze or cut off."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=server_folder))
    server = Postgres(folder)
    try:
        server.start()
    except ServerMissing as reason:
        missing(reason)
    yield server
    server.thaw()
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _oidc(server_folder: Path, dovecot: Dovecot) -> Iterator[OidcProvider]:
    try:
        server = OidcProvider(dovecot.token_key_file, server_folder / "oidc.log").start()
    except ServerMissing as reason:
        missing(reason)
    yield server
    server.stop()


@pytest.fixture
def oidc(_oidc: OidcProvider) -> OidcProvider:
    """The identity provider whose tokens `dovecot` takes: willing, with nothing counted, at the start of each test."""
    if not _oidc.is_running():
        _oidc.start()
    _oidc.control(reset=True)
    return _oidc


@pytest.fixture(autouse=True)
def _no_secret_gets_out(request: pytest.FixtureRequest) -> Iterator[None]:
    """See tests/secret_guard.py."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    with pytest.MonkeyPatch.context() as patch, secret_guard.guarding(patch) as guard:
        yield
    if folder:
        guard.logs_in(folder)
    assert not guard.found, guard.found


@pytest.fixture(autouse=True)
def _entries_have_their_change() -> Iterator[None]:
    """See tests/activity_guard.py."""
    with activity_guard.guarding() as found:
        yield
    assert not found, f"not in the transaction of the change: {found}"


@pytest.fixture(autouse=True)
def _is_alone_in_its_store() -> None:
    """Each test's database is new, so that what the test before left would be the notes of another installation."""
    for store in raw_stores():
        if isinstance(store, FileSystemStorage):
            shutil.rmtree(Path(store.location, installations.FOLDER), ignore_errors=True)


@pytest.fixture(autouse=True)
def _dovecot_runs(request: pytest.FixtureRequest) -> None:
    """A test that stopped Dovecot and failed does not take the next one with it, nor do the mails and refusals of the
    one before stand in its way."""
    if "dovecot" in request.fixturenames:
        request.getfixturevalue("sink")
        server = request.getfixturevalue("dovecot")
        if not server.is_running():
            server.start()


@pytest.fixture
def smtp_server(certificates: Certificates) -> Iterator[Callable[..., SmtpServer]]:
    """Start a scripted SMTP server: smtp_server(security="starttls", mechanisms=("LOGIN",), ...)."""
    started: list[SmtpServer] = []

    def start(security: str = "tls", **options: Any) -> SmtpServer:
        options = {"require_auth": True, "certificates": certificates, **options}
        started.append(SmtpServer(security=security, **options).start())
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def mail_user() -> str:
    """An address that no other test has."""
    return f"u{secrets.token_hex(6)}@example.test"


@pytest.fixture
def start_workers(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Start real clusters on the test database: start_workers(PRX_EMAIL_WORKERS="1")."""
    started: list[Cluster] = []

    def start(**environment: str) -> Cluster:
        started.append(Cluster(tmp_path / f"qcluster-{len(started)}.log", **environment))
        return started[-1]

    yield start
    for cluster in started:
        cluster.stop()


@pytest.fixture
def workers(start_workers: Callable[..., Cluster]) -> Cluster:
    """A real `manage.py qcluster` on the test database, stopped with all its children at the end."""
    return start_workers()
