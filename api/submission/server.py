"""Listens for programs until it is told to stop, and then finishes saving the mails that were received.

The mails of several sessions commit together on SQLite, which has one writer, and in parallel on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connections

from api.submission import acceptance
from api.submission.configuration import Configuration
from api.submission.handler import Service, in_thread
from api.submission.limits import SubmissionLimits
from api.submission.protocol import ImplicitTls, Protocol
from mailbox.logs import event

logger = logging.getLogger(__name__)
THREADS = 8  # for database work
STOP_SECONDS = 20
LOOK_SECONDS = 0.2
RENEWAL_SECONDS = 60  # between two checks of the certificate's file and of the attachment policy


def run(
    configuration: Configuration,
    must_stop: Callable[[], bool],
    listening: Callable[[list[int]], object] = lambda ports: None,
    limits: SubmissionLimits | None = None,
) -> None:
    """Serve until `must_stop` returns True. `listening` is called with the ports.

    Raises OSError when it cannot listen, ssl.SSLError when the certificate is not valid.
    """
    asyncio.run(_serve(configuration, must_stop, listening, limits or SubmissionLimits()))


async def _serve(
    configuration: Configuration,
    must_stop: Callable[[], bool],
    listening: Callable[[list[int]], object],
    limits: SubmissionLimits,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(configuration.certificate, configuration.key)
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="submission")
    service = Service(limits, threads, configuration.hostname, context)
    await _set_largest_mail(service, configuration.max_bytes)
    servers = [await _listen(service, *configuration.starttls, is_implicit=False)] if configuration.starttls else []
    servers += [await _listen(service, *configuration.tls, is_implicit=True)] if configuration.tls else []
    listening([server.sockets[0].getsockname()[1] for server in servers])
    renewal = asyncio.create_task(_renew(service, configuration))
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
        lambda: ImplicitTls(service) if is_implicit else Protocol(service),
        host,
        port,
        reuse_port=True,  # several processes of a host listen, and the kernel divides the connections (SO_REUSEPORT)
    )


async def _set_largest_mail(service: Service, configured: int) -> None:
    """Set the limit as configured, else as the attachment policy needs it, but not below what it is."""
    if configured:
        service.limits.largest_mail = configured
    else:
        service.limits.make_room_for(await in_thread(service, acceptance.largest_mail))


async def _renew(service: Service, configuration: Configuration) -> None:
    """Load the certificate again when its file changes, and the policy; new connections use them."""
    read = _changed_at(configuration)
    while True:
        await asyncio.sleep(RENEWAL_SECONDS)
        await _set_largest_mail(service, configuration.max_bytes)
        try:
            if (now := _changed_at(configuration)) != read:
                service.tls.load_cert_chain(configuration.certificate, configuration.key)
                read = now
        except (OSError, ssl.SSLError) as error:  # only half renewed so far: keep the old one
            event(logger, "submission_certificate_unusable", logging.WARNING, error=str(error))


def _changed_at(configuration: Configuration) -> list[float]:
    return [path.stat().st_mtime for path in (configuration.certificate, configuration.key)]
