"""The benchmarks' plumbing at a tiny size, so that it is not found broken on the day when figures are wanted."""

from __future__ import annotations

import dataclasses
import os
import shutil
import smtplib
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import agreement, bare, frame, kept, mails, pages, pages_table, table
from benchmarks.frame import Bench, Figure, Options, Pair, Void, alternate, at_least, at_most
from benchmarks.mbsync import Mbsync
from benchmarks.notmuch import MbsyncThenNotmuch
from benchmarks.outbox_suite import outbox_peers as peers
from benchmarks.outbox_suite.sink import Sink
from benchmarks.programs_suite import programs, programs_table
from benchmarks.programs_suite.clients import at_once
from benchmarks.proxy import delayed
from benchmarks.servers import fill, places
from benchmarks.sync import marks
from benchmarks.sync_more import round_trips
from benchmarks.sync_plain import one_by_one
from tests.mailbox.mime.odd_mail_files import odd_mails
from tests.servers.dovecot import Dovecot
from tests.servers.ports import free_ports

FIGURE = Figure("fast", "how long it takes", "a snail", at_most(1.5))
needs_notmuch = pytest.mark.skipif(
    not (shutil.which("mbsync") and shutil.which("notmuch")),
    reason="mbsync or notmuch is missing: apt-get install isync notmuch",
)
needs_mbsync = pytest.mark.skipif(not shutil.which("mbsync"), reason="mbsync is missing: apt-get install isync")


def test_a_figure_is_reached_up_to_its_bound_and_not_beyond() -> None:
    reached = [dataclasses.replace(FIGURE, value=value).answer() for value in (1.5, 1.51)]
    rate = dataclasses.replace(FIGURE, reach=at_least(30, "/s"), value=29.9)
    assert (reached, rate.answer(), str(rate.reach)) == (["yes", "NO"], "NO", ">= 30 /s")


def test_a_figure_without_a_reach_stands_for_information() -> None:
    known = dataclasses.replace(FIGURE, reach=None, value=7.0)
    assert (known.answer(), known.bound(), frame.line_of(known)) == ("", "", "fast: 7")


def test_both_sides_take_turns_and_medians_are_compared() -> None:
    order: list[str] = []
    seconds = iter([8.0, 2.0, 100.0, 4.0, 6.0, 3.0])

    def side(name: str) -> float:
        order.append(name)
        return next(seconds)

    pair = alternate(3, lambda: side("ours"), lambda: side("peer"), pause=0)
    assert order == ["peer", "ours", "ours", "peer", "peer", "ours"]
    assert (pair.ours, pair.peer, pair.ratio) == ([2.0, 100.0, 3.0], [8.0, 4.0, 6.0], 0.5)


def test_a_job_that_was_not_done_makes_the_figure_void_and_keeps_no_number() -> None:
    def lose_a_mail(_context: None, _figure: Figure) -> None:
        raise Void("1 message is missing")

    (figure,) = Bench("fast", lose_a_mail, (FIGURE,)).take(None)
    assert (figure.answer(), figure.void, figure.value) == ("void", "1 message is missing", None)


def test_the_page_gets_its_table_from_the_results_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(frame, "RESULTS_FOLDER", tmp_path)
    options = Options()
    frame.keep("sync", [Pair([1.0], [2.0]).fill(dataclasses.replace(FIGURE, notes="quiet"))], options)
    page = f"before\n{table.BEGIN}\nold\n{table.END}\nafter"

    whole = table.markdown(frame.results_path(options))
    written = table.rewritten(page, table.shortened(whole))

    assert "| sync/fast | how long it takes, against a snail | **0.5** | <= 1.5 | yes | 1 s | 2 s |" in whole
    assert "- sync/fast: quiet" in whole and frame.results_path(Options(0.1)) != frame.results_path(options)
    assert "| sync/fast | how long it takes, against a snail | **0.5** | <= 1.5 | yes | 20" in written
    assert written.startswith("before\n") and written.endswith("\nafter") and "old" not in written


