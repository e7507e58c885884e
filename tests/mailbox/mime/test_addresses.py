"""Address lists, received and typed, as people and programs write them (mailbox.mime.addresses)."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.mime import message as mime_message
from mailbox.mime.addresses import AddressError, Mailbox, canonical, read, read_typed, same, shown, spellings
from mailbox.mime.addresses.items import mailboxes_of
from mailbox.mime.addresses.lists import _read_plain
from mailbox.mime.addresses.scanner import scan

_SIGNS = ' \n\t,;:<>()[]"\\\\@.=?abZ1\u200b\u00a0\u00df\u4e2d\ud800\uff20\uff0c'
_WORDS = ["=?utf-8?Q?a=EF=BC=A0b=40x.org?=", "=?utf-8?B?PGFAeC5vcmc+LA==?=", "&lt;", "\\<", "mailto:", "a@x.org"]
LETTERS = st.lists(st.sampled_from([*_SIGNS, *_WORDS]), max_size=40).map("".join)

RECEIVED = [
    (r"root, CORP\bob, Ann\, Ops <ann@example.com>", ["root", r"CORP\bob", '"Ann, Ops" <ann@example.com>']),
    (
        "ann@example.com | bob@example.com / carl@example.com",
        ["ann@example.com", "bob@example.com", "carl@example.com"],
    ),
    (
        "Ann and Bob <ab@example.com>, R&D / Ops <ops@example.com>",
        ["Ann and Bob <ab@example.com>", "R&D / Ops <ops@example.com>"],
    ),
    ("ann@example.com; bob@example.com; carl@example.com", ["ann@example.com", "bob@example.com", "carl@example.com"]),
    ("root, Bob Example <bob@example.org>, postmaster", ["root", "Bob Example <bob@example.org>", "postmaster"]),
    ("carol, dave@example.org", ["carol", "dave@example.org"]),
    ("Pete (A nice chap) <pete(his account)@example.com(his host)>", ["Pete <pete@example.com>"]),
    ("Chris Jones <c@(Chris's host.)public.example>", ["Chris Jones <c@public.example>"]),
    ("c@x.org (Chris (from work))", ['"Chris (from work)" <c@x.org>']),
    ("Doe, John <j@x.org>", ['"Doe, John" <j@x.org>']),
    ("Doe, John <j@x.org>; Roe, Jane <r@x.org>", ['"Doe, John" <j@x.org>', '"Roe, Jane" <r@x.org>']),
    ("Dr. J. Smith <a@x.org>", ['"Dr. J. Smith" <a@x.org>']),
    ("Team: Ann <a@x.org>, b@x.org;, c@x.org", ["Ann <a@x.org>", "b@x.org", "c@x.org"]),
    ("undisclosed-recipients:;", []),
    ("Foo, <list>: , Bob <b@y.org>;", ["Foo", "Bob <b@y.org>"]),
    ("a@x.org <a@x.org>", ["a@x.org"]),
    ("'a@x.org' <a@x.org>", ["a@x.org"]),
    ('"a@x.org"', ["a@x.org"]),
    ("<mailto:a@x.org?subject=x>", ["a@x.org"]),
    ("<@relay.org,@b.org:c@x.org>", ["c@x.org"]),
    ("<<a@x.org>>", ["a@x.org"]),
    ("Ann <a@x.org, b@y.org", ["Ann <a@x.org>", "b@y.org"]),
    ('"Ann <a@x.org>, "Bob" <b@x.org>', ["Ann <a@x.org>", "Bob <b@x.org>"]),
    ('"ann b"@x.org, a..b@docomo.example', ['"ann b"@x.org', "a..b@docomo.example"]),
    ('"Joe \\"Q\\" Public" <j@x.org>', ['"Joe \\"Q\\" Public" <j@x.org>']),
    ("=?utf-8?Q?Doe,_John?= <j@x.org>, b@x.org", ['"Doe, John" <j@x.org>', "b@x.org"]),
    ("=?utf-8?B?QW5uIDxhQHgub3JnPg==?=", ["Ann <a@x.org>"]),
    ("ann @ example . com", ["ann@example.com"]),
    ("ann@[IPv6:2001:db8::1]", ["ann@[IPv6:2001:db8::1]"]),
    ("Re: x <a@x.org>", ['"Re: x" <a@x.org>']),
    ("\u200ba@x.org\ufeff,\u00a0b@x.org", ["a@x.org", "b@x.org"]),
    ("=?utf-8?Q?Ann_=3Ca=40x=2Eorg=3E?=", ["Ann <a@x.org>"]),
    ("=?utf-8?Q?ann?=@x.org, <=?utf-8?Q?b=40x=2Eorg?=>", ["ann@x.org", "b@x.org"]),
    ("Ann <a@x.org> Bob <b@x.org>", ["Ann <a@x.org>", "Bob <b@x.org>"]),
    ("<Ann> a@x.org, Bob <Sales> <b@x.org>", ["Ann <a@x.org>", "Bob Sales <b@x.org>"]),
    ("Ann &lt;a@x.org&gt;", ["Ann <a@x.org>"]),
    ("Ann \\<a@x.org\\>, Bob [mailto:b@x.org]", ["Ann <a@x.org>", "Bob <b@x.org>"]),
    ("a＠x.org；b@x.org，c@x.org", ["a@x.org", "b@x.org", "c@x.org"]),  # noqa: RUF001
    ("Ann ＜a@x.org＞", ["Ann <a@x.org>"]),  # noqa: RUF001
    ("é <=?utf-8?Q?a=EF=BC=A0b=40x.org?=>", ["é <a＠b@x.org>"]),  # noqa: RUF001 (it recursed without end)
    ("山田、太郎 <a@x.org>", ["山田、太郎 <a@x.org>"]),
    ("Team:a@x.org, b@x.org.", ["a@x.org", "b@x.org"]),
    ('"a@x.org, b@x.org"', ["a@x.org", "b@x.org"]),
    ('"a@x.org; b@x.org" <>', ["a@x.org", "b@x.org"]),
    ("A: a@x.org, b@x.org; B: c@x.org;", ["a@x.org", "b@x.org", "c@x.org"]),
    ('"Group, One": a@x.org;, B:;, d@x.org', ["a@x.org", "d@x.org"]),
    ("<>, Undisclosed recipients <>", ["Undisclosed recipients"]),
    ("a@x.org b@y.org", ["a@x.org", "b@y.org"]),
    ("a@x.org, , ,b@y.org,", ["a@x.org", "b@y.org"]),
    ("Ann, Inc. <a@x.org>, van der Berg, Jan <j@x.org>", ['"Ann, Inc." <a@x.org>', '"van der Berg, Jan" <j@x.org>']),
    ("<a@x.org> (Ann), Ann\\, Bob <b@x.org>", ["Ann <a@x.org>", '"Ann, Bob" <b@x.org>']),
    ("=?utf-8?Q?J=C3=B6rg?=<a@x.org>, =?utf-8?Q?=22A=22?= <b@x.org>", ["Jörg <a@x.org>", '"\\"A\\"" <b@x.org>']),
    ('Ann <"a b"@x.org>, Bob < b(c)@(d)x.org. >', ['Ann <"a b"@x.org>', "Bob <b@x.org>"]),
    ('"Ann Example <a@x.org>", Bob SMTP:b@x.org', ["Ann Example <a@x.org>", "Bob <b@x.org>"]),
    ("\u202dA\u202enn <a@x.org>, u%h@relay.org, host!user", ["Ann <a@x.org>", "u%h@relay.org", "host!user"]),
    ("Team <a@x.org,b@x.org>, <c@x.org; d@x.org>", ["Team <a@x.org>", "b@x.org", "c@x.org", "d@x.org"]),
    ("<a@x.org b@x.org>, Ann <c@x.org,>", ["a@x.org", "b@x.org", "Ann <c@x.org>"]),
    ("Ann Example (a@x.org), Bob (mailto:b@x.org)", ["Ann Example <a@x.org>", "Bob <b@x.org>"]),
    ("root (Cron Daemon), MAILER-DAEMON (Mail System)", ["Cron Daemon <root>", "Mail System <MAILER-DAEMON>"]),
    ("root (Charlie @ home), root (root@host)", ["root", "root"]),
    ("sales@x.org on behalf of Bob <b@y.org>", ['"sales@x.org on behalf of Bob" <b@y.org>']),
]
TAKEN = [
    ("a@x.org; b@y.org", ["a@x.org", "b@y.org"]),
    ("a@x.org\r\nb@y.org\n\nc@z.org", ["a@x.org", "b@y.org", "c@z.org"]),
    ("Ann\tann@x.org\nBob\tbob@y.org", ["Ann <ann@x.org>", "Bob <bob@y.org>"]),
    ("a@x.org\tb@y.org c@z.org", ["a@x.org", "b@y.org", "c@z.org"]),
    ("Ann\n <ann@x.org>", ["Ann <ann@x.org>"]),
    ("Last, First <a@x.org>", ['"Last, First" <a@x.org>']),
    ("Dr. J. Smith <a@x.org>", ['"Dr. J. Smith" <a@x.org>']),
    ("To: Ann <a@x.org>, b@y.org", ["Ann <a@x.org>", "b@y.org"]),
    ("a@x.org <a@x.org>", ["a@x.org"]),
    ("mailto:a@x.org", ["a@x.org"]),
    ("MAILTO:a@x.org?subject=x", ["a@x.org"]),
    ("1. a@x.org\n2) b@y.org\n- c@z.org\n• d@z.org", ["a@x.org", "b@y.org", "c@z.org", "d@z.org"]),
    ("a＠x.org；b@y.org，c@z.org、d@z.org", ["a@x.org", "b@y.org", "c@z.org", "d@z.org"]),  # noqa: RUF001
    ("a@x.org، b@y.org؛ c@z.org", ["a@x.org", "b@y.org", "c@z.org"]),
    ("ａｎｎ．ｂ@x.org, ＡＢ <ｂ＋１@x.org>", ["ann.b@x.org", "ＡＢ <b+1@x.org>"]),  # noqa: RUF001
    ("Ann (a@x.org)", ["Ann <a@x.org>"]),
    ("Ann [mailto:a@x.org], Bob [b@y.org]", ["Ann <a@x.org>", "Bob <b@y.org>"]),
    ('"Ann" a@x.org', ["Ann <a@x.org>"]),
    ("Team <a@x.org, b@y.org>, Ann <c@z.org;>", ["Team <a@x.org>", "b@y.org", "Ann <c@z.org>"]),
    ("a@x.org.", ["a@x.org"]),
    ("'a@x.org'", ["a@x.org"]),
    ("\ufeffa@x.org\u200b", ["a@x.org"]),
    ("info@straße.example", ["info@xn--strae-oqa.example"]),
    ("info@Straße.EXAMPLE", ["info@xn--strae-oqa.example"]),
    ("a@faß.de, b@βόλος.com", ["a@xn--fa-hia.de", "b@xn--nxasmm1c.com"]),
    ('"a..b"@docomo.example', ['"a..b"@docomo.example']),
    ("a..b@docomo.example", ['"a..b"@docomo.example']),
    ("a.@docomo.example", ['"a."@docomo.example']),
    ('"ann b"@x.org', ['"ann b"@x.org']),
    ('"ann"@x.org', ["ann@x.org"]),
    (f"{'l' * 200}@x.org", [f"{'l' * 200}@x.org"]),
    ("root@localhost, a@[192.0.2.1]", ["root@localhost", "a@[192.0.2.1]"]),
    ("To: a@x.org\nCc: b@y.org; E-Mail: c@z.org", ["a@x.org", "b@y.org", "c@z.org"]),
    ("mailto:a%2Bb@x.org", ["a+b@x.org"]),
    ("«a@x.org», `b@x.org`, Ann＜c@x.org＞", ["a@x.org", "b@x.org", "Ann <c@x.org>"]),  # noqa: RUF001
    ("Ann &lt;a@x.org&gt;", ["Ann <a@x.org>"]),
    (";<a@x.org>;;b @y.org, c@ z.org", ["a@x.org", "b@y.org", "c@z.org"]),
    ("a@x.org\u3000b@y.org\u2028c@z.org", ["a@x.org", "b@y.org", "c@z.org"]),
    ("a@x。org, b@ｘ．ｏｒｇ, c@ﬁsh.example", ["a@x.org", "b@x.org", "c@fish.example"]),  # noqa: RUF001
    ("анна@почта.рф", ["анна@xn--80a1acny.xn--p1ai"]),
    ("a@مثال.إختبار", ["a@xn--mgbh0fb.xn--kgbechtv"]),
    ("a@ශ්\u200dරී.com", ["a@xn--10cl1a0b660p.com"]),  # where they spell, joiners stay (RFC 5892, A.2)
    ("a@نامه\u200cای.com", ["a@xn--mgba3gch31f060k.com"]),  # noqa: RUF001
    ("a@xn--i-7iq.ws", ["a@xn--i-7iq.ws"]),  # of IDNA 2003, and there is mail
    ("An\u202en <a@x.org>, \u2068b@x.org\u2069", ["Ann <a@x.org>", "b@x.org"]),
    ("Last, First (Dept) <a@x.org>; B, C <b@x.org>", ['"Last, First" <a@x.org>', '"B, C" <b@x.org>']),
    (f"{'l' * 248}@x.org", [f"{'l' * 248}@x.org"]),  # 254 octets
]
REFUSED = [
    ("ok@x.org, ann@x.org>", "brackets", "ann@x.org>"),
    ("https://x.org/?a@y.org", "local", "https://x.org/?a@y.org"),
    ("ok@x.org, root", "no_address", "root"),
    ("Ann, ok@x.org", "no_address", "Ann"),
    ("ann b@x.org", "words", "ann b@x.org"),
    ("ok@x.org\nBcc: b@y.org", "words", "Bcc: b@y.org"),
    ("ok@x.org, b@", "no_domain", "b@"),
    ("a@x.org Bob <b@y.org>", "words", "a@x.org Bob <b@y.org>"),
    ("a@192.0.2.1, ok@x.org", "domain", "a@192.0.2.1"),
    ("a@[999.0.2.1]", "domain", "a@[999.0.2.1]"),
    ("@x.org", "no_local", "@x.org"),
    ("a@b@c.org", "local", "a@b@c.org"),
    ("a@x..org", "domain", "a@x..org"),
    ("a@-x.org", "domain", "a@-x.org"),
    ("a@☕.example", "domain", "a@☕.example"),
    ("<a@x.org", "brackets", "<a@x.org"),
    ('"a\nb" <a@x.org>', "line_break", '"a\nb" <a@x.org>'),
    ("an\u200bn@x.org", "invisible", "an\u200bn@x.org"),
    ("a@x\u00ad.org", "invisible", "a@x\u00ad.org"),
    ("a\u00a0b@x.org", "invisible", "a\u00a0b@x.org"),
    (f"{'l' * 250}@x.org", "too_long", "l" * 100),
    (f"{'l' * 249}@x.org", "too_long", "l" * 100),
    ("a@xn--0.example", "domain", "a@xn--0.example"),
    ("a@xn--abc-.example", "domain", "a@xn--abc-.example"),
    ("a@xn--zzzzzzzz99999999.example", "domain", "a@xn--zzzzzzzz99999999.example"),
    ("a@x\u200d.org", "invisible", "a@x\u200d.org"),
    ("a\u202eb@x.org", "invisible", "a\u202eb@x.org"),
    ("a@x\u3164.org", "invisible", "a@x\u3164.org"),
    ("a@\u0661\u0662.\u0645a", "domain", "a@\u0661\u0662.\u0645a"),
    (f"a@{'d' * 64}.org", "domain", f"a@{'d' * 64}.org"),
    ("a(at)x.org, ok@x.org", "no_address", "a(at)x.org"),
    ("a@x.org | b@y.org", "words", "a@x.org | b@y.org"),
    ("a@[IPv6:zz]", "domain", "a@[IPv6:zz]"),
]


@pytest.mark.parametrize(("field", "mailboxes"), RECEIVED)
def test_of_a_received_list_nothing_is_dropped(field: str, mailboxes: list[str]) -> None:
    assert [str(each) for each in read(field)] == mailboxes


@pytest.mark.parametrize(("typed", "mailboxes"), TAKEN)
def test_what_is_plainly_meant_is_taken(typed: str, mailboxes: list[str]) -> None:
    assert [str(each.mailbox or each.problem) for each in read_typed(typed)] == mailboxes


@pytest.mark.parametrize(("typed", "kind", "text"), REFUSED)
def test_only_the_wrong_one_is_refused(typed: str, kind: str, text: str) -> None:
    problems = [each.problem for each in read_typed(typed) if each.problem]
    assert [(each.kind, each.text) for each in problems] == [(kind, text)]
    assert [str(each.mailbox) for each in read_typed(typed) if each.mailbox] == ["ok@x.org"] * ("ok@" in typed)


def test_an_invisible_character_is_named() -> None:
    (typed,) = read_typed("an\u200bn@x.org")
    assert typed.problem and typed.problem.detail == "ZERO WIDTH SPACE"


def test_joiners_are_spelling_in_other_scripts() -> None:
    assert canonical("a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example") == "a@xn--mgba3gch31f060k.example"


def test_two_spellings_of_one_mailbox_are_the_same() -> None:
    assert same("Info@Straße.example") == same('"info"@xn--strae-oqa.example')
    forms = ("info@straße.example", "info@xn--strae-oqa.example")
    assert spellings("Info@Straße.example") == forms and set(spellings(forms[1])) == set(forms)
    assert [spellings(each) for each in ("Ann@x.org", "ann", "")] == [("ann@x.org",), ("ann",), ("",)]


@settings(deadline=None)
@given(LETTERS)
def test_no_text_raises_anything(text: str) -> None:
    for typed in read_typed(text):
        assert (typed.mailbox is None) != (typed.problem is None)
        if typed.mailbox:
            assert canonical(typed.mailbox.address) == typed.mailbox.address
    for mailbox in read(text):
        assert mailbox.address
    try:
        canonical(text)
    except AddressError as error:
        assert error.kind


@settings(deadline=None)
@given(st.lists(st.builds(Mailbox, st.text("aB,;<>@\"'\\\\() .=?", max_size=9).map(str.strip), st.just("a@x.org"))))
def test_what_is_shown_is_read_back(mailboxes: list[Mailbox]) -> None:
    assert [each.address for each in read(shown(mailboxes), is_decoded=True)] == [each.address for each in mailboxes]
    assert all(each.mailbox for each in read_typed(shown(mailboxes)))


ATOM = st.text("ab1-_Z", min_size=1, max_size=4)
ADDRESS = st.builds("{}@{}.{}".format, ATOM, ATOM, ATOM)


@settings(deadline=None)
@given(st.lists(st.one_of(ADDRESS, st.builds("{} <{}>".format, ATOM, ADDRESS)), min_size=1, max_size=4).map(", ".join))
def test_plain_addresses_are_read_as_the_scanner_reads_them(line: str) -> None:
    assert _read_plain(line)
    assert read(line) == [each for item in scan(line) for each in mailboxes_of(item, True)]


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        ",",
        "<",
        "@",
        '"',
        '"a\\"',
        '<"\\',
        "a@x.org,",
        "=?a?q?",
        ":",
        "a:;",
        '"<a@x>,"',
        "a ",
        "[",
        "@[",
        "<(a",
        "(a)",
    ],
)
@pytest.mark.in_part(3)
def test_a_hostile_list_takes_linear_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    started = time.process_time()
    read(text)
    read_typed(text)
    assert time.process_time() - started < 8  # what is quadratic takes minutes


@pytest.mark.parametrize("field", ["From", "To", "Reply-To"])
def test_five_hundred_open_brackets_are_read(field: str) -> None:
    mail = mime_message.parse(f"{field}: {'(' * 500}\r\nSubject: x\r\n\r\ntext".encode())
    assert mail.subject == "x"
    assert "(((" in mail.sender + mail.recipients + mail.reply_to
