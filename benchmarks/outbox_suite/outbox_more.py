"""The rows of `make bench-outbox` after the first two: ten times the rows, a claim among a million, a click."""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.browser import Person
from benchmarks.frame import Figure, Pair, Void, spread
from benchmarks.outbox_suite import outbox_peers as peers
from benchmarks.outbox_suite.outbox import MAILS, ONLY_SENDS, Context, by_workers
from benchmarks.site import account_fields
from tests.servers.ports import answers, free_ports, wait_until

MANY = 10_000
MILLION, THOUSAND = 1_000_000, 1_000
CLAIMS = 200
CLICKS = 20
IDLE_SECONDS = 1.5


def many(context: Context, figure: Figure) -> None:
    """The small amount before and after the large one, by the same workers."""
    site, inside, ids = context.site_with(20)
    small, large = context.options.amount(MAILS, 10), context.options.amount(MANY, 40)
    pair = Pair()
    with site.workers():
        for count, chosen, kept in (
            (small, ids[:5], pair.peer),
            (large, ids, pair.ours),
            (small, ids[:5], pair.peer),
        ):
            kept.append(by_workers(context, inside, chosen, count))
    figure.notes = f"{large:,}: {spread(pair.ours, 0)}, {small:,}: {spread(pair.peer, 0)}"
    pair.fill(figure)


def claim(context: Context, figure: Figure) -> None:
    """Two installations, asked in turns."""
    pair = Pair()
    sides = []
    for full, kept in ((MILLION, pair.ours), (THOUSAND, pair.peer)):
        _, inside, ids = context.site_with(1)
        given = peers.wanted(context.next_run(), 2, "a0@example.test")
        inside.call("queue_rows", account_ids=ids, mails=given.mails, text=given.text)
        inside.call("make_sent", count=context.options.amount(full, 10))
        sides.append((inside, ids[0], kept))
    rounds = context.options.rounds(10)
    for _ in range(rounds):
        for inside, pk, kept in sides:
            kept += inside.call("claims_of_one", account_id=pk, count=CLAIMS // rounds)
    figure.notes = f"medians of {len(pair.ours)} claims each"
    pair.fill(figure)
    figure.samples = {}


def click(context: Context, figure: Figure) -> None:
    """From the POST of a signed-in person to the running site until the sink has the mail."""
    port, password = free_ports(1)[0], "bench-sign-in-1"
    environment = {
        "PRX_EMAIL_BIND": f"127.0.0.1:{port}",
        "PRX_EMAIL_ADMIN_USER": "bench",
        "PRX_EMAIL_ADMIN_PASSWORD": password,
        "PRX_EMAIL_OUTBOX_UNDO_SECONDS": "0",  # what a person is given to take it back is no time of ours
    }
    site, person = context.sites.make(**environment), Person(f"http://127.0.0.1:{port}")
    with site.inside() as inside:
        pk = inside.call("make_account", **ONLY_SENDS, **account_fields(context.server, "a0@example.test"))
    ours, peer = [], []
    with site.service([sys.executable, "-m", "prx_email_site.launch"], "launch") as service:
        wait_until(lambda: answers(port), seconds=90, what=f"the site: {service.log()}")
        person.sign_in("bench", password)
        with site.inside() as inside:
            inside.call("wait_for_workers", pid=service.pid)
        for _ in range(context.options.rounds(CLICKS)):
            ours.append(_clicked(context, person, pk))
            peer.append(1 / context.by_smtplib(1))
            time.sleep(IDLE_SECONDS)
    figure.ours, figure.peer = statistics.median(ours), statistics.median(peer)
    figure.value = figure.ours - figure.peer
    figure.samples = {"ours": ours, "peer": peer}
    figure.notes = f"medians of {len(ours)}; the slowest click took {max(ours):.2f} s"


def _clicked(context: Context, person: Person, account_id: int) -> float:
    path, given = "/outbox/compose/", peers.wanted(context.next_run(), 1, "a0@example.test")
    fields, start = person.hidden(path), context.sink.size()
    ((to, subject),) = given.mails
    fields |= {"account": str(account_id), "to": to, "subject": subject, "body_text": given.text}
    begin = time.monotonic()
    ended = person.post(path, fields)
    seconds = context.sink.wait_for(1, start, 60) - begin
    context.sink.check([subject], start)
    if path in ended:
        raise Void("the form came back instead of sending")
    return seconds