def test_the_mails_are_the_same_on_every_run_and_of_the_size_they_should_be() -> None:
    made = [raw for raw, _ in mails.mails(400)]
    assert made[7] == mails.mail(7)
    assert 22_000 < sum(map(len, made)) / len(made) < 30_000
    assert 0.6 < sum(b"text/html" in raw for raw in made) / len(made) < 0.8
    assert all(b"\n" not in raw.replace(b"\r\n", b"") for raw in made)


@needs_mbsync
def test_the_peer_brings_every_byte_and_a_missing_mail_is_noticed(
    dovecot: Dovecot, mail_user: str, tmp_path: Path
) -> None:
    assert fill(dovecot, mail_user, mails.mails(5)) == 5
    wanted = places(dovecot, mail_user)
    peer = Mbsync(tmp_path / "peer", dovecot.ca_pem, dovecot.imap_port, mail_user, dovecot.password)

    peer.run()
    peer.check(wanted)

    assert len(wanted) == 5
    with pytest.raises(Void, match="lacks 1 of 6"):
        peer.check(wanted | {("INBOX", 6, "0" * 64)})


@needs_notmuch
def test_the_pipeline_finds_what_it_pulled_and_a_word_that_it_misses_is_noticed(
    dovecot: Dovecot, mail_user: str, tmp_path: Path
) -> None:
    fill(dovecot, mail_user, mails.mails(5))
    peer = MbsyncThenNotmuch(Mbsync(tmp_path / "peer", dovecot.ca_pem, dovecot.imap_port, mail_user, dovecot.password))

    assert peer.run() > peer.mbsync_seconds > 0
    peer.check(5, marks(5))

    with pytest.raises(Void, match="5 of 6"):
        peer.check(6, [])
    with pytest.raises(Void, match="does not find"):
        peer.check(5, ["nosuchwordanywhere"])


def test_the_proxy_makes_each_command_wait_for_a_round_trip(dovecot: Dovecot, mail_user: str) -> None:
    fill(dovecot, mail_user, [(mails.small_mail(n), mails.received_at(n)) for n in range(5)])
    context = dovecot.certificates.client_context()
    with delayed(dovecot.imap_port, 20) as port:
        assert one_by_one(port, mail_user, dovecot.password, context, 5) > 5 * 0.04


@pytest.fixture
def sink() -> Iterator[Sink]:
    if not shutil.which("smtp-sink", path="/usr/sbin:/usr/bin"):
        pytest.skip("smtp-sink is missing: apt-get install postfix")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="prx-bench-", ignore_cleanup_errors=True))
        server = Sink(Path(folder), free_ports(1)[0])
        stack.callback(server.stop)
        yield server


def test_the_sink_tells_when_it_had_all_and_notices_what_is_lost_or_doubled(sink: Sink) -> None:
    given = peers.wanted("run0", 3, "ann@example.test")
    with smtplib.SMTP("127.0.0.1", sink.port) as smtp:
        for to, subject in given.mails:
            smtp.sendmail(given.sender, [to], f"Subject: {subject}\r\n\r\n{given.text}")
    subjects = [subject for _, subject in given.mails]

    assert sink.wait_for(3, 0, 10) <= time.monotonic()
    sink.check(subjects, 0)

    with pytest.raises(Void, match="1 mails never reached the sink, 0 more than once"):
        sink.check([*subjects, "Bench run0-3"], 0)
    with pytest.raises(Void, match="0 mails never reached the sink, 1 more than once"):
        sink.check(subjects[1:], 0)


def test_round_trips_are_counted_from_what_the_server_wrote_down(tmp_path: Path) -> None:
    log = tmp_path / "rawlog"
    log.mkdir()
    said = "1.0 A1 ENABLE CONDSTORE\n1.1 A2 EXAMINE INBOX\n2.0 A3 UID FETCH 1 FLAGS\n3.0 A4 LOGOUT\n"
    (log / "one.in").write_text(said)
    (log / "one.out").write_text("1.2 * ENABLED\n1.3 A2 OK\n2.1 * 1 FETCH\n2.2 A3 OK\n3.1 A4 OK\n")
    assert round_trips(log) == (3, "ENABLE, EXAMINE, UID FETCH, LOGOUT")


