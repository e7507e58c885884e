"""Listens for programs until it is told to stop, and then finishes saving the mails that were received.

SQLite has one writer, so there the event loop commits the mails of several sessions together. On PostgreSQL they commit
in parallel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection, connections

from api.submission.configuration import Configuration
from api.submission.limits import SubmissionLimits
from api.submission.protocol import Protocol, Service
from mailbox.logs import event
from outbox.compose.new_row import Writer, at_once
from outbox.delivery.database import Database, complete

logger = logging.getLogger(__name__)
THREADS = 8  # for database work
HANDSHAKE_SECONDS = 15
STOP_SECONDS = 20
LOOK_SECONDS = 0.2
RENEWAL_SECONDS = 60  # between two checks of the certificate's file


def run(
    configuration: Configuration,
    must_stop: Callable[[], bool],
    listening: Callable[[list[int]], object] = lambda ports: None,
    limits: SubmissionLimits | None = None,
) -> None:
    """Serve until `must_stop` returns True. `listening` is called with the ports.

    Raises OSError when it cannot listen, ssl.SSLError when the certificate is not valid.
    """
    database, is_sqlite = Database(), connection.vendor == "sqlite"

    async def serving() -> None:
        write = _together(database, asyncio.get_running_loop()) if is_sqlite else at_once
        await _serve(configuration, must_stop, listening, limits or SubmissionLimits(), write)

    try:
        complete(serving())
    finally:
        connection.close()


def _together(database: Database, loop: asyncio.AbstractEventLoop) -> Writer:
    def write(act: Callable[[], int]) -> int:
        return asyncio.run_coroutine_threadsafe(database.write(act), loop).result()

    return write


async def _serve(
    configuration: Configuration,
    must_stop: Callable[[], bool],
    listening: Callable[[list[int]], object],
    limits: SubmissionLimits,
    write: Writer,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(configuration.certificate, configuration.key)
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="submission")
    service = Service(limits, threads, configuration.max_bytes, configuration.hostname, context, write)
    servers = [await _listen(service, *configuration.starttls, is_implicit=False)] if configuration.starttls else []
    servers += [await _listen(service, *configuration.tls, is_implicit=True)] if configuration.tls else []
    listening([server.sockets[0].getsockname()[1] for server in servers])
    renewal = asyncio.create_task(_renew(context, configuration))
    while not must_stop():
        await asyncio.sleep(LOOK_SECONDS)
    renewal.cancel()
    for server in servers:
        server.close()
    for _ in range(int(STOP_SECONDS / LOOK_SECONDS)):
        if not limits.writing:
            break
        await asyncio.sleep(LOOK_SECONDS)
    await _close_connections(threads)
    threads.shutdown(wait=False)


async def _close_connections(threads: ThreadPoolExecutor) -> None:
    """Close the database connection of each thread: a barrier makes every thread run this once."""
    everyone = threading.Barrier(THREADS)

    def close() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):  # a thread is still busy
            everyone.wait(2)
        connections.close_all()

    await asyncio.gather(*(asyncio.get_running_loop().run_in_executor(threads, close) for _ in range(THREADS)))


async def _listen(service: Service, host: str, port: int, *, is_implicit: bool) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(
        lambda: Protocol(service, is_implicit=is_implicit),
        host,
        port,
        ssl=service.tls if is_implicit else None,
        ssl_handshake_timeout=HANDSHAKE_SECONDS if is_implicit else None,
    )


async def _renew(context: ssl.SSLContext, configuration: Configuration) -> None:
    """Load the certificate again when its file changes; new connections use it."""
    read = _changed_at(configuration)
    while True:
        await asyncio.sleep(RENEWAL_SECONDS)
        if (now := _changed_at(configuration)) == read:
            continue
        try:
            context.load_cert_chain(configuration.certificate, configuration.key)
            read = now
        except (OSError, ssl.SSLError) as error:  # only half renewed so far: keep the old one
            event(logger, "submission_certificate_unusable", logging.WARNING, error=str(error))


def _changed_at(configuration: Configuration) -> list[float]:
    return [path.stat().st_mtime for path in (configuration.certificate, configuration.key) if path.exists()]