def test_the_server_alone_is_asked_what_a_sync_asks_and_must_have_the_new_mail(
    dovecot: Dovecot, mail_user: str
) -> None:
    fill(dovecot, mail_user, [(mails.small_mail(number), mails.received_at(number)) for number in range(3)])
    before = bare.stand_of(dovecot, mail_user)
    with pytest.raises(Void, match="the new mail was not there"):
        bare.seconds_of_one_new(dovecot, mail_user, before)

    fill(dovecot, mail_user, [(mails.small_mail(3), mails.received_at(3))])
    assert all(seconds > 0 for seconds in bare.seconds_of_one_new(dovecot, mail_user, before))
    assert before.uidnext == 4


@pytest.mark.long
def test_pages_are_measured_on_two_seeded_installations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At the least size; the ratios mean nothing, but each was taken, and nothing was void."""
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    with ExitStack() as stack:
        context = pages.Context(Options(0.0001), stack)
        taken = [figure for bench in pages_table.BENCHES for figure in bench.take(context)]
    assert {figure.name: figure.void for figure in taken} == {figure.name: "" for figure in taken}
    (queries,) = (figure for figure in taken if figure.name == "queries")
    assert queries.value is not None and queries.value > 1


@pytest.mark.long
def test_seeded_installations_are_kept_until_other_code_makes_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def made(**options: bool) -> tuple[str, int]:
        site = kept.Kept(tmp_path, **options).site(300)
        return site.folder.name, (site.folder / kept.DONE).stat().st_ino

    first = made()
    assert made() == first
    assert made(is_fresh=True) != first
    monkeypatch.setattr(kept, "version", lambda: "another")
    assert made()[0] == "seed_300_another"
    assert [folder.name for folder in tmp_path.iterdir()] == ["seed_300_another"]


@pytest.mark.long
def test_one_that_was_interrupted_is_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    half = tmp_path / f"seed_300_{kept.version()}"
    half.mkdir()
    (half / "prx-email.sqlite3").write_bytes(b"half")
    assert (kept.Kept(tmp_path).site(300).folder / kept.DONE).exists()


def test_p95_is_the_time_that_95_of_100_do_not_exceed() -> None:
    assert (pages.p95([float(number) for number in range(1, 101)]), pages.p95([3.0])) == (95.0, 3.0)


def test_readers_are_compared_field_by_field_and_with_what_is_right() -> None:
    odd = [each for each in odd_mails() if each.kind in ("boundary absent", "uuencoded in the text", "CR only")]
    reads = [agreement.ours(each.raw) for each in odd]
    assert all(map(agreement.is_right, reads, odd))
    for spoiled in ({"subject": "another"}, {"text": "", "html": ""}, {"files": []}):
        left = [each for each in odd if each.files or "files" not in spoiled]
        read_of = {each.kind + each.text: read for each, read in zip(odd, reads, strict=True)}
        assert not any(agreement.is_right({**read_of[each.kind + each.text], **spoiled}, each) for each in left)
    assert agreement.is_same("files", [["a.pdf", "1"], ["b", "2"]], [["", "2"], ["", "1"]])
    assert not agreement.is_same("from", ["a@x"], ["b@x"])
    written = agreement.table({"odd": {"subject": (1, 2), "to": (2, 2)}})
    assert "| subject | 50.0 % of 2 |" in written and "| all | **75.0 % of 4** |" in written


@pytest.mark.long
def test_programs_hand_over_their_mail_and_all_of_it_arrives_once() -> None:
    """At the least size; the rates mean nothing. Postfix is started by root only."""
    if os.geteuid() or not shutil.which("postfix", path="/usr/sbin:/usr/bin"):
        pytest.skip("Postfix is missing or this is not root: apt-get install postfix")
    with ExitStack() as stack:
        context = programs.Context(Options(0.02), stack)
        taken = [figure for bench in programs_table.BENCHES for figure in bench.take(context)]
    assert {figure.name: figure.void for figure in taken} == dict.fromkeys(("submission", "send", "send-limit"), "")


def test_sessions_begin_at_once_and_a_failure_of_one_is_the_failure_of_all() -> None:
    together = threading.Barrier(3)

    def meet() -> None:
        together.wait(10)

    assert at_once([meet] * 3) > 0

    def fail() -> None:
        raise Void("refused")

    with pytest.raises(Void, match="refused"):
        at_once([lambda: None, fail])
